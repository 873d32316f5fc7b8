"""The pipeline: detect objects, such as faces, in a frame, track them, classify them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import compress
from time import perf_counter

from pocketsight.device.camera import Frame
from pocketsight.device.inference.classifier import Classification, classify, predict_probabilities
from pocketsight.device.inference.detector import Detection, detect
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
    """The models and the tracks of the objects so far.

    The classifier is for detections with a label in `classify`; () means all. Other detections, and all without a
    classifier, have the label and the score of the detector as their classification. Objects outside all `zones` are
    ignored; without zones all count. The detector processes every `detect_interval`-th frame; between, tracks are
    predicted.
    """

    def __init__(
        self,
        detector: Model,
        classifier: Model | None = None,
        zones: Sequence[Zone] = (),
        detect_interval: int = 1,
        classify: Collection[str] = (),
    ) -> None:
        self.detector, self.classifier, self.zones = detector, classifier, zones
        self.detect_interval, self.classify = detect_interval, classify
        self.tracker = Tracker()
        self.frames_since_detection = 0

    @property
    def models(self) -> tuple[Model, ...]:
        """The detector, and the classifier if there is one."""
        return (self.detector, self.classifier) if self.classifier else (self.detector,)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that results can have, without "unsure": those of the classifier, and of what it is not for."""
        labels = tuple(label for label in self.detector.spec.labels if self._classifier_for(label) is None)
        return (*self.classifier.spec.reported_labels, *labels) if self.classifier else labels

    def __call__(self, frame: Frame) -> FrameResult:
        """Detect, track and classify the objects of a frame.

        The frames of a camera or a video are tracked: an object is reported from its second detection on. Image files
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
        """Objects in an image that is unrelated to the one before."""
        found, ignored_boxes = self._detect_in_zones(frame, timer)
        results = []
        for each in found:
            classifier = self._classifier_for(each.label)
            result = classify(frame.image, each.box, classifier, timer) if classifier else self._as_classification(each)
            results.append(FaceResult(each.box, each.score, result, object=each.label))
        return results, ignored_boxes

    def _classifier_for(self, label: str) -> Model | None:
        """The classifier, if it is for detections with this label."""
        return self.classifier if not self.classify or label in self.classify else None

    def _as_classification(self, found: Detection | Track) -> Classification:
        """The label and the score of the detector, in the form of the classifier's."""
        return Classification(found.label, found.score, self.detector.spec.labels.index(found.label))

    def _process_tracked(self, frame: Frame, timer: StageTimer) -> tuple[list[FaceResult], list[Box]]:
        self.frames_since_detection += 1
        ignored_boxes: list[Box] = []
        if self.frames_since_detection < self.detect_interval and self.tracker.is_confident(frame.captured_monotonic):
            tracks = self.tracker.predict(frame.captured_monotonic)
            timer("track")
        else:
            self.frames_since_detection = 0
            found, ignored_boxes = self._detect_in_zones(frame, timer)
            tracks = self.tracker.update(found, frame.captured_monotonic, frame.captured_at)
            timer("track")
            for track in tracks:
                self._classify_track(track, frame, timer)
        if len(tracks) < len(self.tracker.tracks):
            ignored_boxes += [
                track.display_box for track in self.tracker.tracks if not track.is_confirmed or track.misses
            ]
        height, width = frame.image.shape[:2]
        return [
            FaceResult(t.display_box.clip(width, height), t.score, t.classification, t.id, t.label) for t in tracks
        ], ignored_boxes

    def _detect_in_zones(self, frame: Frame, timer: StageTimer) -> tuple[list[Detection], list[Box]]:
        """Detections inside the zones, and the boxes of the others."""
        found = detect(frame.image, self.detector, timer)
        if not self.zones:
            return found, []
        inside = [in_zones(each.box, frame.image.shape, self.zones) for each in found]
        outside = [each.box for each, is_inside in zip(found, inside, strict=True) if not is_inside]
        return list(compress(found, inside)), outside

    def _classify_track(self, track: Track, frame: Frame, timer: StageTimer) -> None:
        classifier = self._classifier_for(track.label)
        if classifier is None:
            track.classification = self._as_classification(track)
            return
        if track.smoother is None:
            track.smoother = LabelSmoother(classifier.spec)
        track.classification = track.smoother.update(
            predict_probabilities(frame.image, track.box, classifier, timer), frame.captured_monotonic
        )


def process_frames(
    frames: Iterable[Frame], detector: Model, classifier: Model | None = None
) -> Iterator[tuple[Frame, FrameResult]]:
    """Run the models on every frame; yields each frame with its result."""
    pipeline = Pipeline(detector, classifier)
    timer = StageTimer()
    for frame in frames:
        yield frame, pipeline.process(frame, timer)
        timer = StageTimer()
