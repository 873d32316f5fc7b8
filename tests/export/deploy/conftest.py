"""One ssh server for all tests of this folder, and a board behind it for each."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.board_wheels import stand_in_wheel
from tests.support.boards import DeployedBoard
from tests.support.processes import until
from tests.support.sshd import SshServer, ssh_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A real sshd."""
    with ssh_server(tmp_path_factory.mktemp("sshd") / "server") as server:
        yield server


@pytest.fixture
def wheel(tmp_path: Path) -> Callable[..., Path]:
    """Makes a stand-in wheel of a version."""
    return lambda version, *words, **more: stand_in_wheel(tmp_path / "wheels", version, *words, **more)


@pytest.fixture(scope="session")
def deployed(server: SshServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix to which 0.9 and then 1.0 were deployed. Nothing runs there."""
    folder = tmp_path_factory.mktemp("deployed")
    board = DeployedBoard(server, folder / "prefix")
    for version in ("0.9", "1.0"):
        board.push(stand_in_wheel(folder, version), watch=0)
    board.stop()
    return board.prefix


@pytest.fixture
def fresh_board(server: SshServer, tmp_path: Path) -> Iterator[DeployedBoard]:
    """A board without anything."""
    board = DeployedBoard(server, tmp_path / "prefix")
    yield board
    board.stop()
    for program in server.path.iterdir():
        program.unlink()


@pytest.fixture
def board(fresh_board: DeployedBoard, deployed: Path) -> DeployedBoard:
    """A board that runs 1.0."""
    shutil.copytree(deployed, fresh_board.prefix, symlinks=True)
    fresh_board.service.restart()
    until(lambda: fresh_board.version == "1.0")
    return fresh_board
