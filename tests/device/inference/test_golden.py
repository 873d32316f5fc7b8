"""What a model file computes is written into it, and asked of every machine."""

import json
import math
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.device.errors import ModelError
from pocketsight.device.inference import golden, interpreter
from pocketsight.device.inference.golden import Golden, read, replay, zip_entries
from pocketsight.device.inference.interpreter import Model, load_on_cpu
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.inference.model_loader import load_model
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, MODELS_DIR
from pocketsight.device.vision.image import Image
from pocketsight.export.golden_inputs import make_golden_inputs
from tests.support.images import FACE, SENTIMENT

SHIPPED = MODELS_DIR / "detector.tflite"


def with_golden(path: Path, goldens: list[Golden] | None = None, **facts: Any) -> Path:
    """A copy of a shipped model, with golden inputs of its own or others."""
    flatbuffer, spec = read_model_file(SHIPPED)
    own = make_golden_inputs(load_on_cpu(SHIPPED, threads=1).infer, spec.input_size) if goldens is None else goldens
    path.write_bytes(pack_model_file(flatbuffer, replace(spec, **facts), zip_entries(own)))
    return path


def changed(goldens: list[Golden], by: int) -> list[Golden]:
    """One value of one output, the one nearest to 0, is another."""
    first = goldens[0]
    values = np.frombuffer(first.outputs["box_8"], np.int8).copy()
    place = int(np.abs(values.astype(int)).argmin())
    values.flat[place] += by
    return [first._replace(outputs=first.outputs | {"box_8": values.tobytes()}), *goldens[1:]]


def run(*words: object, status: int = 0) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == status, done.output
    return done.output


def test_a_model_computes_what_its_file_says(tmp_path: Path) -> None:
    path = with_golden(tmp_path / "a.tflite")
    values = sum(len(data) for one in read(path) for data in one.outputs.values())
    assert f"a.tflite: bit-exact, {values:,} values of 2 inputs on " in run("verify", path)


def test_the_shipped_models_have_golden_inputs_and_keep_them() -> None:
    for row in json.loads(run("verify", "--json")):
        assert row["inputs"] == 2 and row["verdict"] in ("bit-exact", "within 1 step"), row


def test_golden_inputs_are_of_all_kinds_of_values_and_small(tmp_path: Path) -> None:
    path = with_golden(tmp_path / "a.tflite")
    assert path.stat().st_size - len(read_model_file(path)[0]) < 50_000
    for one in read(path):
        assert len(one.image) == 3 * math.prod(read_model_file(path)[1].input_size) and len(set(one.image)) > 5
        assert all(len(set(data)) > 4 for name, data in one.outputs.items() if name.startswith("box"))


@pytest.mark.parametrize(("by", "verdict"), [(1, "within 1 step"), (14, "within 14 steps"), (-40, "FAILED")])
def test_what_rounding_does_is_forgiven_and_more_is_not(tmp_path: Path, by: int, verdict: str) -> None:
    goldens = make_golden_inputs(load_on_cpu(SHIPPED, threads=1).infer, read_model_file(SHIPPED)[1].input_size)
    path = with_golden(tmp_path / "a.tflite", changed(goldens, by))
    said = run("verify", path, status=int(verdict == "FAILED"))
    assert f"a.tflite: {verdict}" in said and "in output box_8 of input 0 at (" in said
    assert ("Error: not reliable on this machine" in said) == (verdict == "FAILED")
    assert ("try another version of the interpreter" in said) == (verdict == "FAILED")


def test_verify_of_what_never_ran_blames_no_interpreter(tmp_path: Path) -> None:
    said = run("verify", SHIPPED, tmp_path / "none.tflite", status=1)
    assert said.count("FAILED") == 1 and said.rstrip().endswith("none.tflite; the reason is above")


