"""What happens once: importing the interpreter, loading the models, and each one's first inference."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketsight.device.edgetpu import load_on, running
from pocketsight.device.interpreter import runtime


def first_steps(
    paths: Sequence[Path], threads: int | None, delegates: Sequence[str], verify: bool = False
) -> tuple[float, list[dict[str, Any]]]:
    """Milliseconds of the import, and for each model of loading it ("load_ms") and its first inference ("first_ms").

    Loading is to read the file, which the system may hold in memory by now, check its sum, and build the net. How many
    threads are fastest is found out before, since that is remembered. `verify` as `load_on` has it.
    """
    begun = time.perf_counter()
    runtime()
    imported = _since(begun)
    pairs = list(zip(delegates, paths, strict=True))
    counts = [running(load_on(delegate, path, threads=threads, verify=verify)).threads for delegate, path in pairs]
    return imported, [_first(*pair, count, verify) for pair, count in zip(pairs, counts, strict=True)]


def _first(delegate: str, path: Path, threads: int, verify: bool) -> dict[str, Any]:
    begun = time.perf_counter()
    loaded = load_on(delegate, path, threads=threads, verify=verify)
    took, begun = _since(begun), time.perf_counter()
    loaded.model(loaded.canvas)
    return {"load_ms": took, "first_ms": _since(begun)}


def _since(begun: float) -> float:
    return round(1000 * (time.perf_counter() - begun), 3)
