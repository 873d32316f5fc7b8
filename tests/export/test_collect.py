"""`pocketsight collect`, from a folder and over a real sshd."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pocketsight.device.errors import BoardError
from pocketsight.export.collect import collect, find_folder
from pocketsight.export.deploy import ssh
from tests.support.images import scene
from tests.support.sshd import ssh_server
from tests.train.curation.test_collected import BOX, keep


def run(*words: object) -> Result:
    return CliRunner().invoke(collect, list(map(str, words)), catch_exceptions=True)


def test_a_folder_is_collected_with_the_next_command(tmp_path: Path) -> None:
    keep(tmp_path / "kept", 1, scene(1), BOX)
    done = run(tmp_path / "kept", "-o", tmp_path / "out")
    assert f"{tmp_path}/out/door/2026-11-22: 1 new\nreasons: low-score 1\n" in done.output
    assert f"next: pocketsight data label {tmp_path}/out/door/2026-11-22" in done.output
    again = json.loads(run(tmp_path / "kept", "-o", tmp_path / "out", "--json").output)
    assert (again["added"], again["present"]) == ({}, 1)


@pytest.mark.debian("sshd", "ssh")
def test_a_board_is_collected_by_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "on the board" / "collected"
    keep(kept, 1, scene(1), BOX)
    with ssh_server(tmp_path / "sshd") as server:
        monkeypatch.setattr(ssh.Board.__init__, "__defaults__", (server.config, False))
        done = run("board", "--folder", kept, "-o", tmp_path / "out")
        missing = run("board", "--folder", kept / "no", "-o", tmp_path / "out")
        with ssh.Board("board") as board:
            monkeypatch.setattr("pocketsight.export.collect.BOARD_FOLDERS", f"/nowhere '{kept}'")
            assert find_folder(board) == str(kept)
            monkeypatch.setattr("pocketsight.export.collect.BOARD_FOLDERS", "/nowhere")
            with pytest.raises(BoardError, match="board has no kept frames that you may read"):
                find_folder(board)
    assert done.exit_code == 0 and "1 new" in done.output, done.output
    assert [path.name for path in (tmp_path / "out").rglob("*.jpg")] == ["20261122T040000Z-a3f2_0001_kept.jpg"]
    assert "board: reading" in str(missing.exception)
    assert len(list(kept.iterdir())) == 2  # nothing is deleted there
