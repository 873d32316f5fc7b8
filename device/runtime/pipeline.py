"""The pipeline: detect objects, such as faces, in a frame, track them, classify them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import compress
from time import perf_counter

from pocketsight.device.camera import Frame
from pocketsight.device.inference.classifier import (
    Classification,
    Probabilities,
    crop_reduction,
    predict_probabilities,
    to_classification,
)
from pocketsight.device.inference.detector import Detection, detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.manifest import WHOLE_FRAME
from pocketsight.device.inference.placement import frame_scale
from pocketsight.device.inference.sensor import detect_in_sensor
from pocketsight.device.results import FaceResult, FrameResult
from pocketsight.device.system.stage_timer import StageTimer
from pocketsight.device.tracking.smoother import LabelSmoother
from pocketsight.device.tracking.tracker import Track, Tracker
from pocketsight.device.tracking.zones import Zone, in_zones
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import Image
from pocketsight.device.vision.pixels import REDUCTIONS, choose_reduction

STAGES = "wait", "decode", "preprocess", "detect", "postprocess", "track", "crop", "classify", "emit", "total"
"""Stages of a frame. "wait" is the time until the frame arrived; "total" is the time from its arrival to the end."""
LARGEST_REDUCTION = REDUCTIONS[-1]


class Pipeline:
    """The models and the tracks of the objects so far.

    The classifier is for detections with a label in `classify`; () means all. Other detections, and all without a
    classifier, have the label and the score of the detector as their classification. Objects outside all `zones` are
    ignored; without zones all count. The detector processes every `detect_interval`-th frame; between, tracks are
    predicted. A frame whose camera ran a detector itself has its outputs; then `detector` does not run.
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
        # The reduction that the smallest face of the last frame needed: a second decoding would cost more than one
        # that is larger than the detector needs.
        self.crop_reduction = LARGEST_REDUCTION

    def choose_reduction(self, size: tuple[int, int]) -> int:
        """The reduction at which a frame of `size` (height, width) is decoded."""
        return min(choose_reduction(frame_scale(size, self.detector.spec)), self.crop_reduction)

    @property
    def models(self) -> tuple[Model, ...]:
        """The detector and the classifier, as far as there are any."""
        models = (self.detector, self.classifier) if self.classifier else (self.detector,)
        return models[1:] if self.detector.spec.family == WHOLE_FRAME else models

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that results can have, without "unsure": those of the classifier, and of what it is not for."""
        labels = tuple(label for label in self.detector.spec.labels if self._classifier_for(label) is None)
        return (*self.classifier.spec.reported_labels, *labels) if self.classifier else labels

    @property
    def object_label(self) -> str:
        """What a detection is called: the only label of the detector, such as face, or "object"."""
        labels = self.detector.spec.labels
        return labels[0] if len(labels) == 1 else "object"

    def __call__(self, frame: Frame) -> FrameResult:
        """Detect, track and classify the objects of a frame.

        The frames of a camera or a video are tracked: an object is reported from its second detection on. Image files
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
        """Objects in an image that is unrelated to the one before."""
        found, ignored_boxes = self._detect_in_zones(frame, timer)
        self._set_crop_reduction(found)
        results = []
        for each in found:
            if classifier := self._classifier_for(each.label):
                result = to_classification(self._classify(frame, each.box, classifier, timer), classifier.spec)
            else:
                result = self._as_classification(each)
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
            self._set_crop_reduction(tracks)
            for track in tracks:
                self._classify_track(track, frame, timer)
        if len(tracks) < len(self.tracker.tracks):
            ignored_boxes += [
                track.display_box for track in self.tracker.tracks if not track.is_confirmed or track.misses
            ]
        height, width = frame.size
        return [
            FaceResult(t.display_box.clip(width, height), t.score, t.classification, t.id, t.label) for t in tracks
        ], ignored_boxes

    def _detect_in_zones(self, frame: Frame, timer: StageTimer) -> tuple[list[Detection], list[Box]]:
        """Detections inside the zones, and the boxes of the others."""
        if frame.sensor:
            found = detect_in_sensor(frame.sensor, frame.size, timer)
        else:
            image = frame.reduced(self.choose_reduction(frame.size))
            found = detect(image, self.detector, timer, frame_size=frame.size)
        if not self.zones:
            return found, []
        inside = [in_zones(each.box, frame.size, self.zones) for each in found]
        outside = [each.box for each, is_inside in zip(found, inside, strict=True) if not is_inside]
        return list(compress(found, inside)), outside

    def _classify_track(self, track: Track, frame: Frame, timer: StageTimer) -> None:
        classifier = self._classifier_for(track.label)
        if classifier is None:
            track.classification = self._as_classification(track)
            return
        if track.smoother is None:
            track.smoother = LabelSmoother(classifier.spec)
        probabilities = self._classify(frame, track.box, classifier, timer)
        track.classification = track.smoother.update(probabilities, frame.captured_monotonic)

    def _classify(self, frame: Frame, box: Box, classifier: Model, timer: StageTimer) -> Probabilities:
        """The probabilities of the object inside `box`, from an image in which it is as large as the model needs."""
        image = self._decode(frame, crop_reduction(box, classifier.spec), timer)
        factor = round(frame.size[1] / image.shape[1])
        return predict_probabilities(image, box.scale(1 / factor) if factor > 1 else box, classifier, timer)

    def _set_crop_reduction(self, found: Sequence[Detection | Track]) -> None:
        self.crop_reduction = min(
            (
                crop_reduction(each.box, classifier.spec)
                for each in found
                if (classifier := self._classifier_for(each.label))
            ),
            default=LARGEST_REDUCTION,
        )

    def _decode(self, frame: Frame, reduction: int, timer: StageTimer) -> Image:
        """The image of a frame at a reduction; its decoding is a stage, unless it is decoded already."""
        before = frame.decode_ms
        image = frame.reduced(reduction)
        if frame.decode_ms > before:
            timer("decode")
        return image


def process_frames(
    frames: Iterable[Frame], detector: Model, classifier: Model | None = None
) -> Iterator[tuple[Frame, FrameResult]]:
    """Run the models on every frame; yields each frame with its result."""
    pipeline = Pipeline(detector, classifier)
    timer = StageTimer()
    for frame in frames:
        yield frame, pipeline.process(frame, timer)
        timer = StageTimer()
