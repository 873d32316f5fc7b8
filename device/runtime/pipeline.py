"""The pipeline: detect faces in a frame, track them, classify them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from time import perf_counter

from pocketsight.device.camera import Frame
from pocketsight.device.inference.classifier import (
    Probabilities,
    crop_reduction,
    predict_probabilities,
    to_classification,
)
from pocketsight.device.inference.detector import Face, detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.results import FaceResult, FrameResult
from pocketsight.device.system.stage_timer import StageTimer
from pocketsight.device.tracking.smoother import LabelSmoother
from pocketsight.device.tracking.tracker import Track, Tracker
from pocketsight.device.tracking.zones import Zone, in_zones
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.letterbox import letterbox_scale
from pocketsight.device.vision.pixels import REDUCTIONS, choose_reduction

STAGES = "wait", "decode", "preprocess", "detect", "postprocess", "track", "crop", "classify", "emit", "total"
"""Stages of a frame. "wait" is the time until the frame arrived; "total" is the time from its arrival to the end."""
LARGEST_REDUCTION = REDUCTIONS[-1]


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
        # The reduction that the smallest face of the last frame needed: a second decoding would cost more than one
        # that is larger than the detector needs.
        self.crop_reduction = LARGEST_REDUCTION

    def choose_reduction(self, size: tuple[int, int]) -> int:
        """The reduction at which a frame of `size` (height, width) is decoded."""
        return min(choose_reduction(letterbox_scale(size, self.detector.spec.input_size)), self.crop_reduction)

    def __call__(self, frame: Frame) -> FrameResult:
        """Detect, track and classify the faces of a frame.

        The frames of a camera or a video are tracked: a face is reported from its second detection on. Image files
        (`frame.source` is set) are independent of each other.
        """
        return self.process(frame, StageTimer())

    def process(self, frame: Frame, timer: StageTimer) -> FrameResult:
        """Process one frame. `timer` must have been started when the frame was requested."""
        timer("wait")
        arrived, decoded_ms = timer.stage_start, frame.decode_ms  # a camera may decode a frame before it returns it
        if decoded_ms:
            timer.stages_ms["wait"] = max(0.0, timer.stages_ms["wait"] - decoded_ms)
            timer.stages_ms["decode"] = decoded_ms
        self._decode(frame, self.choose_reduction(frame.size), timer)
        faces, ignored_boxes = (
            self._process_still(frame, timer) if frame.source is not None else self._process_tracked(frame, timer)
        )
        timer.stages_ms["total"] = 1000 * (perf_counter() - arrived) + decoded_ms
        return FrameResult(
            frame.captured_at,
            frame.captured_monotonic,
            frame.index,
            frame.source,
            faces,
            timer.stages_ms,
            position=frame.position,
            ignored_boxes=ignored_boxes,
        )

    def _process_still(self, frame: Frame, timer: StageTimer) -> tuple[list[FaceResult], list[Box]]:
        """Faces of an image that is unrelated to the one before."""
        faces, ignored_boxes = self._detect_in_zones(frame, timer)
        self._set_crop_reduction([face.box for face in faces])
        return [
            FaceResult(f.box, f.score, to_classification(self._classify(frame, f.box, timer), self.classifier.spec))
            for f in faces
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
            self._set_crop_reduction([track.box for track in tracks])
            for track in tracks:
                self._classify_track(track, frame, timer)
        if len(tracks) < len(self.tracker.tracks):
            ignored_boxes += [
                track.display_box for track in self.tracker.tracks if not track.is_confirmed or track.misses
            ]
        height, width = frame.size
        return [
            FaceResult(t.display_box.clip(width, height), t.score, t.classification, t.id) for t in tracks
        ], ignored_boxes

    def _detect_in_zones(self, frame: Frame, timer: StageTimer) -> tuple[list[Face], list[Box]]:
        """Faces inside the zones, and the boxes of the others."""
        image = frame.reduced(self.choose_reduction(frame.size))
        faces = detect(image, self.detector, timer, frame_size=frame.size)
        if not self.zones:
            return faces, []
        inside = [in_zones(face.box, frame.size, self.zones) for face in faces]
        outside = [face.box for face, is_inside in zip(faces, inside, strict=True) if not is_inside]
        return list(compress(faces, inside)), outside

    def _classify_track(self, track: Track, frame: Frame, timer: StageTimer) -> None:
        if track.smoother is None:
            track.smoother = LabelSmoother(self.classifier.spec)
        track.classification = track.smoother.update(self._classify(frame, track.box, timer), frame.captured_monotonic)

    def _classify(self, frame: Frame, box: Box, timer: StageTimer) -> Probabilities:
        """The probabilities of the face inside `box`, from an image in which it is as large as the model needs."""
        image = self._decode(frame, crop_reduction(box, self.classifier.spec), timer)
        factor = round(frame.size[1] / image.shape[1])
        return predict_probabilities(image, box.scale(1 / factor) if factor > 1 else box, self.classifier, timer)

    def _set_crop_reduction(self, boxes: list[Box]) -> None:
        spec = self.classifier.spec
        self.crop_reduction = min((crop_reduction(box, spec) for box in boxes), default=LARGEST_REDUCTION)

    def _decode(self, frame: Frame, reduction: int, timer: StageTimer) -> Image:
        """The image of a frame at a reduction; its decoding is a stage, unless it is decoded already."""
        before = frame.decode_ms
        image = frame.reduced(reduction)
        if frame.decode_ms > before:
            timer("decode")
        return image


def process_frames(frames: Iterable[Frame], detector: Model, classifier: Model) -> Iterator[tuple[Frame, FrameResult]]:
    """Run both models on every frame; yields each frame with its result."""
    pipeline = Pipeline(detector, classifier)
    timer = StageTimer()
    for frame in frames:
        yield frame, pipeline.process(frame, timer)
        timer = StageTimer()
