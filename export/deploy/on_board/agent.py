"""The board's side of a deployment: reads requests from standard input, and answers on standard output.

A request is a line of JSON, in which `do` names a method of Agent and the rest are its arguments; `data` is the number
of bytes that follow it. Answers are lines of JSON: {"say": progress}, and at the end {"done": result} or
{"error": message}. The lock of the deployment is held until the connection ends. A change of the running release is
always brought to its end, with or without a connection.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from pocketsight.export.deploy.on_board.releases import SETTINGS, Refused, Releases, write_file
from pocketsight.export.deploy.on_board.service import NAME, lock_file, open_service, read_status
from pocketsight.export.deploy.on_board.supervisor import Supervisor
from pocketsight.export.deploy.on_board.switch import LOCK, UNFINISHED, prepare_start, recover, switch

# Findings of `pocketsight doctor` that stop a deployment. The others may come from the run that is to be replaced: it
# holds the camera and the port of the page.
DECISIVE = {"Python", "interpreter", "OpenCV", "models", "settings"}
REPORTED = {"AI Camera"}  # findings that are reported also when they are warnings
CHECK_TIMEOUT = 600  # seconds
BENCH_FRAMES = 100


class Agent:
    """One deployment. The methods are the requests."""

    def __init__(self, prefix: str, kind: str, archive: Path) -> None:
        self.prefix, self.archive = Path(os.path.expanduser(prefix)), archive
        self.releases, self.service = Releases(self.prefix), open_service(kind, self.prefix)
        self.lock = -1

    def status(self) -> dict[str, Any]:
        """What runs. Changes nothing."""
        run, disk = read_status(self.service), _disk_free(self.prefix)
        keys = "uptime_s", "fps", "temperature", "faults", "version", "models", "frames"
        return {
            "release": self.releases.current,
            "previous": self.releases.previous,
            "running": bool(self.service.process()),
            "unfinished": (self.prefix / UNFINISHED).exists(),
            **{key: run.get(key) for key in keys},
            "disk_free": disk,
        }

    def kept(self) -> dict[str, tuple[str, int]]:
        """Models and settings of the current release: path, sum and size."""
        return self.releases.own_files(self.releases.current)

    def plan(self, name: str, sums: str) -> dict[str, Any]:
        """What a deployment of a release would copy. Changes nothing."""
        return {"current": self.releases.current, "missing": self.releases.missing(name, sums)}

    def begin(self) -> dict[str, Any]:
        """Lock the board for this deployment, and go back from one that was cut off."""
        self.prefix.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            self.lock = lock_file(self.prefix / LOCK)
        except BlockingIOError as error:
            raise Refused("another deployment is at work on this board; try again when it has ended") from error
        write_file(self.prefix / "agent.pyz", self.archive.read_bytes())
        return {"left": recover(self.releases, self.service), "current": self.releases.current}

    def prepare(self, name: str, sums: str, size: int) -> dict[str, Any]:
        """Make room and a folder for a release; says which files are missing."""
        missing = self.releases.prepare(name, sums, size)
        return {"missing": missing, "verified": self.releases.is_verified(name)}

    def write(self, name: str, sizes: dict[str, int], content: bytes = b"") -> None:
        """Files of a release, one after another in `content`."""
        start = 0
        for path, size in sizes.items():
            self.releases.write(name, path, content[start : start + size])
            start += size

    def settings(self, path: str, content: bytes) -> bool:
        """The settings of the board, if it has none yet; returns whether it got them."""
        file = Path(os.path.expanduser(path))
        if file.exists():
            return False
        write_file(file, content)
        return True

    def check(self, name: str, models: list[str], settings: str) -> dict[str, Any]:
        """Compile a release, and run its doctor, verify and bench. Nothing that runs is touched."""
        say("comparing its sums")
        self.releases.verify(name)
        say("compiling")
        self.releases.compile(name)
        folder = self.releases.folder / name
        chosen = [word for path in models for word in (f"--{Path(path).stem}", str(folder / path))]
        say("doctor")
        own = folder / SETTINGS
        config = ["--config", str(own if own.exists() else Path(os.path.expanduser(settings)))]
        report = json.loads(self._pocketsight(name, "doctor", "--json", *config, *chosen, may_fail=True))
        wrong = [
            each
            for each in report["findings"]
            if each["level"] == "fail" or (each["level"] == "warn" and each["name"] in REPORTED)
        ]
        for each in wrong:
            if each["name"] in DECISIVE:
                raise Refused(f"doctor: {each['name']}: {each['message']}; {each['fix']}")
        say("verify")
        self._pocketsight(name, "verify", *(str(folder / path) for path in models))
        say("bench")
        words = "bench", "--frames", str(BENCH_FRAMES), "--warmup", "5", "--threads", "1", "--json"
        fps = json.loads(self._pocketsight(name, *words, *chosen))["fps"]
        self.releases.mark_verified(name)
        return {"fps": fps, "warnings": [_as_text(each) for each in wrong]}

    def apt(self, packages: list[str]) -> str:
        """Install packages of Debian; returns why it failed, or ""."""
        say(f"apt install {' '.join(packages)}")
        update = _apt("update", "-q")
        # Without this, a board without internet would wait for each package.
        if update.returncode and not re.search("^(Hit|Get):", update.stdout, re.MULTILINE):
            return _apt_error(update)
        install = _apt("install", "-qq", "-y", "--no-install-recommends", *packages)
        return _apt_error(install) if install.returncode else ""

    def install(self, unit: str, udev: str) -> bool:
        """The service. Returns whether it has changed, so that a reload is not enough."""
        rules = Path("/etc/udev/rules.d/60-pocketsight.rules")
        if udev and not rules.exists():
            write_file(rules, udev.encode())
            subprocess.run(["udevadm", "control", "--reload"], capture_output=True)
        return self.service.install(unit, self.archive)

    def switch(self, name: str, models: dict[str, str], watch: float, may_reload: bool) -> str:
        """Run a release, and watch it. A reload is enough where only models differ from what runs."""
        by_reload = may_reload and bool(read_status(self.service)) and self.releases.differ_in_models(name)
        return switch(self.releases, self.service, name, models, watch, by_reload, say)

    def rollback(self, watch: float) -> dict[str, Any]:
        """Run the release before."""
        name = self.releases.previous
        if not name:
            raise Refused("there is no release to go back to")
        return {"release": name, "result": switch(self.releases, self.service, name, {}, watch, False, say)}

    def _pocketsight(self, name: str, *words: str, may_fail: bool = False) -> str:
        """What a command of a release prints."""
        program = self.releases.folder / name / "bin" / NAME
        done = subprocess.run(
            ["nice", "-n", "5", str(program), *words], capture_output=True, text=True, timeout=CHECK_TIMEOUT, cwd="/"
        )
        if done.returncode and not (may_fail and done.stdout.startswith("{")):
            lines = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()
            raise Refused(f"{words[0]}: {lines[-1].removeprefix('Error: ')}")
        return done.stdout


def say(text: str) -> None:
    """Report progress, if anybody still listens."""
    answer({"say": text})


def answer(message: dict[str, Any]) -> None:
    """Send a line to the workstation."""
    with suppress(OSError, ValueError):
        print(json.dumps(message), flush=True)


def serve(archive: Path) -> None:
    """Answer requests until the connection ends."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.umask(0o022)  # the service has another user, who must be able to read the release
    source = sys.stdin.buffer
    agent: Agent | None = None
    while line := source.readline():
        request = json.loads(line)
        if size := request.pop("data", 0):
            request["content"] = source.read(size)
            if len(request["content"]) < size:
                return  # the connection was lost
        try:
            if agent is None:
                agent = Agent(**request, archive=archive)
                answer({"done": None})
            else:
                answer({"done": getattr(agent, request.pop("do"))(**request)})
        except (Refused, OSError, subprocess.SubprocessError) as error:
            answer({"error": str(error) or type(error).__name__})


