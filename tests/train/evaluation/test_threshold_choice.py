"""`pocketsight evaluate --threshold-for`: the threshold that meets a target, and the manifest that records it."""

import shutil
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.device.errors import DataError
from pocketsight.device.inference.classifier import Classification
from pocketsight.device.inference.manifest import MANIFEST_NAME
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, MODELS_DIR
from pocketsight.train.datasets.classification import ClassificationSample
from pocketsight.train.evaluation import metrics, threshold_choice
from pocketsight.train.evaluation.classifier import Outcomes, Prediction, compare_with_truth
from pocketsight.train.evaluation.detector import DetectionResults
from pocketsight.train.evaluation.reports import ThresholdChoice
from pocketsight.train.evaluation.threshold_choice import default_threshold
from tests.support.images import DETECTOR, coco
from tests.support.planted_faces import looked, seen, square

A, B, C = square(10, 10, 40), square(100, 10, 40), square(200, 10, 40)


def three_faces(empty: int = 0) -> DetectionResults:
    """Faces at 0.9, 0.5 and 0.3, false positives at 0.7 and 0.1, and images without anything."""
    false_positives = [(square(10, 150, 40), 0.7), (square(100, 150, 40), 0.1)]
    return looked([seen([A, B, C], [(A, 0.9), (B, 0.5), (C, 0.3), *false_positives])] + [seen([], [])] * empty)


def chosen(target: str, some: DetectionResults, was: float = 0.4) -> ThresholdChoice:
    return threshold_choice.choose_detector_threshold(threshold_choice.parse_target(target, "detector"), some, was)


@pytest.mark.parametrize(
    ("target", "threshold", "precision", "recall"),
    [
        ("precision>=1", 0.9, 1, 1 / 3),
        ("precision >= 0.75", 0.3, 0.75, 1),
        ("recall>=1", 0.3, 0.75, 1),
        ("recall>=0.6", 0.5, 2 / 3, 2 / 3),
        ("recall>=0.3", 0.9, 1, 1 / 3),
    ],
)
def test_the_target_is_met_at_the_lowest_cost(target: str, threshold: float, precision: float, recall: float) -> None:
    found = chosen(target, three_faces())
    assert found["threshold"] == threshold
    assert found["after"] == pytest.approx({"precision": precision, "recall": recall}, abs=1e-4)
    assert (found["previous_threshold"], found["before"]) == (0.4, {"precision": 0.6667, "recall": 0.6667})


def test_a_target_that_no_threshold_meets_is_refused_with_the_nearest() -> None:
    unfindable = looked([seen([A, B], [(A, 0.5), (C, 0.5)])])
    with pytest.raises(DataError, match=r"precision>=0.9: no threshold meets it .* the nearest is 0.5"):
        chosen("precision>=0.9", unfindable)
    with pytest.raises(DataError, match=r"recall>=0.9: .* the nearest is 0.5"):
        chosen("recall>=0.9", unfindable)


def test_false_positives_are_bounded_by_the_upper_end_of_their_interval() -> None:
    some = three_faces(empty=99)  # 99 images without a face and without a false positive
    hour = 3600 * 2 / 99  # at 2 fps
    found = chosen("false_positives_per_hour<=300 at 2 fps", some)
    assert found["threshold"] == 0.1  # false positives next to faces do not count
    assert found["after"] == {
        "precision": 0.6,
        "recall": 1,
        "false_positives_per_hour": pytest.approx(2.9957 * hour, abs=0.1),
    }
    assert (found["false_positives"], found["images"]) == (0, 99)
    few = chosen("false_positives_per_hour<=3500 at 1 fps", three_faces(empty=3))  # too few: all four count
    assert (few["threshold"], few["false_positives"], few["images"]) == (0.9, 0, 4)
    assert few["before"]["false_positives_per_hour"] == pytest.approx(4.7439 * 900, abs=1)


def test_too_few_images_cannot_prove_a_low_rate() -> None:
    with pytest.raises(
        DataError, match=r"99 images cannot .* could be 1,089 per hour \(95 %\). Use at least 107,846 images"
    ):
        chosen("false_positives_per_hour<=1 at 10 fps", three_faces(empty=99))
    with pytest.raises(DataError, match="cannot prove this rate"):
        chosen("false_positives_per_hour<=0 at 10 fps", three_faces(empty=99))


