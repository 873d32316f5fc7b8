"""The public Python API: `from pocketsight import ...`."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pocketsight
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE
from tests.support import ROOT

INIT = ROOT / "scripts" / "package" / "pocketsight" / "__init__.py"
MODULES: dict[str, str] = pocketsight._MODULES
CLASSES_WITHOUT_UNITS = {"Camera", "PocketsightError", "Pipeline", "Tracker"}
WORDS = {  # what the docstring of each function must say
    "annotate": ("(H, W, 3)", "labels"),
    "blur_faces": ("(H, W, 3)",),
    "classify": ("(H, W, 3)", "pixels"),
    "detect": ("(H, W, 3)", "0..1", "uint8"),
    "load_model": ("Raises ModelError",),
    "open_camera": ("Raises CameraError", "height, width"),
    "run": ("Raises PocketsightError",),
}


def imports_for_types() -> dict[str, str]:
    """Name and module of what type checkers see."""
    (block,) = (node for node in ast.parse(INIT.read_text()).body if isinstance(node, ast.If))
    return {
        alias.name: str(node.module).removeprefix("pocketsight.device.")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_every_exported_name_exists_and_no_other() -> None:
    assert pocketsight.__all__ == sorted(pocketsight.__all__)
    assert set(pocketsight.__all__) == set(MODULES)
    assert MODULES == imports_for_types()
    for name in pocketsight.__all__:
        assert getattr(pocketsight, name) is not None
        assert name in dir(pocketsight)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        pocketsight.nothing  # noqa: B018


def test_importing_pocketsight_imports_nothing_heavy() -> None:
    code = (
        "import pocketsight, sys; dir(pocketsight); pocketsight.__version__\n"
        "print([m for m in ('numpy', 'cv2', 'tensorflow', 'click') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", pocketsight.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    thing = getattr(pocketsight, name)
    text = inspect.getdoc(thing)
    assert text and not text.startswith(f"{name}("), "the docstring of a dataclass is not one"
    for word in WORDS.get(name, ()):
        assert word in text.replace("\n", " ")
    if inspect.isclass(thing):
        for attribute, value in vars(thing).items():
            is_code = inspect.isfunction(value) or isinstance(value, property)
            if is_code and not attribute.startswith("_"):
                assert inspect.getdoc(value), f"{name}.{attribute}"


def test_functions_are_all_in_the_table_of_words() -> None:
    functions = {n for n in pocketsight.__all__ if inspect.isfunction(getattr(pocketsight, n))}
    assert functions == set(WORDS)


def test_the_example_of_the_docstring_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = inspect.getdoc(pocketsight) or ""
    code = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    ") or not line)
    assert len([line for line in code.splitlines() if line]) == 6
    exec(code.replace('"0"', repr(str(EXAMPLE_IMAGE))), {})
    printed = capsys.readouterr().out
    assert printed.startswith("None Box(left=") and "happy" in printed


def test_a_run_from_python(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    config = pocketsight.RunConfig(camera=str(EXAMPLE_IMAGE), log=(str(log),), threads=1)
    summary = pocketsight.run(config)
    assert (summary.frames, summary.faces, dict(summary.label_counts)) == (1, 1, {"happy": 1})
    assert '"label":"happy"' in log.read_text()


def test_a_face_is_blurred_and_annotated() -> None:
    pipeline = pocketsight.Pipeline(
        pocketsight.load_model("detector", "detector", threads=1),
        pocketsight.load_model("classifier", "classifier", threads=1),
    )
    with pocketsight.open_camera(str(EXAMPLE_IMAGE)) as camera:
        (frame,) = camera
    result = pipeline(frame)
    (face,) = result.faces
    left, top, right, bottom = map(round, face.box)
    for changed in (
        pocketsight.blur_faces(frame.image, result),
        pocketsight.annotate(frame.image, result, pipeline.labels),
    ):
        assert changed.shape == frame.image.shape
        assert (changed != frame.image)[top:bottom, left:right].any()
    assert {name: pocketsight.load_model(name, threads=1).spec.task for name in ("tiny", "large")} == {
        "tiny": "detector",
        "large": "detector",
    }


def test_a_model_that_does_not_exist_is_an_error_of_pocketsight() -> None:
    with pytest.raises(pocketsight.PocketsightError, match="nowhere cannot be read"):
        pocketsight.load_model("nowhere")
