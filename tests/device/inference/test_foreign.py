"""A .tflite of another program is inspected and measured as it is; one that was cut is told from it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from zipfile import ZipFile

import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.device.errors import ModelError
from pocketsight.device.inference.foreign import load_any
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.model_file import ForeignModelError, pack_model_file, read_contents, read_model_file
from pocketsight.device.inference.shipped import CLASSIFIER


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """The shipped classifier without its manifest."""
    path = tmp_path / "foreign.tflite"
    path.write_bytes(read_model_file(CLASSIFIER)[0])
    return path


def test_info_and_bench_take_it(foreign: Path) -> None:
    shown = CliRunner().invoke(main, ["info", str(foreign)])
    assert not shown.exit_code and "no manifest, made by another program" in shown.output
    assert "int8 1x64x64x3  scale 1, zero -128" in shown.output and "conv_2d" in shown.output
    costs = json.loads(CliRunner().invoke(main, ["info", "--macs", "--json", str(foreign)]).output)
    assert costs["costs"]["totals"]["macs"] > 1e6 and costs["manifest"] is None
    report = json.loads(
        CliRunner().invoke(main, ["bench", "--json", "--frames", "3", "--warmup", "0", str(foreign)]).output
    )
    (model,) = report["models"]
    assert (model["task"], model["arch"], model["precision"]) == ("model", "foreign", "int8") and model["p50"] > 0


def test_what_runs_needs_a_manifest(foreign: Path) -> None:
    for command in (["run", "--classifier", str(foreign)], ["verify", str(foreign)]):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 1 and f"export adopt {foreign}" in done.output.replace("\n", " ")
    with pytest.raises(ModelError, match="runs on the CPU only"):
        load_any(foreign, delegate="edgetpu")


def test_a_file_that_was_cut_is_not_taken_for_a_foreign_one(foreign: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tflite"
    whole, ours = foreign.read_bytes(), CLASSIFIER.read_bytes()
    cuts = [whole[: len(whole) * part // 8] for part in range(1, 8)]
    for data in (*cuts, whole[:-64], whole[:-4], ours[:-30], ours[: len(whole) + 900]):
        cut.write_bytes(data)
        with pytest.raises(ModelError, match="is cut short") as raised:
            read_model_file(cut)
        assert not isinstance(raised.value, ForeignModelError)
    cut.write_bytes(b"GIF89a" + bytes(99))
    with pytest.raises(ModelError, match="is not a model file"):
        read_contents(cut)


def test_an_empty_zip_behind_it_is_no_part_of_the_network(foreign: Path) -> None:
    """As TFLite's metadata library writes it where there are no associated files."""
    flatbuffer = foreign.read_bytes()
    file = io.BytesIO(flatbuffer)
    ZipFile(file, "a").close()
    foreign.write_bytes(file.getvalue())
    assert len(file.getvalue()) > len(flatbuffer) and read_contents(foreign) == (flatbuffer, {})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"labels": None}, "it lacks labels"),
        ({"format": None, "task": None}, "it lacks format"),
        ({"sha256": None}, "has no checksum in its manifest; add sha256: [0-9a-f]{64}"),
        ({"input_size": [32, 64]}, r"its input is 64x64 \(height x width\), not 32x64"),
        ({"labels": ["a", "b", "c", "d"]}, "its output logits has . values, but there are 4 labels"),
        ({"pixel_range": [0, 1]}, "pixels of 0 to 255 become 0 to 1, but its quantized input takes 0 to 255"),
        ({"task": "detector", "strides": [8], "classifies": None, "smoothing": None}, "it has no output score_8"),
        ({"task": "detector", "classifies": None, "smoothing": None}, "it has no output score;"),
        (
            {"task": "detector", "family": "mine", "classifies": None, "smoothing": None},
            "family 'mine' is not one of ssd",
        ),
        ({"fit": "crop"}, "fit 'crop' is not one of center, stretch"),
        ({"pixel_range": [1, 0]}, "is not two numbers"),
    ],
)
def test_a_manifest_made_by_hand_is_held_against_the_network(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    flatbuffer, spec = read_model_file(CLASSIFIER)
    manifest = {name: value for name, value in (spec.to_dict() | changes).items() if value is not None}
    path = tmp_path / "hand.tflite"
    data = pack_model_file(flatbuffer, spec)[: len(flatbuffer)]
    file = io.BytesIO(data)
    with ZipFile(file, "a") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
    path.write_bytes(file.getvalue())
    with pytest.raises(ModelError, match=reason):
        load_any(path, threads=1)


def test_the_manifests_of_our_own_models_stay_as_they_are() -> None:
    spec = read_model_file(CLASSIFIER)[1]
    assert not {"family", "pixel_range", "fit", "padding", "box_unit", "outputs"} & spec.to_dict().keys()
    assert ModelSpec.from_json(spec.to_json(), CLASSIFIER) == spec