def test_exact_upper_ends() -> None:
    assert metrics.poisson_upper_bound(np.array([0.0, 1.0, 10.0])) == pytest.approx([2.9957, 4.7439, 16.962], abs=1e-3)


def test_a_threshold_is_short_and_parts_the_scores() -> None:
    levels = np.array([0.25, 0.66015625, 0.6640625, 0.66796875])
    assert [threshold_choice.shortest_threshold(levels, n) for n in range(4)] == [0.25, 0.66, 0.664, 0.667]
    near = np.array([0.5, 0.5 + 1e-12])
    assert near[0] < threshold_choice.shortest_threshold(near, 1) <= near[1]


@pytest.mark.parametrize(
    ("task", "text", "says"),
    [
        ("detector", "precison>=0.9", "is not a target for a detector; use"),
        ("detector", "precision>0.9", "is not a target for a detector"),
        ("detector", "precision<=0.9", 'is not of the form "precision>=0.99"'),
        ("detector", "precision>=99", "write 99 % as 0.99"),
        ("detector", "precision>=0.9.9", "has a malformed number"),
        ("detector", "precision>=0.9 at 10 fps", 'is not of the form "precision>=0.99"'),
        ("detector", "false_positives_per_hour<=1", 'is not of the form "false_positives_per_hour<=1 at 10 fps"'),
        ("detector", "false_positives_per_hour<=1 at 0 fps", "must be above 0 fps"),
        ("detector", "label_rate>=0.9", "is not a target for a detector"),
        ("classifier", "precision>=0.9", 'use "labeled_accuracy>=0.97" or "label_rate>=0.85"'),
        ("classifier", "", "is not a target for a classifier"),
    ],
)
def test_what_cannot_be_understood_is_one_clear_line(task: str, text: str, says: str) -> None:
    with pytest.raises(DataError) as error:
        threshold_choice.parse_target(text, task)
    assert says in str(error.value) and "\n" not in str(error.value)


def answers() -> Outcomes:
    """Right at 0.9, 0.8 and 0.5, wrong at 0.7; rejects labeled at 0.85 and 0.2."""
    rows = [(0, 0, 0.9), (1, 1, 0.8), (0, 1, 0.7), (1, 1, 0.5), (-1, 0, 0.85), (-1, 1, 0.2)]
    return compare_with_truth(
        [
            Prediction(ClassificationSample(Path("x/a.png"), a, (0.5, 0.5)), Classification("", s, b))
            for a, b, s in rows
        ],
        2,
    )


@pytest.mark.parametrize(
    ("target", "threshold", "accuracy", "label_rate", "reject_rate"),
    [
        ("labeled_accuracy>=1", 0.8, 1, 0.5, 0.5),
        ("label_rate>=0.75", 0.7, 2 / 3, 0.75, 0.5),
        ("reject_label_rate<=0.5", 0.5, 0.75, 1, 0.5),
        ("reject_label_rate<=0", 0.9, 1, 0.25, 0),
    ],
)
def test_targets_of_a_classifier(
    target: str, threshold: float, accuracy: float, label_rate: float, reject_rate: float
) -> None:
    found = threshold_choice.choose_classifier_threshold(
        threshold_choice.parse_target(target, "classifier"), answers(), 0.5
    )
    assert found["threshold"] == threshold
    assert list(found["after"].values()) == [pytest.approx(accuracy, abs=1e-4), label_rate, reject_rate]


def test_a_target_for_rejects_needs_rejects() -> None:
    ours = replace(answers(), rejects=np.zeros(6, bool))
    with pytest.raises(DataError, match="has no reject folder"):
        threshold_choice.choose_classifier_threshold(
            threshold_choice.parse_target("reject_label_rate<=0.1", "classifier"), ours, 0.5
        )


