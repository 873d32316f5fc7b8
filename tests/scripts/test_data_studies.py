"""Trainings without some sources."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.images import coco
from tests.support.scripts import script

IMAGES = [
    {"id": n, "file_name": "images/a.png", "width": 80, "height": 60, "group": f"g{n}", "source": source}
    for n, source in enumerate("aabbc")
]


def test_each_fold_leaves_its_sources_out_and_the_mean_is_of_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies, trained = script("benchmarks/data_studies"), []
    ap50 = {"a": 0.5, "b": 0.7, "c": 0.9}

    def score(data: dict[str, Any], test: Path, folder: Path, arch: str, samples: int, rest: Any) -> dict[str, Any]:
        left_out = sorted({image["source"] for image in json.loads(test.read_text())["images"]})
        trained.append(({image["source"] for image in data["images"]}, left_out, rest))
        tables = {"source": [{"slice": name, "ap50": ap50[name]} for name in left_out]} if len(left_out) > 1 else {}
        return {"ap50": ap50[left_out[0]], "slices": tables}

    monkeypatch.setattr(studies, "train_and_score", score)
    faces = coco(tmp_path, images=IMAGES, annotations=[])
    words = ["folds", str(faces), str(tmp_path / "out"), "--fold", "a,b", "--fold", "c", "--weights", "shipped"]
    done = CliRunner().invoke(studies.main, words, catch_exceptions=False)
    options = ("--weights", "shipped")
    assert trained == [({"c"}, ["a", "b"], options), ({"a", "b"}, ["c"], options)]
    assert done.output.splitlines() == [
        "a 0.500, b 0.700",
        "c 0.900",
        "mean AP50 of 3 left-out sources: 0.7000",
    ]


def test_an_unknown_source_is_named(tmp_path: Path) -> None:
    faces = coco(tmp_path, images=IMAGES, annotations=[])
    words = ["folds", str(faces), str(tmp_path / "out"), "--fold", "a,x"]
    done = CliRunner().invoke(script("benchmarks/data_studies").main, words)
    assert done.exit_code == 2 and "no source x; there are a, b, c" in done.output
