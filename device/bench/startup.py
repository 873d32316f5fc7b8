"""What happens once: importing the interpreter, loading the models, and each one's first inference."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pocketsight.device.inference.interpreter import import_runtime
from pocketsight.device.inference.model_loader import active_delegate, active_interpreter, load_model


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
    chosen = [_choose(path, threads, delegate, verify) for delegate, path in zip(delegates, paths, strict=True)]
    return imported, [_measure_model_startup(path, *choice) for path, choice in zip(paths, chosen, strict=True)]


def _choose(path: Path, threads: int | None, delegate: str, verify: bool) -> tuple[int, str]:
    """The number of threads and the delegate that a run would use."""
    model = load_model(path, threads=threads, delegate=delegate, verify=verify)
    return active_interpreter(model).threads, delegate if active_delegate(model) == "edgetpu" else "cpu"


def _measure_model_startup(path: Path, threads: int, delegate: str) -> dict[str, Any]:
    begun = time.perf_counter()
    loaded = load_model(path, threads=threads, delegate=delegate)
    took, begun = _ms_since(begun), time.perf_counter()
    loaded.infer(loaded.input_buffer)
    return {"load_ms": took, "first_ms": _ms_since(begun)}


def _ms_since(start: float) -> float:
    return round(1000 * (time.perf_counter() - start), 3)
