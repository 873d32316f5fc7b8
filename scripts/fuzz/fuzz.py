"""Damaged model files, manifests, golden inputs, images and settings must give a clear error or a correct result.

    python scripts/fuzz/fuzz.py [--count 20000] [--seed 0] [--kind model] [--model detector]

Each damaged file is tried in a child process, so that crashes and hangs are counted. Files that fail are kept in
--keep. Damaged flatbuffers with a corrected checksum (kind `flatbuffer`) are tried and counted, but never fail the
script: only the interpreter could detect the damage, so trust a model file as much as you trust its author.
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
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import click
import numpy as np

from pocketsight.device.cli.run import read_config, run
from pocketsight.device.errors import PocketsightError
from pocketsight.device.inference import golden
from pocketsight.device.inference.checksum import compute_checksum
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.inference.manifest import MANIFEST_NAME
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, SHIPPED_MODELS
from pocketsight.device.vision.image import read_image

Rng = np.random.Generator
MakeFn = Callable[[Rng, Path], bytes]  # makes a damaged file, from a good model file
TryFn = Callable[[Path, str], bool]  # uses the file, for a task, as a user would; whether the result is correct

CORRECT, REFUSED, WRONG, BUG = range(4)  # exit status of a child
TIMEOUT_SECONDS = 10.0
TASKS = "classifier", "detector"
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
CONFIG = b"""[camera]
source = "a.jpg"
fps = 5.0
[models]
threads = 2
[detect]
zones = ["0,0.5 1,1 0,1"]
[run]
blur = true
[log]
targets = ["a.jsonl", "-"]
"""


def corrupt(data: bytes, rng: Rng) -> bytes:
    """One to four damages: a flipped bit; bytes overwritten, removed or repeated; the end missing."""
    result = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at, length = int(rng.integers(len(result) + 1)), int(2 ** rng.uniform(0, 10))
        match int(rng.integers(6)):
            case 0 if result:
                result[at % len(result)] ^= 1 << int(rng.integers(8))
            case 1:
                result[at : at + length] = rng.bytes(min(length, len(result) - at))
            case 2:
                del result[at : at + length]
            case 3:
                result[at:at] = result[at : at + length]
            case 4:
                result[at : at + 4] = int(rng.choice([0, 1, 2**31 - 1, 2**32 - 1])).to_bytes(4, "little")
            case _:
                del result[int(len(result) * rng.uniform(0.2, 1)) :]
    return bytes(result)


def corrupt_model(rng: Rng, model_file: Path) -> bytes:
    return corrupt(model_file.read_bytes(), rng)


def corrupt_flatbuffer(rng: Rng, model_file: Path) -> bytes:
    flatbuffer, spec = read_model_file(model_file)
    broken = corrupt(flatbuffer, rng)
    return pack_model_file(broken, replace(spec, sha256=compute_checksum(broken)))


def corrupt_manifest(rng: Rng, model_file: Path) -> bytes:
    """A manifest with one to three values missing, of another type, or out of range."""
    flatbuffer, spec = read_model_file(model_file)
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


def corrupt_goldens(rng: Rng, model_file: Path) -> bytes:
    flatbuffer, spec = read_model_file(model_file)
    entries = golden.zip_entries(golden.read(model_file))
    name = str(rng.choice(list(entries)))
    return pack_model_file(flatbuffer, spec, entries | {name: corrupt(entries[name], rng)})


def corrupt_image(rng: Rng, model_file: Path) -> bytes:
    return corrupt(EXAMPLE_IMAGE.read_bytes(), rng)


def corrupt_config(rng: Rng, model_file: Path) -> bytes:
    return corrupt(CONFIG, rng)


@cache  # called before the first fork, so that every child has it
def reference_model(task: str) -> tuple[Any, Any]:
    """An undamaged model, and its outputs for one image."""
    model = load_on_cpu(SHIPPED_MODELS[task], task, threads=1)
    return model, model.infer(_gray_image(model))


def _gray_image(model: Any) -> Any:
    return np.full((*model.spec.input_size, 3), 90, np.uint8)


def try_model(path: Path, task: str) -> bool:
    """Load it and replay its golden inputs; whether its outputs for one image are those of the undamaged model."""
    loaded = load_on_cpu(path, task, threads=1)
    golden.check_golden(loaded, path)
    outputs, wanted = loaded.infer(_gray_image(loaded)), reference_model(task)[1]
    return all((outputs[name].values == wanted[name].values).all() for name in wanted)


def try_flatbuffer(path: Path, task: str) -> bool:
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
    "image": (corrupt_image, try_image, "p.jpg"),
    "config": (corrupt_config, try_config, "s.toml"),
    "flatbuffer": (corrupt_flatbuffer, try_flatbuffer, "m.tflite"),
}


def run_in_child(attempt: TryFn, path: Path, task: str) -> int:
    """The child's exit status; negative: the signal that killed it, with -SIGALRM for a hang."""
    pid = os.fork()
    if pid == 0:
        status = BUG
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(os.open(path.with_suffix(".stderr"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            signal.alarm(int(TIMEOUT_SECONDS))
            status = CORRECT if attempt(path, task) else WRONG
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
    """Try `count` damaged files of a kind, made from the model of a task; the number of files by result."""
    make, attempt, name = KINDS[kind]
    results: Counter[str] = Counter()
    reference_model(task), reference_model("detector")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        for number in range(count):
            path.write_bytes(make(np.random.default_rng([seed, number]), SHIPPED_MODELS[task]))
            status = run_in_child(attempt, path, task)
            names = {CORRECT: "correct", REFUSED: "refused", WRONG: "wrong", BUG: "bug", -signal.SIGALRM: "hang"}
            result = names.get(status, f"crash {status}")
            results[result] += 1
            if status not in (CORRECT, REFUSED):
                keep.mkdir(parents=True, exist_ok=True)
                path.rename(keep / f"{kind}-{seed}-{number}-{result.replace(' ', '')}{path.suffix}")
                if (stderr := path.with_suffix(".stderr")).exists() and stderr.stat().st_size:
                    stderr.rename(keep / f"{kind}-{seed}-{number}.txt")
    return results


@click.command()
@click.option("--count", default=20_000, show_default=True, help="Total number of files, over all kinds.")
@click.option("--seed", default=0, show_default=True)
@click.option("--kind", type=click.Choice(list(KINDS)), multiple=True, help="Try only this kind.  [default: all]")
@click.option("--model", "task", type=click.Choice(TASKS), default=TASKS[0], show_default=True, help="Model to damage.")
@click.option(
    "--keep", type=click.Path(path_type=Path), default=Path("fuzz"), show_default=True, help="Folder of failures."
)
def main(count: int, seed: int, kind: tuple[str, ...], task: str, keep: Path) -> None:
    """Try damaged files. Exit status 1 if any kind but `flatbuffer` failed."""
    failures = 0
    for name in kind or tuple(KINDS):
        start = time.monotonic()
        results = fuzz(name, count // len(kind or KINDS), seed, keep, task)
        summary = ", ".join(f"{result} {number:,}" for result, number in sorted(results.items()))
        click.echo(f"{name:10} {sum(results.values()):,}: {summary} ({time.monotonic() - start:.0f} s)")
        if name != "flatbuffer":
            failures += sum(number for result, number in results.items() if result not in ("correct", "refused"))
    if failures:
        sys.exit(f"{failures} files failed; they are in {keep}")


if __name__ == "__main__":
    main()
