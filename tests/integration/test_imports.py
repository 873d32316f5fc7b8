"""Imports: what a board has, and the order of the layers.

The board has neither TensorFlow nor the code of the workstation: device/ must not import them, not even late. Within
device/, train/ and export/ each layer imports only layers before it. Imports for type checkers count too.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

DEVICE = ROOT / "device"
ALLOWED = {"numpy", "cv2", "click", "ai_edge_litert", "picamera2", *sys.stdlib_module_names}
EXTRAS = {  # by folder
    "camera": {"av", "libcamera"},
    "vision": {"PIL", "pillow_heif"},
    "sinks": {"paho"},
    "mqtt": {"paho"},
    "web": {"starlette", "uvicorn", "prometheus_client"},
}

# Each line imports only from the lines before it, and the names on a line not from each other.
LAYERS = """
device/errors device/faults
device/system
device/vision
device/inference
device/results device/tracking device/synthetic
device/annotators device/camera
device/sinks device/web
device/runtime
device/bench device/doctor
device/cli
train/recipe train/console train/keras_backend train/nvidia train/contact_sheet train/html_page
train/gpu train/gpu_checks
train/datasets/splits
train/datasets/formats
train/datasets train/networks
train/run_folder
train/evaluation
train/curation train/training
train/cli
export
"""
LEVELS = {name: level for level, line in enumerate(LAYERS.strip().splitlines()) for name in line.split()}
FOLDERS = "device", "train", "export"


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that a file imports; of `from a import b` both a.b and, if it is one, a."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def layer_of(module: str) -> str:
    """The layer of a module below pocketsight, such as `train/datasets/formats`; "" for the package itself."""
    parts = module.split(".")
    names = ("/".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((name for name in names if name in LEVELS), "")


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", sorted(DEVICE.rglob("*.py")), ids=lambda path: path.stem)
def test_device_imports_only_what_a_board_has(path: Path) -> None:
    known = ALLOWED | EXTRAS.get(path.parent.name, set())
    for line, name in imports(path):
        is_known = name.startswith(("pocketsight.device", "pocketsight.models")) or name.split(".")[0] in known
        assert is_known, f"{path.name}:{line} imports {name}"


def test_every_module_has_a_layer() -> None:
    modules = {path.parts[len(ROOT.parts)]: path for path in ROOT.glob("*/*.py")}
    assert set(FOLDERS) <= set(modules)
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            module = module_of(path)
            assert layer_of(module) or module in FOLDERS, module


@pytest.mark.parametrize("layer", LEVELS)
def test_a_layer_imports_only_those_before_it(layer: str) -> None:
    wrong = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if layer_of(module_of(path)) != layer:
                continue
            for line, name in imports(path):
                target = layer_of(name.removeprefix("pocketsight.")) if name.startswith("pocketsight.") else ""
                if target and target != layer and LEVELS[target] >= LEVELS[layer]:
                    wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)
