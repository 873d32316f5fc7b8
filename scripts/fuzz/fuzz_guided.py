"""Damaged manifests and settings by atheris: guided by coverage, where scripts/fuzz/fuzz.py is random.

    pip install atheris
    python scripts/fuzz/fuzz_guided.py manifest -max_total_time=300      # or: config. The options are libFuzzer's

Each file must be accepted or give a one-line error. Anything else is written to crash-... and ends the run. All files
are tried in one process, so crashes of the interpreter or of an image decoder are left to scripts/fuzz/fuzz.py.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import atheris

with atheris.instrument_imports(include=["pocketsight.device", "tomllib"]):
    from pocketsight.device.cli.run import read_config, run
    from pocketsight.device.errors import PocketsightError
    from pocketsight.device.inference.manifest import MANIFEST_NAME
    from pocketsight.device.inference.model_file import read_model_file
    from pocketsight.device.inference.shipped import MODELS_DIR

CONFIG = (
    b'[camera]\nsource = "a.jpg"\nfps = 5.0\n[log]\ntargets = ["a.jsonl", "-"]\n[detect]\nzones = ["0,0.5 1,1 0,1"]\n'
    b"[models]\nthreads = 2\n[run]\nblur = true\n"
)
WORDS = ["detector", "classifier", "int8", "happy", "box_8", "edgetpu", "../../x"]
TryFn = Callable[[bytes, Path], None]  # writes a file made from the bytes to the path, and uses it as a user would


def fuzz_manifest(data: bytes, path: Path) -> None:
    """A good manifest with one to four values missing or replaced."""
    choose = atheris.FuzzedDataProvider(data)
    facts = json.loads(REFERENCE[1].to_json())
    for _ in range(choose.ConsumeIntInRange(1, 4)):
        key = choose.PickValueInList(sorted(facts)) if facts else "task"
        if choose.ConsumeIntInRange(0, 9) == 0:
            facts.pop(key, None)
        else:
            facts[key] = _random_json(choose)
    file = io.BytesIO(REFERENCE[0])
    with ZipFile(file, "a") as archive:
        archive.writestr(MANIFEST_NAME, json.dumps(facts))
    path.write_bytes(file.getvalue())
    read_model_file(path)


def _random_json(choose: Any, depth: int = 0) -> Any:
    """A random JSON value."""
    match choose.ConsumeIntInRange(0, 8 if depth < 3 else 6):
        case 0:
            return None
        case 1:
            return choose.ConsumeBool()
        case 2:
            return choose.ConsumeIntInRange(-2, 1000)
        case 3:
            return choose.ConsumeInt(9)
        case 4:
            return choose.ConsumeFloat()
        case 5:
            return choose.ConsumeUnicodeNoSurrogates(12)
        case 6:
            return choose.PickValueInList(WORDS)
        case 7:
            return [_random_json(choose, depth + 1) for _ in range(choose.ConsumeIntInRange(0, 4))]
        case _:
            count = choose.ConsumeIntInRange(0, 3)
            return {choose.PickValueInList(WORDS): _random_json(choose, depth + 1) for _ in range(count)}


def fuzz_config(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    try:
        read_config(run, ["--config", str(path)])
    except PocketsightError as error:
        _require_clear_line(str(error))


def _require_clear_line(message: str) -> None:
    if not message or not message.isprintable():
        raise RuntimeError(f"not one clear line: {message!r}")


REFERENCE = read_model_file(MODELS_DIR / "sentiment.tflite")
TARGETS: dict[str, tuple[TryFn, bytes]] = {
    "manifest": (fuzz_manifest, bytes(range(256))),
    "config": (fuzz_config, CONFIG),
}


def main() -> None:
    if sys.argv[1:2] == [] or sys.argv[1] not in TARGETS:
        sys.exit(f"name what to fuzz: {' or '.join(TARGETS)}")
    attempt, seed = TARGETS[sys.argv[1]]
    folder = Path(tempfile.mkdtemp(prefix="pocketsight"))
    (folder / "corpus").mkdir()
    (folder / "corpus" / "seed").write_bytes(seed)
    path = folder / "file"

    def once(data: bytes) -> None:
        try:
            attempt(data, path)
        except PocketsightError as error:
            _require_clear_line(str(error))

    atheris.Setup([sys.argv[0], *sys.argv[2:], str(folder / "corpus")], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
