"""One ssh server for all tests of this folder, and a board behind it for each."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.board_wheels import stand_in_wheel
from tests.support.boards import DeployedBoard
from tests.support.sshd import SshServer, ssh_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A real sshd."""
    with ssh_server(tmp_path_factory.mktemp("sshd") / "server") as server:
        yield server


@pytest.fixture
def board(server: SshServer, tmp_path: Path) -> Iterator[DeployedBoard]:
    """A fresh board."""
    board = DeployedBoard(server, tmp_path / "prefix")
    yield board
    board.stop()
    for program in server.path.iterdir():
        program.unlink()


@pytest.fixture
def wheel(tmp_path: Path) -> Callable[..., Path]:
    """Makes a stand-in wheel of a version."""
    return lambda version, *words, **more: stand_in_wheel(tmp_path / "wheels", version, *words, **more)
