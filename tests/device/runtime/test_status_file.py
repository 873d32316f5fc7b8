"""The status of a run as a file."""

import json
import os
from pathlib import Path

import pytest

from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.runtime.status_file import INTERVAL, StatusFile


def test_the_status_is_written_again_after_its_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}:/elsewhere")
    status = RunStatus("run-1", ("happy",))
    file = StatusFile(status)
    file.update(100.0)
    found = json.loads((tmp_path / "status.json").read_text())
    assert (found["pid"], found["run"], found["fps"]) == (os.getpid(), "run-1", 0)
    assert found["board"] and found["version"]
    status.info["board"] = "door"
    for now, board in ((100.1, found["board"]), (100.1 + INTERVAL, "door")):
        file.update(now)
        assert json.loads((tmp_path / "status.json").read_text())["board"] == board


def test_without_a_folder_or_with_one_that_is_gone_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("", str(tmp_path / "gone")):
        monkeypatch.setenv("RUNTIME_DIRECTORY", folder)
        StatusFile(RunStatus("r", ())).update(0.0)
    assert not list(tmp_path.iterdir())