def test_a_run_refuses_a_model_that_computes_something_else_unless_told(tmp_path: Path) -> None:
    goldens = make_golden_inputs(load_on_cpu(SHIPPED, threads=1).infer, read_model_file(SHIPPED)[1].input_size)
    path = with_golden(tmp_path / "a.tflite", changed(goldens, 40))
    with pytest.raises(ModelError, match="gives other results here"):
        load_model(path, threads=1, verify=True)
    assert load_model(path, threads=1).spec.task == "detector"
    words = "run", "--camera", EXAMPLE_IMAGE, "--detector", path, "--threads", 1
    assert "gives other results here than at export: 40 steps apart" in run(*words, status=1)
    assert "faces: 1 happy" in run(*words, "--no-verify")


def test_a_model_without_golden_inputs_runs_and_says_so(tmp_path: Path) -> None:
    path = with_golden(tmp_path / "a.tflite", [])
    assert "has no golden inputs; export it again" in run("verify", path)
    assert "faces: 1 happy" in run("run", "--camera", EXAMPLE_IMAGE, "--detector", path, "--threads", 1)


def test_damaged_golden_inputs_are_one_line(tmp_path: Path) -> None:
    path = with_golden(tmp_path / "a.tflite", [])
    with ZipFile(path, "a") as archive:
        archive.writestr("golden/0", b"nothing")
    assert "a.tflite has damaged golden inputs" in run("verify", path, status=1)
    good = make_golden_inputs(load_on_cpu(SHIPPED, threads=1).infer, read_model_file(SHIPPED)[1].input_size)[0]
    for wrong in (Golden(b"short", good.outputs), Golden(good.image, good.outputs | {"box_8": b"x"})):
        other = with_golden(tmp_path / "b.tflite", [wrong])
        assert "golden inputs or outputs of another size" in run("verify", other, status=1)
    other = with_golden(tmp_path / "c.tflite", [Golden(good.image, {})])
    assert "golden outputs of another model" in run("verify", other, status=1)


def test_an_interpreter_older_than_the_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, module = with_golden(tmp_path / "a.tflite", min_runtime_version="2.17.0"), interpreter.import_runtime()[0]
    load_on_cpu(path, threads=1)
    monkeypatch.setattr(interpreter, "import_runtime", lambda: (module, "tflite-runtime 2.14.0"))
    with pytest.raises(ModelError, match=r"needs TFLite 2\.17\.0 or newer, but this is tflite-runtime 2\.14\.0"):
        load_on_cpu(path, threads=1)
    load_on_cpu(with_golden(tmp_path / "b.tflite", min_runtime_version="2.9.1"), threads=1)


def test_floats_may_differ_a_little_and_not_a_number_never_passes() -> None:
    def model(image: Image) -> dict[str, QuantizedTensor]:
        return {"logits": QuantizedTensor(np.array([100.0, 0.5], np.float32))}

    for values, steps in (([100.0001, 0.5], 0.001), ([100.0, 0.502], 2), ([100.0, np.nan], np.inf)):
        gap = replay(Model(model, SENTIMENT), [wanted({"logits": np.array(values, np.float32)})], Path("m"))
        assert gap.max_steps == pytest.approx(steps, rel=0.3) and gap.num_different == 1
        assert (gap.verdict == "FAILED") == (steps == np.inf)


def test_small_differences_everywhere_are_no_rounding() -> None:
    values = np.arange(-100, 100, dtype=np.int8)

    def model(image: Image) -> dict[str, QuantizedTensor]:
        return {"box": QuantizedTensor(values + np.int8(5), 0.02, -128)}

    gap = replay(Model(model, SENTIMENT), [wanted({"box": values})], Path("m"))
    assert gap.max_steps == 5 and gap.mean_steps == 5 and gap.verdict == "FAILED"


def wanted(outputs: dict[str, Any]) -> Golden:
    """A golden input for a model that looks at none."""
    return Golden(
        bytes(3 * math.prod(SENTIMENT.input_size)), {name: array.tobytes() for name, array in outputs.items()}
    )


def test_the_bytes_are_the_same_each_time() -> None:
    a, b = (zip_entries(make_golden_inputs(FACE.infer, FACE.spec.input_size)) for _ in range(2))
    assert [sha256(x).digest() for x in a.values()] == [sha256(x).digest() for x in b.values()]
    assert golden.ZIP_FOLDER in next(iter(a))
