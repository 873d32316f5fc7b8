from pathlib import Path

import cv2
import pytest

from pocketsight.train.datasets.classification import read_classification_dataset
from pocketsight.train.datasets.formats import fer2013
from pocketsight.train.datasets.formats.convert import convert_dataset
from tests.support.sources import FACES, fails, fer


def test_fer2013_becomes_folders_of_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    votes = [
        "Training,fer0000000.png,0,9,0,0,0,0,0,0,1,0",
        "Training,fer0000001.png,6,0,0,4,0,0,0,0,0,0",
        "Training,,0,0,0,0,0,0,0,0,0,10",
        "Training,fer0000002.png,0,0,0,0,0,0,0,0,0,0",
        "PublicTest,fer0000003.png,0,10,0,0,0,0,0,0,0,0",
        "PrivateTest,fer0000004.png,10,0,0,0,0,0,0,0,0,0",
    ]
    paths, out = fer(tmp_path, FACES, votes), tmp_path / "out"
    convert_dataset(
        paths["source"],
        out,
        source_format=None,
        target_format=None,
        images=None,
        label=None,
        max_boxes=None,
        votes=paths["votes"],
    )
    found = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
    assert found == [
        "test/neutral/00005.png",
        "train/happy/00000.png",
        "train/sad/00001.png",
        "train/sad/00003.png",
        "val/happy/00004.png",
    ]
    image = cv2.imread(str(out / "train/sad/00003.png"), cv2.IMREAD_UNCHANGED)
    assert image is not None and image.shape == (48, 48) and (image == 3).all()
    said = capsys.readouterr().err
    assert "5 images (train 3, val 1, test 1); 1 image in which most voters see no face removed" in said
    assert "--soft-labels" in said
    data = read_classification_dataset([out], [out / "train" / fer2013.VOTES_FILE], ("happy", "sad"))
    happy, sad, silent = data.splits["train"]
    assert (happy.voted_label, sad.voted_label, silent.voted_label) == (0, -1, -1)
    assert silent.soft_label == (0.0, 1.0)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ((3, "1 2 3", "Training"), r"line 8 has 3 pixels, not 48x48 = 2304"),
        ((3, " ".join(["256"] * 2304), "Training"), "line 8: a pixel is not a number in 0..255"),
        ((3, " ".join(["x"] * 2304), "Training"), "line 8: a pixel is not"),
        ((7, FACES[0][1], "Training"), "line 8: emotion '7' is not one of 0..6"),
        (("", FACES[0][1], "Training"), "line 8: emotion ''"),
        ((3, FACES[0][1], "Test"), "line 8: Usage 'Test' is not one of Training, PublicTest"),
    ],
)
def test_a_fault_in_fer2013_is_named_with_its_line(tmp_path: Path, row: tuple[object, str, str], says: str) -> None:
    fails(fer(tmp_path, [*FACES, row])["source"], tmp_path / "out", says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("emotion,pixels\n3,1\n", "no column Usage"),
        ("emotion,pixels,Usage\n3,1\n", "line 2 has 2 cells, but there are 3 columns"),
        ("emotion,pixels,Usage\n", "has no rows"),
    ],
)
def test_another_table_than_fer2013_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    fails(tmp_path / "x.csv", tmp_path / "out", says)


@pytest.mark.parametrize(
    ("votes", "says"),
    [
        (["Training,,0,9,0,0,0,0,0,0,1,0"], r"line 3: .*fer2013new\.csv has fewer rows"),
        (["Training,,0,9,0,0,0,0,0,0,1,0"] * 6, r"line 6 has Usage PublicTest, but .* has Training"),
        (["Training,,0,-9,0,0,0,0,0,0,1,0"], "line 2: '-9' is not a number of votes"),
        (["Training,,0,9,0,0,0"], "line 2 has 7 cells"),
        ([f"{row[2]},,0,9,0,0,0,0,0,0,1,0" for row in [*FACES, FACES[0]]], "has 7 rows, .* 6; they do not belong"),
    ],
)
def test_votes_of_another_table_are_refused(tmp_path: Path, votes: list[str], says: str) -> None:
    paths = fer(tmp_path, FACES, votes)
    fails(paths["source"], tmp_path / "out", says, votes=paths["votes"])