def test_without_a_target_few_rejects_get_a_label() -> None:
    found = threshold_choice.auto_threshold(answers(), 0.5)
    assert (found["target"], found["threshold"]) == ("reject_label_rate<=0.1", 0.9)
    ours = replace(answers(), rejects=np.zeros(6, bool))
    alone = threshold_choice.auto_threshold(ours, 0.5)
    assert (alone["target"], alone["threshold"]) == ("", default_threshold(ours))
    easy = replace(answers(), scores=np.array([0.9, 0.8, 0.7, 0.75, 0.1, 0.2]))
    assert (
        threshold_choice.auto_threshold(easy, 0.5)["threshold"] == 0.71
    )  # 0.2 would do for the others, not for the wrong one


def test_where_a_reject_has_the_highest_score_no_target_is_met() -> None:
    lost = replace(answers(), scores=np.array([0.9, 0.8, 0.7, 0.5, 0.95, 0.95]))
    assert threshold_choice.auto_threshold(lost, 0.5)["target"] == ""
    with pytest.raises(DataError, match="no threshold meets it"):
        threshold_choice.choose_classifier_threshold(
            threshold_choice.parse_target("reject_label_rate<=0.1", "classifier"), lost, 0.5
        )


def test_a_model_file_keeps_all_but_the_threshold(tmp_path: Path) -> None:
    model = Path(shutil.copy(MODELS_DIR / "detector.tflite", tmp_path / "m.tflite"))
    with ZipFile(model, "a") as archive:
        archive.writestr("golden/a.bin", b"x" * 1000)
        names = sorted(archive.namelist())
    flatbuffer, spec = read_model_file(model)
    link = tmp_path / "link.tflite"
    link.symlink_to(model)
    threshold_choice.write_threshold(link, {"face": chosen("recall>=0.6", three_faces())}, ["test.json"])
    assert link.is_symlink()
    again, changed = read_model_file(model)
    assert again == flatbuffer
    assert changed.training["threshold_choice"]["target"] == "recall>=0.6"
    assert changed.training["threshold_choice"]["data"] == ["test.json"]
    assert changed == replace(spec, score_threshold=0.5, training=changed.training)
    with ZipFile(model) as archive:
        assert sorted(archive.namelist()) == names and MANIFEST_NAME in names
        assert archive.read("golden/a.bin") == b"x" * 1000
    before = model.read_bytes()
    threshold_choice.write_threshold(model, {"face": chosen("recall>=0.6", three_faces())}, ["test.json"])
    assert model.read_bytes() == before and {p.name for p in tmp_path.iterdir()} == {"m.tflite", "link.tflite"}


def test_a_run_folder_has_its_manifest_changed(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_NAME).write_text(DETECTOR.to_json())
    threshold_choice.write_threshold(tmp_path, {"face": chosen("recall>=0.3", three_faces())}, ["a"])
    assert '"score_threshold": 0.9' in (tmp_path / MANIFEST_NAME).read_text()


def test_the_command_chooses_writes_and_reports_the_cost(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE_IMAGE, tmp_path / "a.jpg")
    data = coco(
        tmp_path,
        images=[{"id": 7, "file_name": "a.jpg", "width": 320, "height": 240}],
        annotations=[{"id": 1, "image_id": 7, "category_id": 1, "bbox": [115, 33, 50, 70]}],
    )
    model = Path(shutil.copy(MODELS_DIR / "detector.tflite", tmp_path / "m.tflite"))

    def score(*words: object, status: int = 0) -> str:
        done = CliRunner().invoke(main, ["evaluate", str(model), "--data", str(data), *map(str, words)])
        assert done.exit_code == status, done.output
        return done.output

    shipped = read_model_file(model)[1].score_threshold
    said = score("--threshold-for", "precision>=1")
    threshold = read_model_file(model)[1].score_threshold
    assert threshold != shipped
    assert f"precision>=1: threshold {threshold:g}, before {shipped:g}" in said
    assert f"at threshold {threshold:.2f}: precision 1.000, recall 1.000" in said
    assert "wrote the threshold into" in said
    before = model.read_bytes()
    assert "is not a target for a detector" in score("--threshold-for", "nonsense", status=1)
    assert "1 images cannot prove" in score("--threshold-for", "false_positives_per_hour<=1 at 10 fps", status=1)
    assert model.read_bytes() == before
