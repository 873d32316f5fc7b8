"""Wheels for boards: pocketsight itself, and a stand-in of a few lines whose behavior a test chooses."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tests.support import ROOT

# `pocketsight` as a deployment sees it. BEHAVIOR: "" or the name of a command that fails.
STAND_IN = """
import json, os, signal, sys, time
from pathlib import Path

BEHAVIOR = {behavior!r}

def main(prog_name=""):
    command = sys.argv[1]
    if command == BEHAVIOR:
        time.sleep({delay})
        sys.exit("Error: it was built to fail")
    if command == "bench" and BEHAVIOR == "slow bench":
        time.sleep({delay})
    if command in ("doctor", "bench"):
        print(json.dumps({{"findings": [], "fps": 12.5}}))
    if command == "run":
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        status = {{"pid": os.getpid(), "version": {version!r}, "models": {{}}, "fps": 9.0, "last_frame_age_s": {age}}}
        Path(os.environ["RUNTIME_DIRECTORY"], "status.json").write_text(json.dumps(status))
        if BEHAVIOR == "watch":
            time.sleep({delay})
            sys.exit("Error: it was built to end")
        while True:
            time.sleep(60)
"""


def _write_wheel(folder: Path, version: str, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"pocketsight-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as pack:
        for name, data in files.items():
            pack.writestr(f"pocketsight/{name}", data)
        metadata = f"Metadata-Version: 2.1\nName: pocketsight\nVersion: {version}\n"
        pack.writestr(f"pocketsight-{version}.dist-info/METADATA", metadata)
    return path


def real_wheel(folder: Path, version: str = "1.0") -> Path:
    """This checkout, with what a board needs."""
    files = {"__init__.py": (ROOT / "scripts/package/pocketsight/__init__.py").read_bytes()}
    for top in ("device", "models"):
        for path in (ROOT / top).rglob("*"):
            if path.is_file() and path.suffix not in (".h5", ".pyc", ".md"):
                files[str(path.relative_to(ROOT))] = path.read_bytes()
    return _write_wheel(folder, version, files)


def stand_in_wheel(folder: Path, version: str, behavior: str = "", delay: float = 0.0, age: float = 0.1) -> Path:
    """`behavior` names the command that fails after `delay` seconds: doctor, verify or bench, or watch for a run that
    ends after its start; or "slow bench". `age` is that of its newest frame."""
    main = STAND_IN.format(behavior=behavior, delay=delay, version=version, age=age)
    files = {"__init__.py": b"", "device/__init__.py": b"", "device/cli/__init__.py": b""}
    return _write_wheel(folder, version, files | {"device/cli/main.py": main.encode()})
