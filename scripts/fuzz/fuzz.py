"""Damaged model files, manifests, golden inputs, pictures and settings: a clear error or a right answer, nothing else.

    python scripts/fuzz/fuzz.py [--count 20000] [--seed 0] [--kind model] [--subject detector]

Each damaged file is tried in a child process, so that a crash or a hang counts as what it is. What fails is kept in
--keep. Flatbuffers whose sum was made right again (`forged`) are tried too, but only counted: nothing can know them
from good ones before the interpreter reads them, so a file is to be trusted as far as its maker.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import click
import numpy as np

from pocketsight.device.cli.run import read_config, run
from pocketsight.device.errors import PocketsightError
from pocketsight.device.inference import golden
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.inference.manifest import MANIFEST_NAME
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, SHIPPED_MODELS
from pocketsight.device.vision.image import read_image

Rng = np.random.Generator
MakeFn = Callable[[Rng, Path], bytes]  # a damaged file, of a good model where it is one
TryFn = Callable[[Path, str], bool]  # what a user would do with it, a model for a task; whether the answer is right

GOOD, REFUSED, WRONG, BUG = range(4)  # exit status of a child
TIMEOUT_SECONDS = 10.0  # seconds
SUBJECTS = "classifier", "detector"
ODD_VALUES = (
    None,
    True,
    "",
    "x" * 5000,
    -1,
    0,
    1,
    2**63,
    1e308,
    float("nan"),
    [],
    {},
    [[]],
    ["happy"],
    {"a": []},
    "../../x",
)
CONFIG = (
    b'[camera]\nsource = "a.jpg"\nfps = 5.0\n[log]\ntargets = ["a.jsonl", "-"]\n[detect]\nzones = ["0,0.5 1,1 0,1"]\n'
    b"[models]\nthreads = 2\n[run]\nblur = true\n"
)


def corrupt(data: bytes, rng: Rng) -> bytes:
    """One to four of: bits turned, bytes overwritten, cut out, put in twice, or the end missing."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at, long = int(rng.integers(len(found) + 1)), int(2 ** rng.uniform(0, 10))
        match int(rng.integers(6)):
            case 0 if found:
                found[at % len(found)] ^= 1 << int(rng.integers(8))
            case 1:
                found[at : at + long] = rng.bytes(min(long, len(found) - at))
            case 2:
                del found[at : at + long]
            case 3:
                found[at:at] = found[at : at + long]
            case 4:
                found[at : at + 4] = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1])).to_bytes(4, "little")
            case _:
                del found[int(len(found) * rng.uniform(0.2, 1)) :]
    return bytes(found)


def corrupt_model(rng: Rng, subject: Path) -> bytes:
    return corrupt(subject.read_bytes(), rng)


def corrupt_flatbuffer(rng: Rng, subject: Path) -> bytes:
    flatbuffer, spec = read_model_file(subject)
    broken = corrupt(flatbuffer, rng)
    return pack_model_file(broken, replace(spec, sha256=sha256(broken).hexdigest()))


def corrupt_manifest(rng: Rng, subject: Path) -> bytes:
    """One to three facts missing, of another kind, or beyond all bounds."""
    flatbuffer, spec = read_model_file(subject)
    facts = json.loads(spec.to_json())
    for _ in range(int(rng.integers(1, 4))):
        key = str(rng.choice(list(facts)))
        if rng.random() < 0.2:
            facts.pop(key)
        else:
            facts[key if rng.random() < 0.9 else "more"] = ODD_VALUES[int(rng.integers(len(ODD_VALUES)))]
        if not facts:
            break
    file = io.BytesIO(flatbuffer)
    with ZipFile(file, "a") as archive:
        archive.writestr(MANIFEST_NAME, json.dumps(facts))
    return file.getvalue()


def corrupt_goldens(rng: Rng, subject: Path) -> bytes:
    flatbuffer, spec = read_model_file(subject)
    entries = golden.zip_entries(golden.read(subject))
    name = str(rng.choice(list(entries)))
    return pack_model_file(flatbuffer, spec, entries | {name: corrupt(entries[name], rng)})


def corrupt_image(rng: Rng, subject: Path) -> bytes:
    return corrupt(EXAMPLE_IMAGE.read_bytes(), rng)


def corrupt_config(rng: Rng, subject: Path) -> bytes:
    return corrupt(CONFIG, rng)


@cache  # before the first child, so that each has it
def reference_model(task: str) -> tuple[Any, Any]:
    """An undamaged model, and its outputs for one picture."""
    model = load_on_cpu(SHIPPED_MODELS[task], task, threads=1)
    return model, model.infer(_gray_image(model))


