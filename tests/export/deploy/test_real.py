"""The real pocketsight on a board: its checks, its status, models by reload, and back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pocketsight.device.inference import golden
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.inference.shipped import MODEL_NAMES
from tests.support.ai_camera import write_camera_file
from tests.support.board_wheels import real_wheel
from tests.support.boards import DeployedBoard
from tests.support.processes import until
from tests.support.sshd import SshServer

pytestmark = pytest.mark.debian("sshd", "ssh")


@pytest.fixture
def board(server: SshServer, tmp_path: Path) -> Iterator[DeployedBoard]:
    board = DeployedBoard(server, tmp_path / "prefix")
    yield board
    board.stop()
    for program in server.path.iterdir():
        program.unlink()


def unreliable(path: Path) -> Path:
    """A detector whose outputs are not those that its golden inputs ask for."""
    source = MODEL_NAMES["tiny"]
    flatbuffer, spec = read_model_file(source)
    entries = {
        name: bytes(255 - byte for byte in data) for name, data in golden.zip_entries(golden.read(source)).items()
    }
    path.write_bytes(pack_model_file(flatbuffer, replace(spec), entries))
    return path


def test_models_alone_and_back(board: DeployedBoard, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    settings.write_text('[camera]\nsource = "synthetic"\nfps = 5\n[log]\ntargets = ["events.jsonl"]\n')
    wheel = real_wheel(tmp_path)
    camera_file = write_camera_file(tmp_path / "detector.imx500.zip")
    board.server.stand_in("imx500-package", 'mkdir -p "$4"; (printf rpk; cat "$2") > "$4/network.rpk"')
    words = "--settings", settings, "--models", camera_file, "--models"
    said = board.push(wheel, *words, MODEL_NAMES["detector"])
    assert "no AI Camera is connected, although detector.imx500.zip exists" in said
    (prepared,) = (board.prefix / "current/models").glob("detector-*.rpk")
    assert prepared.read_bytes() == b"rpkpacked"
    state, process = board.state(), board.service.process()
    sums = {name: read_model_file(MODEL_NAMES[name])[1].short_sum for name in ("detector", "tiny")}
    assert state["version"] == "1.0" and state["models"]["detector"] == f"detector {sums['detector']}"
    assert (board.prefix / "current/settings.toml").stat().st_mode & 0o777 == 0o640
    said = board.push(wheel, *words, unreliable(tmp_path / "bad.tflite"), status=1)
    assert "not reliable on this machine" in said or "is damaged" in said
    assert (board.service.process(), board.releases.current) == (process, state["release"])
    said = board.push(wheel, *words, MODEL_NAMES["tiny"])
    assert "reloading" in said and board.service.process() == process
    assert board.state()["models"]["detector"] == f"detector {sums['tiny']}"
    os.kill(process, 9)  # after a reboot it is the same
    until(lambda: board.service.process() not in (0, process) and bool(board.version), 60)
    assert board.state()["models"]["detector"] == f"detector {sums['tiny']}"
    board.deploy("--rollback", "--watch", "0.3")
    assert board.state()["models"]["detector"] == f"detector {sums['detector']}"
    board.require_sound()
