"""The board has neither TensorFlow nor the workstation's code: device/ must not import them, not even late."""

import ast
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

DEVICE = ROOT / "device"
ALLOWED = {"numpy", "cv2", "click", "ai_edge_litert", "picamera2", *sys.stdlib_module_names}
EXTRAS = {"sinks": {"paho"}, "web": {"starlette", "uvicorn", "prometheus_client"}}  # by folder


@pytest.mark.parametrize("path", sorted(DEVICE.rglob("*.py")), ids=lambda path: path.stem)
def test_device_imports_only_what_a_board_has(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        for name in names:
            known = ALLOWED | EXTRAS.get(path.parent.name, set())
            allowed = name.startswith(("pocketsight.device", "pocketsight.models")) or name.split(".")[0] in known
            assert allowed, f"{path.name}:{node.lineno} imports {name}"
