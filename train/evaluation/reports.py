"""The scores of `pocketsight evaluate --json` and scores.json, as types: what a program may read."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Curve = dict[str, list[float]]  # columns of one length, by name


class ThresholdChoice(TypedDict):
    """A chosen threshold, and the metrics at it and at the one before."""

    target: str  # such as "precision>=0.99"; "": none was given
    threshold: float
    previous_threshold: float
    before: dict[str, float]
    after: dict[str, float]
    precision_95: NotRequired[list[float]]  # detector: 95 % interval of the precision
    false_positives: NotRequired[int]  # detector, by the hour: those that were counted
    images: NotRequired[int]  # detector, by the hour: images in which they were counted


class SliceRow(TypedDict):
    """Detector metrics of one slice of the faces."""

    slice: str
    description: str  # what the name means, or ""
    faces: int
    share: float  # of all faces
    too_small: bool  # too few faces for a conclusion
    ap50: float | None
    recall: float | None
    recall_95: list[float]
    precision: float | None
    missed: int
    false_positives: float


class Report(TypedDict, total=False):
    """What `pocketsight evaluate` adds to the metrics."""

    split: str
    skipped: list[str]  # errors of images that could not be read
    threshold_choice: ThresholdChoice
    threshold_choices: dict[str, ThresholdChoice]  # instead of it, of a detector of several labels


class DetectorMetrics(Report):
    """Metrics of a detector over all faces or other objects; with several labels AP is the mean of theirs."""

    labels: list[str]
    ap50: float
    ap: float
    images: int
    faces: int
    frame: list[int]  # width, height
    min_face_size: float
    threshold: float
    precision: float
    recall: float
    curve: Curve  # recall, precision, score
    tradeoff: Curve  # threshold, precision, recall, false_positives_per_image
    by_label: NotRequired[dict[str, DetectorScores]]  # of a detector of several labels; the slices are in these
    confusion: NotRequired[list[list[int]]]  # as `confusion_matrix` gives it


class DetectorScores(DetectorMetrics):
    """Report of a detector."""

    task: Literal["detector"]
    slices: dict[str, list[SliceRow]]
    recommendations: list[str]


class FolderRate(TypedDict):
    """How often the faces of one reject folder got a label."""

    faces: int
    label_rate: float


class ClassifierMetrics(Report):
    """Metrics of a classifier; the meaning of each is in `compute_classifier_metrics`."""

    accuracy: float
    balanced_accuracy: float
    recall: dict[str, float]
    precision: dict[str, float]
    f1: dict[str, float]
    confusion: list[list[int]]
    labels: list[str]
    images: int
    threshold: float
    temperature: float
    unsure_rate: float
    labeled_accuracy: float | None
    rejects: int
    reject_label_rate: float | None
    rejects_by_folder: dict[str, FolderRate]
    ece: float
    ece_known: float
    tradeoff: Curve  # threshold, label_rate, error_rate, reject_label_rate


class LikelyMislabeled(TypedDict):
    """A face that may be in the wrong folder."""

    file: str
    folder: str
    predicted: str
    score: float


class ClassifierScores(ClassifierMetrics):
    """Report of a classifier."""

    task: Literal["classifier"]
    recommendations: list[str]
    likely_mislabeled: list[LikelyMislabeled]


class PipelineMetrics(Report):
    """Outcomes of whole photographs. A count has the keys images, right, wrong, unsure, "no face"."""

    all: dict[str, int]
    classes: dict[str, dict[str, int]]
    rejects: int
    reject_label_rate: float | None
    other_faces: dict[str, int]


class PipelineScores(PipelineMetrics):
    """Report of detector and classifier together."""

    task: Literal["pipeline"]
    frame: list[int]  # width, height


Scores = DetectorScores | ClassifierScores | PipelineScores
Facts = dict[str, Any]  # what goes into a manifest
