"""What happens once: importing the interpreter, loading the models, and each one's first inference."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.device.interpreter import Loaded, TfliteModel, load, runtime


def first_steps(paths: Sequence[Path], threads: int | None) -> tuple[float, list[dict[str, Any]]]:
    """Milliseconds of the import, and for each model of loading it ("load_ms") and its first inference ("first_ms").

    Loading is to read the file, which the system may hold in memory by now, check its sum, and build the net. How many
    threads are fastest is found out before, since that is remembered.
    """
    begun = time.perf_counter()
    runtime()
    imported = _since(begun)
    counts = [_threads(load(path, threads=threads)) for path in paths]
    return imported, [_first(path, count) for path, count in zip(paths, counts, strict=True)]


def _threads(loaded: Loaded) -> int:
    assert isinstance(loaded.model, TfliteModel)
    return loaded.model.threads


def _first(path: Path, threads: int) -> dict[str, Any]:
    begun = time.perf_counter()
    loaded = load(path, threads=threads)
    took, begun = _since(begun), time.perf_counter()
    loaded.model(loaded.canvas)
    return {"load_ms": took, "first_ms": _since(begun)}


def _since(begun: float) -> float:
    return round(1000 * (time.perf_counter() - begun), 3)