def main() -> None:
    """`agent.pyz supervise PREFIX`, `agent.pyz start PREFIX` before each start of a unit; else a deployment."""
    words = sys.argv[1:]
    if words[:1] == ["supervise"]:
        Supervisor(Path(words[1])).run()
    elif words[:1] == ["start"]:
        try:
            prepare_start(Releases(Path(words[1])))
        except Refused as error:
            sys.exit(str(error))
    else:
        archive = Path(sys.path[0])
        try:
            serve(archive)
        finally:
            shutil.rmtree(archive.parent, ignore_errors=True)


def _as_text(finding: dict[str, str]) -> str:
    return "; ".join(filter(None, [f"{finding['name']}: {finding['message']}", finding.get("fix")]))


def _apt(*words: str) -> subprocess.CompletedProcess[str]:
    """An index that cannot be fetched is an error too."""
    options = "-o", "Acquire::Retries=0", "-o", "APT::Update::Error-Mode=any"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        ["apt-get", *options, *words], capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
    )


def _apt_error(done: subprocess.CompletedProcess[str]) -> str:
    """The first error; the others follow from it."""
    lines = done.stderr.strip().splitlines()
    return next((line for line in lines if line.startswith("E:")), "apt-get failed")


def _disk_free(folder: Path) -> int | None:
    while not folder.exists():
        folder = folder.parent
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
