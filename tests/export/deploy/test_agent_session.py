"""The conversation with a board, and sudo."""

import os
import sys
from pathlib import Path

import pytest

from pocketsight.device.errors import BoardError
from pocketsight.export.deploy.agent_session import AgentSession
from pocketsight.export.deploy.on_board.releases import name_digits
from pocketsight.export.deploy.ssh import Board

SUDO = """#!/bin/sh
# Asks for a password as sudo -S does, and notes how it was called.
echo "$*" >"$NOTES"
while [ "$1" != "-p" ]; do shift; done
shift 2
IFS= read -r given
[ "$given" = "secret" ] || { echo "Sorry, try again." >&2; exit 1; }
exec "$@"
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sudo").write_text(SUDO)
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    return tmp_path / "notes"


def session(password: str, folder: Path) -> AgentSession:
    return AgentSession(Board("."), sys.executable, str(folder / "prefix"), "process", True, password, print)


def test_the_password_of_sudo_is_in_no_command_line(notes: Path, tmp_path: Path) -> None:
    with session("secret", tmp_path) as agent:
        assert agent.ask("status")["release"] == ""
    assert notes.read_text().startswith("-k -S -p ") and "secret" not in notes.read_text()


def test_a_wrong_password_is_an_error(notes: Path, tmp_path: Path) -> None:
    with pytest.raises(BoardError, match=r"^\.: the connection was lost \(Sorry, try again\.\)"):
        session("wrong", tmp_path).__enter__()


def test_the_agent_leaves_no_file_and_refuses_what_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with AgentSession(Board("."), sys.executable, str(tmp_path / "prefix"), "process", False, "", print) as agent:
        with pytest.raises(BoardError, match=r"is no file of 1\.0"):
            agent.ask("write", b"x", name="1.0", sizes={"../../escape": 1})
        with pytest.raises(BoardError, match="does not fit its sums"):
            agent.ask("begin"), agent.ask("prepare", name="1.0-0123456789", sums="", size=0)
    assert [path.name for path in tmp_path.iterdir()] == ["prefix"]


def test_the_user_of_the_service_can_read_the_release(tmp_path: Path) -> None:
    """Whatever umask root has on the board."""
    sums = f"{'0' * 64}  site/package/file\n"
    mask = os.umask(0o077)
    try:
        with AgentSession(Board("."), sys.executable, str(tmp_path / "prefix"), "process", False, "", print) as agent:
            agent.ask("begin")
            agent.ask("prepare", name=f"1.0-{name_digits(sums)}", sums=sums, size=1)
    finally:
        os.umask(mask)
    folders = [path for path in (tmp_path / "prefix").rglob("*") if path.is_dir()]
    assert folders and all(path.stat().st_mode & 0o777 == 0o755 for path in folders)
