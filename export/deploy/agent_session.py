"""A conversation with the board's side of a deployment, `on_board/agent.py`, over one ssh channel."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import tempfile
import zipfile
from collections.abc import Callable
from importlib.resources import files
from types import TracebackType
from typing import Any, Self

from pocketsight.device.errors import BoardError
from pocketsight.export.deploy.ssh import Board, last_line

PACKAGE = "pocketsight.export.deploy.on_board"
# Reads its own code: the board needs nothing but Python, and no file is left there.
START = (
    "import sys, tempfile; source = sys.stdin.buffer; size = int(source.readline()); "
    "path = tempfile.mkdtemp() + '/agent.pyz'; file = open(path, 'wb'); file.write(source.read(size)); file.close(); "
    f"sys.path.insert(0, path); from {PACKAGE}.agent import main; main()"
)


class AgentSession:
    """Starts the agent on a board, with the rights of root if `root` holds.

    `kind` is that of the service: system, user or process. `password` is for sudo, which reads it from standard input.
    """

    def __init__(
        self, board: Board, python: str, prefix: str, kind: str, sudo: bool, password: str, say: Callable[[str], None]
    ) -> None:
        self.board, self.say, self.password = board, say, password
        sudo_words = ["sudo", "-k", "-S", "-p", ""] if password else ["sudo", "-n"]
        self.words = [*(sudo_words if sudo else ()), python, "-I", "-c", START]
        self.arguments = {"prefix": prefix, "kind": kind}

    def __enter__(self) -> Self:
        self.messages = tempfile.TemporaryFile()
        self.process = self.board.start(
            shlex.join(self.words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.messages
        )
        code = make_archive()
        password = self.password.encode() + b"\n" if self.password else b""
        try:
            self._send(password + str(len(code)).encode() + b"\n" + code)
            self._request(self.arguments)
        except BoardError:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def _close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                try:
                    stream.close()
                except OSError:
                    pass
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.messages.close()

    def ask(self, do: str, content: bytes = b"", **arguments: Any) -> Any:
        """The answer to a request. Raises BoardError when the board refuses it or the connection is lost."""
        return self._request({"do": do, **arguments, **({"data": len(content)} if content else {})}, content)

    def _request(self, request: dict[str, Any], content: bytes = b"") -> Any:
        self._send(json.dumps(request).encode() + b"\n" + content)
        assert self.process.stdout
        for line in self.process.stdout:
            answer = json.loads(line)
            if "say" in answer:
                self.say(answer["say"])
            elif "error" in answer:
                raise BoardError(f"{self.board.host}: {answer['error']}")
            else:
                return answer["done"]
        raise self._lost()

    def _send(self, data: bytes) -> None:
        assert self.process.stdin
        try:
            self.process.stdin.write(data)
            self.process.stdin.flush()
        except OSError as error:
            raise self._lost() from error

    def _lost(self) -> BoardError:
        self.messages.seek(0)
        reason = last_line(self.messages.read().decode(errors="replace"))
        return BoardError(
            f"{self.board.host}: the connection was lost{f' ({reason})' if reason else ''}; run the same "
            "command again. A change that had begun ends by itself: the board runs the new release, or goes back"
        )


def make_archive() -> bytes:
    """The code of the agent, as one file that Python can run."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr("__main__.py", f"from {PACKAGE}.agent import main\nmain()\n")
        parts = PACKAGE.split(".")
        for count in range(1, len(parts)):
            pack.writestr("/".join([*parts[:count], "__init__.py"]), "")
        for file in files(PACKAGE).iterdir():
            if file.name.endswith(".py"):
                pack.writestr("/".join([*parts, file.name]), file.read_text(encoding="utf-8"))
    return archive.getvalue()
