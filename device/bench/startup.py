"""One-time costs: the import of the interpreter, and for each model loading and the first inference."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from pocketsight.device.bench.reports import Startup
from pocketsight.device.inference.foreign import load_any
from pocketsight.device.inference.interpreter import import_runtime
from pocketsight.device.inference.model_loader import active_delegate, active_interpreter


def measure_startup(
    paths: Sequence[Path], threads: int | None, delegates: Sequence[str], verify: bool = False
) -> tuple[float, list[Startup]]:
    """Milliseconds of the import, and for each model of loading and of the first inference.

    Loading reads the file, which may be in the page cache, checks its checksum and builds the graph. The fastest number
    of threads is measured before, since it is cached. `verify` is passed to `load_model`. Raises ModelError.
    """
    start = time.perf_counter()
    import_runtime()
    imported = _ms_since(start)
    chosen = [_choose(path, threads, delegate, verify) for delegate, path in zip(delegates, paths, strict=True)]
    return imported, [_measure_model_startup(path, *choice) for path, choice in zip(paths, chosen, strict=True)]


def _choose(path: Path, threads: int | None, delegate: str, verify: bool) -> tuple[int, str]:
    """The number of threads and the delegate that a run would use."""
    model = load_any(path, threads, delegate, verify)
    return active_interpreter(model).threads, delegate if active_delegate(model) == "edgetpu" else "cpu"


def _measure_model_startup(path: Path, threads: int, delegate: str) -> Startup:
    start = time.perf_counter()
    model = load_any(path, threads, delegate)
    load_ms, start = _ms_since(start), time.perf_counter()
    model.infer(model.input_buffer)
    return {"load_ms": load_ms, "first_inference_ms": _ms_since(start)}


def _ms_since(start: float) -> float:
    return round(1000 * (time.perf_counter() - start), 3)