def _gray_image(model: Any) -> Any:
    return np.full((*model.spec.size, 3), 90, np.uint8)


def try_model(path: Path, task: str) -> bool:
    """Load it, replay what it says it computes, look at one picture; the same as the undamaged one's, if it runs."""
    loaded = load_on_cpu(path, task, threads=1)
    golden.check_golden(loaded, path)
    outputs, wanted = loaded.infer(_gray_image(loaded)), reference_model(task)[1]
    return all((outputs[name].values == wanted[name].values).all() for name in wanted)


def try_forged(path: Path, task: str) -> bool:
    loaded = load_on_cpu(path, task, threads=1)
    loaded.infer(_gray_image(loaded))
    return True


def try_image(path: Path, task: str) -> bool:
    image = read_image(path)
    detect(image, reference_model("detector")[0])
    return image.ndim == 3


def try_config(path: Path, task: str) -> bool:
    read_config(run, ["--config", str(path)])
    return True


KINDS: dict[str, tuple[MakeFn, TryFn, str]] = {
    "model": (corrupt_model, try_model, "m.tflite"),
    "manifest": (corrupt_manifest, try_model, "m.tflite"),
    "golden": (corrupt_goldens, try_model, "m.tflite"),
    "picture": (corrupt_image, try_image, "p.jpg"),
    "settings": (corrupt_config, try_config, "s.toml"),
    "forged": (corrupt_flatbuffer, try_forged, "m.tflite"),
}


def run_in_child(attempt: TryFn, path: Path, task: str) -> int:
    """What became of it, as exit status; negative: the signal that killed the child, or -SIGALRM for a hang."""
    pid = os.fork()
    if pid == 0:
        status = BUG
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(os.open(path.with_suffix(".said"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            signal.alarm(int(TIMEOUT_SECONDS))
            status = GOOD if attempt(path, task) else WRONG
        except PocketsightError as error:
            status = REFUSED if str(error) and "\n" not in str(error) else BUG
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    _, code = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(code)


def fuzz(kind: str, count: int, seed: int, keep: Path, task: str) -> Counter[str]:
    """Try `count` damaged files of a kind, of the model for a task; how many ended in which way."""
    make, attempt, name = KINDS[kind]
    found: Counter[str] = Counter()
    reference_model(task), reference_model("detector")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        for number in range(count):
            path.write_bytes(make(np.random.default_rng([seed, number]), SHIPPED_MODELS[task]))
            status = run_in_child(attempt, path, task)
            ways = {GOOD: "right", REFUSED: "refused", WRONG: "wrong", BUG: "bug", -signal.SIGALRM: "hang"}
            way = ways.get(status, f"crash {status}")
            found[way] += 1
            if status not in (GOOD, REFUSED):
                keep.mkdir(parents=True, exist_ok=True)
                path.rename(keep / f"{kind}-{seed}-{number}-{way.replace(' ', '')}{path.suffix}")
                if (said := path.with_suffix(".said")).exists() and said.stat().st_size:
                    said.rename(keep / f"{kind}-{seed}-{number}.txt")
    return found


@click.command()
@click.option("--count", default=20_000, show_default=True, help="Files in all; settings and pictures among them.")
@click.option("--seed", default=0, show_default=True)
@click.option("--kind", type=click.Choice(list(KINDS)), multiple=True, help="Only this kind.  [default: all]")
@click.option("--subject", type=click.Choice(SUBJECTS), default=SUBJECTS[0], show_default=True, help="Which model.")
@click.option("--keep", type=click.Path(path_type=Path), default=Path("fuzz"), show_default=True)
def main(count: int, seed: int, kind: tuple[str, ...], subject: str, keep: Path) -> None:
    """Exit status 1 if anything but `forged` ended badly."""
    bad = 0
    for name in kind or tuple(KINDS):
        begun = time.monotonic()
        found = fuzz(name, count // len(kind or KINDS), seed, keep, subject)
        ended: Any = ", ".join(f"{way} {number:,}" for way, number in sorted(found.items()))
        click.echo(f"{name:9} {sum(found.values()):,}: {ended} ({time.monotonic() - begun:.0f} s)")
        if name != "forged":
            bad += sum(number for way, number in found.items() if way not in ("right", "refused"))
    if bad:
        sys.exit(f"{bad} ended badly; they are in {keep}")


if __name__ == "__main__":
    main()
