"""A board behind a real sshd: its releases, what runs there, and deployments to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from pocketsight.export.deploy.cli import deploy
from pocketsight.export.deploy.on_board.releases import Releases
from pocketsight.export.deploy.on_board.service import ProcessService, is_locked, read_status
from pocketsight.export.deploy.on_board.switch import LOCK
from tests.support.processes import running, until
from tests.support.sshd import SshServer

START = "from pocketsight.export.deploy.cli import deploy; deploy(prog_name='pocketsight deploy')"


class DeployedBoard:
    """The board `host` of a server, with its releases below `prefix`."""

    def __init__(self, server: SshServer, prefix: Path, host: str = "board") -> None:
        self.server, self.prefix, self.host = server, prefix, host
        self.releases, self.service = Releases(prefix), ProcessService(prefix)

    def words(self, *words: object) -> list[str]:
        """The arguments of a deployment to this board."""
        options = {"ssh-config": self.server.config, "prefix": self.prefix, "python": sys.executable}
        pairs = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return [*map(str, words), self.host, *pairs, "--service", "process"]

    def deploy(self, *words: object, status: int = 0) -> str:
        """What a deployment prints on both streams; it must end with `status`."""
        result = CliRunner().invoke(deploy, self.words(*words))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result.output

    def push(self, wheel: Path, *words: object, status: int = 0, watch: float = 0.3) -> str:
        """Deploy a wheel."""
        return self.deploy("--wheel", wheel, "--no-packages", "--watch", watch, *words, status=status)

    @contextmanager
    def pushing(self, wheel: Path, *words: object, watch: float = 0.3) -> Iterator[subprocess.Popen[str]]:
        """A deployment in a process of its own, whose progress can be read."""
        arguments = self.words("--wheel", wheel, "--no-packages", "--watch", watch, *words)
        with running([sys.executable, "-c", START, *arguments], stderr=subprocess.PIPE, text=True) as process:
            yield process

    def state(self) -> dict[str, Any]:
        """What `deploy status` says."""
        (state,) = json.loads(self.deploy("status", "--json"))
        return dict(state)

    @property
    def version(self) -> str:
        """That of the run, by its own status; "" if nothing runs."""
        return str(read_status(self.service).get("version", ""))

    def agents(self) -> list[int]:
        """Process ids of the agents."""
        found = []
        for session in self.server.sessions():
            for process in _descendants(session):
                with suppress(OSError):
                    if b"agent.pyz" in Path(f"/proc/{process}/cmdline").read_bytes():
                        found.append(process)
        return found

    def kill(self, victim: str, process: subprocess.Popen[str]) -> None:
        """End a part of a deployment at once."""
        targets = {"workstation": [process.pid], "agent": self.agents(), "connection": self.server.sessions()}[victim]
        for target in targets:
            with suppress(ProcessLookupError):
                os.kill(target, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until no deployment is at work."""
        until(lambda: not is_locked(self.prefix / LOCK), 60)

    def require_sound(self) -> None:
        """Nothing runs but the current release, and that has passed its checks and is whole."""
        if self.releases.current:
            assert self.releases.is_verified(self.releases.current)
            self.releases.verify(self.releases.current)
        if self.version:
            assert self.releases.current.startswith(f"{self.version}-")

    def stop(self) -> None:
        """End what runs there."""
        self.wait()
        self.service.stop()


def _descendants(process: int) -> list[int]:
    done = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True)
    children = [int(word) for word in done.stdout.split()]
    return [*children, *(each for child in children for each in _descendants(child))]
