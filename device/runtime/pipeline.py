"""The pipeline: detect faces in a frame, track them, classify them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from time import perf_counter

from pocketsight.device.camera import Frame
from pocketsight.device.inference.classifier import classify, predict_probabilities
from pocketsight.device.inference.detector import Face, detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.results import FaceResult, FrameResult
from pocketsight.device.system.stage_timer import StageTimer
from pocketsight.device.tracking.smoother import LabelSmoother
from pocketsight.device.tracking.tracker import Track, Tracker
from pocketsight.device.tracking.zones import Zone, in_zones
from pocketsight.device.vision.boxes import Box

STAGES = "wait", "preprocess", "detect", "postprocess", "track", "crop", "classify", "emit", "total"
"""Stages of a frame. "wait" is the time until the frame arrived; "total" is the time from its arrival to the end."""


class Pipeline:
    """Both models and the tracks of the faces so far.

    Faces outside all `zones` are ignored; without zones all count. The detector processes every `detect_interval`-th
    frame; between, tracks are predicted.
    """

    def __init__(
        self, detector: Model, classifier: Model, zones: Sequence[Zone] = (), detect_interval: int = 1
    ) -> None:
        self.detector, self.classifier, self.zones = detector, classifier, zones
        self.detect_interval = detect_interval
        self.tracker = Tracker()
        self.frames_since_detection = 0

    def __call__(self, frame: Frame) -> FrameResult:
        """Detect, track and classify the faces of a frame.

        The frames of a camera or a video are tracked: a face is reported from its second detection on. Image files
        (`frame.source` is set) are independent of each other.
        """
        return self.process(frame, StageTimer())

    def process(self, frame: Frame, timer: StageTimer) -> FrameResult:
        """Process one frame. `timer` must have been started when the frame was requested."""
        timer("wait")
        arrived = timer.stage_start
        faces, ignored_boxes = (
            self._process_still(frame, timer) if frame.source is not None else self._process_tracked(frame, timer)
        )
        timer.stages_ms["total"] = 1000 * (perf_counter() - arrived)
        return FrameResult(
            frame.captured_at,
            frame.captured_monotonic,
            frame.index,
            frame.source,
            faces,
            timer.stages_ms,
            ignored_boxes=ignored_boxes,
        )

    def _process_still(self, frame: Frame, timer: StageTimer) -> tuple[list[FaceResult], list[Box]]:
        """Faces of an image that is unrelated to the one before."""
        faces, ignored_boxes = self._detect_in_zones(frame, timer)
        return [
            FaceResult(f.box, f.score, classify(frame.image, f.box, self.classifier, timer)) for f in faces
        ], ignored_boxes

    def _process_tracked(self, frame: Frame, timer: StageTimer) -> tuple[list[FaceResult], list[Box]]:
        self.frames_since_detection += 1
        ignored_boxes: list[Box] = []
        if self.frames_since_detection < self.detect_interval and self.tracker.is_confident(frame.captured_monotonic):
            tracks = self.tracker.predict(frame.captured_monotonic)
            timer("track")
        else:
            self.frames_since_detection = 0
            faces, ignored_boxes = self._detect_in_zones(frame, timer)
            tracks = self.tracker.update(faces, frame.captured_monotonic, frame.captured_at)
            timer("track")
            for track in tracks:
                self._classify_track(track, frame, timer)
        if len(tracks) < len(self.tracker.tracks):
            ignored_boxes += [
                track.display_box for track in self.tracker.tracks if not track.is_confirmed or track.misses
            ]
        height, width = frame.image.shape[:2]
        return [
            FaceResult(t.display_box.clip(width, height), t.score, t.classification, t.id) for t in tracks
        ], ignored_boxes

    def _detect_in_zones(self, frame: Frame, timer: StageTimer) -> tuple[list[Face], list[Box]]:
        """Faces inside the zones, and the boxes of the others."""
        faces = detect(frame.image, self.detector, timer)
        if not self.zones:
            return faces, []
        inside = [in_zones(face.box, frame.image.shape, self.zones) for face in faces]
        outside = [face.box for face, is_inside in zip(faces, inside, strict=True) if not is_inside]
        return list(compress(faces, inside)), outside

    def _classify_track(self, track: Track, frame: Frame, timer: StageTimer) -> None:
        if track.smoother is None:
            track.smoother = LabelSmoother(self.classifier.spec)
        track.classification = track.smoother.update(
            predict_probabilities(frame.image, track.box, self.classifier, timer), frame.captured_monotonic
        )


def process_frames(frames: Iterable[Frame], detector: Model, classifier: Model) -> Iterator[tuple[Frame, FrameResult]]:
    """Run both models on every frame; yields each frame with its result."""
    pipeline = Pipeline(detector, classifier)
    timer = StageTimer()
    for frame in frames:
        yield frame, pipeline.process(frame, timer)
        timer = StageTimer()
