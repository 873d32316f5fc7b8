"""What happens once: importing the interpreter, loading the models, and each one's first inference."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketsight.device.inference.interpreter import import_runtime
from pocketsight.device.inference.model_loader import active_interpreter, load_model


def measure_startup(
    paths: Sequence[Path], threads: int | None, delegates: Sequence[str], verify: bool = False
) -> tuple[float, list[dict[str, Any]]]:
    """Milliseconds of the import, and for each model of loading it ("load_ms") and its first inference ("first_ms").

    Loading is to read the file, which the system may hold in memory by now, check its sum, and build the net. How many
    threads are fastest is found out before, since that is remembered. `verify` as `load_on` has it.
    """
    begun = time.perf_counter()
    import_runtime()
    imported = _ms_since(begun)
    pairs = list(zip(delegates, paths, strict=True))
    counts = [
        active_interpreter(load_model(delegate, path, threads=threads, verify=verify)).threads
        for delegate, path in pairs
    ]
    return imported, [_measure_model_startup(*pair, count, verify) for pair, count in zip(pairs, counts, strict=True)]


def _measure_model_startup(delegate: str, path: Path, threads: int, verify: bool) -> dict[str, Any]:
    begun = time.perf_counter()
    loaded = load_model(delegate, path, threads=threads, verify=verify)
    took, begun = _ms_since(begun), time.perf_counter()
    loaded.infer(loaded.input_buffer)
    return {"load_ms": took, "first_ms": _ms_since(begun)}


def _ms_since(start: float) -> float:
    return round(1000 * (time.perf_counter() - start), 3)
