"""Commands and files on a board, by OpenSSH's own client.

ssh reads the configuration, keys, agent, jump hosts and known hosts of the user. One login serves all commands of a
board. Without a terminal ssh asks nothing, so a password or an unknown host key is an error.
"""

from __future__ import annotations

import io
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

from pocketsight.device.errors import BoardError

HERE = "."
"""The name of this machine as a board: commands run without ssh."""

# Seconds until a board counts as unreachable, and until a silent connection counts as lost.
CONNECT_TIMEOUT, ALIVE_INTERVAL, ALIVE_COUNT = 20, 5, 3
# Seconds that an unused login stays open, should this process be killed.
PERSIST = 60
SSH_FAILED = 255  # its exit status for errors of its own; else it is that of the command


class Board:
    """A board that `ssh HOST` reaches; "." is this machine.

        with Board("pi@door.local") as board:
            print(board.run("uname -m"))
            board.put({"settings.toml": Path("door.toml")}, "/home/pi/settings")
            board.get("/var/lib/pocketsight/collected", Path("collected/door"))

    `host` is what ssh takes: a name of ~/.ssh/config, USER@HOST or ssh://USER@HOST:PORT. `config` replaces that file.
    Without `may_ask` ssh asks nothing, which suits several boards at once.
    All methods raise BoardError, which names the host, when the board cannot be reached or a command fails there.
    """

    def __init__(self, host: str, config: Path | None = None, may_ask: bool = True) -> None:
        if not host or host.startswith("-") or any(char.isspace() for char in host):
            raise BoardError(f"{host!r} is not a host; give a name of ~/.ssh/config, USER@HOST or ssh://USER@HOST:PORT")
        self.host, self.config = host, config
        self.may_ask = may_ask and bool(sys.stdin) and sys.stdin.isatty()
        self._folder: Path | None = None  # of the socket that commands share

    def __enter__(self) -> Self:
        """Log in. On a terminal ssh may ask for a password, a passphrase, or whether a host key is right."""
        if self.host == HERE:
            return self
        if not shutil.which("ssh"):
            raise BoardError("ssh is missing; install OpenSSH's client, on Debian: sudo apt install openssh-client")
        self._folder = Path(tempfile.mkdtemp(prefix="pocketsight-", dir="/tmp"))  # the path of a socket must be short
        try:
            self.run("true")
        except BoardError:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def command(self, command: str) -> list[str]:
        """The arguments that run a shell command on the board."""
        return ["sh", "-c", command] if self.host == HERE else [*self._ssh(), "--", self.host, command]

    def start(self, command: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a shell command on the board. `options` are those of Popen; end the process when it is not needed."""
        return subprocess.Popen(self.command(command), **options)

    def run(self, command: str, data: bytes = b"") -> str:
        """What a shell command prints. `data` is its standard input."""
        return self._run(command, data).decode(errors="replace")

    def put(self, files: Mapping[str, Path | bytes], folder: str) -> None:
        """Write files into a folder of the board: path below it to a file here, or its content. Makes folders."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, source in files.items():
                data = source if isinstance(source, bytes) else source.read_bytes()
                entry = tarfile.TarInfo(str(PurePosixPath(name)))
                entry.size, entry.mode = len(data), 0o644
                tar.addfile(entry, io.BytesIO(data))
        target = shlex.quote(folder)
        self._run(f"mkdir -p {target} && tar -x -C {target} -f -", archive.getvalue())

    def get(self, folder: str, into: Path) -> None:
        """Copy what is in a folder of the board into one here. Nothing can land outside it."""
        into.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile() as archive, self._stderr() as messages:
            words = self.command(f"cd {shlex.quote(folder)} && tar -c -f - .")
            status = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=archive, stderr=messages).returncode
            self._check(status, f"reading {folder}", messages)
            archive.seek(0)
            try:
                with tarfile.open(fileobj=archive) as tar:
                    tar.extractall(into, filter="data")
            except (tarfile.TarError, OSError) as error:
                raise BoardError(f"{self.host}: {folder} cannot be copied into {into}: {error}") from error

    def _run(self, command: str, data: bytes) -> bytes:
        with self._stderr() as messages:
            done = subprocess.run(self.command(command), input=data, stdout=subprocess.PIPE, stderr=messages)
            self._check(done.returncode, command.partition(" ")[0], messages)
            return done.stdout

    def _check(self, status: int, what: str, messages: Any) -> None:
        if not status:
            return
        messages.seek(0)
        reason = last_line(messages.read().decode(errors="replace"))
        if status == SSH_FAILED and self.host != HERE:
            raise BoardError(f"{self.host} cannot be reached: {reason or 'ssh gave no reason'}; try: ssh {self.host}")
        raise BoardError(f"{self.host}: {what} failed with status {status}: {reason or 'no message'}")

    @staticmethod
    def _stderr() -> Any:
        """A file for messages. A pipe would stay open as long as the shared login."""
        return tempfile.TemporaryFile()

    def _ssh(self) -> list[str]:
        options = {
            "ControlMaster": "auto",
            "ControlPath": f"{self._folder}/socket",
            "ControlPersist": PERSIST,
            "ConnectTimeout": CONNECT_TIMEOUT,
            "ServerAliveInterval": ALIVE_INTERVAL,
            "ServerAliveCountMax": ALIVE_COUNT,
            "BatchMode": "no" if self.may_ask else "yes",
            "LogLevel": "ERROR",
        }
        config = ["-F", str(self.config)] if self.config else []
        return [
            "ssh",
            "-T",
            "-C",
            *config,
            *(word for name, value in options.items() for word in ("-o", f"{name}={value}")),
        ]

    def _close(self) -> None:
        if self._folder:
            words = [*self._ssh(), "-O", "exit", "--", self.host]
            with suppress(OSError):
                subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def last_line(text: str) -> str:
    """The last line that is not empty, stripped; "" if there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
