"""Commands and files over a real sshd."""

from pathlib import Path

import pytest

from pocketsight.device.errors import BoardError
from pocketsight.export.deploy.ssh import HERE, Board
from tests.support.sshd import SshServer

pytestmark = pytest.mark.debian("sshd", "ssh")


@pytest.mark.parametrize("here", [False, True])
def test_commands_and_files(server: SshServer, tmp_path: Path, here: bool) -> None:
    with Board(HERE if here else "board", server.config) as board:
        assert board.run("cat; echo $((6 * 7))", b"\0 typed\n") == "\0 typed\n42\n"
        content = bytes(range(256)) * 1000
        (tmp_path / "a file").write_bytes(content)
        board.put({"a 'name'": tmp_path / "a file", "deep/down": b"x"}, str(tmp_path / "on board"))
        board.get(str(tmp_path / "on board"), tmp_path / "home")
    assert (tmp_path / "home/a 'name'").read_bytes() == content
    assert (tmp_path / "home/deep/down").read_bytes() == b"x"


def test_one_login_serves_all_commands(server: SshServer) -> None:
    before = server.log.read_text().count("Accepted publickey")
    with Board("board", server.config) as board:
        for _ in range(3):
            board.run("true")
    assert server.log.read_text().count("Accepted publickey") == before + 1


def test_the_login_ends_with_the_block(server: SshServer) -> None:
    with Board("board", server.config) as board:
        folder = board._folder
        assert folder and (folder / "socket").exists()
    assert not folder.exists()


def test_errors_name_the_board_and_the_reason(server: SshServer, tmp_path: Path) -> None:
    with Board("board", server.config) as board:
        with pytest.raises(BoardError, match=r"^board: reading /nowhere failed with status \d: .*/nowhere"):
            board.get("/nowhere", tmp_path)
        with pytest.raises(BoardError, match=r"^board: exit failed with status 3: no message$"):
            board.run("exit 3")
    for host in ("", "-oProxyCommand=touch /tmp/bad", "two words"):
        with pytest.raises(BoardError, match="is not a host"):
            Board(host)


def test_a_host_key_that_is_unknown_or_has_changed_is_refused(server: SshServer, tmp_path: Path) -> None:
    config = tmp_path / "config"
    for known in ("", f"[127.0.0.1]:{server.port} {server.user_key.with_suffix('.pub').read_text()}"):
        (tmp_path / "known").write_text(known)
        text = server.config.read_text().replace(str(server.known_hosts), str(tmp_path / "known"))
        config.write_text(text)
        with pytest.raises(
            BoardError, match=r"^board cannot be reached: Host key verification failed.; try: ssh board"
        ):
            Board("board", config).__enter__()


def test_a_board_that_does_not_answer(server: SshServer, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(server.config.read_text().replace(f"Port {server.port}", "Port 1"))
    with pytest.raises(BoardError, match=r"cannot be reached: .*refused"):
        Board("board", config).__enter__()


def test_an_archive_of_a_board_cannot_leave_its_folder(server: SshServer, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "link").symlink_to("/etc")
    with Board("board", server.config) as board, pytest.raises(BoardError, match="cannot be copied"):
        board.get(str(tmp_path / "there"), tmp_path / "home")
