"""`deploy --check-on`: a worse model does not reach a board."""

import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.errors import BoardError
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.export.deploy.quality_gate import require_not_worse
from pocketsight.export.deploy.release import Kept
from pocketsight.export.deploy.ssh import HERE, Board
from pocketsight.train.evaluation import comparison

TINY = MODELS_DIR / "detector-tiny.tflite"


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, bytes]]:
    """The contents of the files that are compared. On "door" the new one is worse where it is the tiny one."""
    seen = []

    def compare(new: Path, old: Path, data: Any) -> Any:
        seen.append((new.read_bytes(), old.read_bytes()))
        verdict = "worse" if new == TINY else "no difference"
        return {"sources": [{"source": "door", "verdict": verdict}, {"source": "shed", "verdict": "better"}]}

    monkeypatch.setattr(comparison, "compare_models", compare)
    return seen


def board(current: Path, own: Path | None) -> dict[str, Kept]:
    """The running release with the shipped models, or with a detector of its own."""
    shutil.copytree(MODELS_DIR, current / "site/pocketsight/models", ignore=shutil.ignore_patterns("*.h5", "*.py*"))
    if not own:
        return {}
    (current / "models").mkdir()
    shutil.copy(own, current / "models/detector.tflite")
    return {"models/detector.tflite": Kept(sha256(own.read_bytes()).hexdigest(), own.stat().st_size)}


@pytest.mark.parametrize("own", [None, MODELS_DIR / "detector-large.tflite"])
def test_a_worse_model_is_refused(tmp_path: Path, compared: list[tuple[bytes, bytes]], own: Path | None) -> None:
    kept = board(tmp_path, own)
    with pytest.raises(BoardError, match=r"detector-tiny.tflite is worse than the detector of the board on door; see"):
        require_not_worse(Board(HERE), str(tmp_path), kept, [TINY], [tmp_path])
    assert compared == [(TINY.read_bytes(), (own or MODELS_DIR / "detector.tflite").read_bytes())]


def test_what_was_found_is_said_and_an_equal_file_is_not_scored(
    tmp_path: Path, compared: list[tuple[bytes, bytes]]
) -> None:
    models = [TINY, MODELS_DIR / "sentiment.tflite"]
    notes = require_not_worse(Board(HERE), str(tmp_path), board(tmp_path, TINY), models, [tmp_path])
    assert notes == ["classifier against that of the board: door: no difference, shed: better"] and len(compared) == 1
