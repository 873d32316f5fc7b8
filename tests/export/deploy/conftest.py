"""One ssh server for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.support.sshd import SshServer, ssh_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """A real sshd; its stand-in programs are removed by `board_path`."""
    with ssh_server(tmp_path_factory.mktemp("sshd") / "server") as server:
        yield server
