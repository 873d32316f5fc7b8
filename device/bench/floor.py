"""How far a model is from the least time that its multiply-adds can take on this machine."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.bench.costs import UNCOUNTED, costs
from pocketsight.device.bench.operators import in_turn
from pocketsight.device.bench.peak import peak
from pocketsight.device.interpreter import TfliteModel, load

ROUNDS = 100


def from_floor(path: Path, threads: int | None) -> dict[str, Any]:
    """Costs of each operator and in all, the machine's peak, and how many times the floor the model takes.

    "ms" is the median of ROUNDS bare inferences. Raises ModelError.
    """
    loaded = load(path, threads=threads)
    model = loaded.model
    assert isinstance(model, TfliteModel)
    steps = costs(model.interpreter)
    model(np.zeros((*loaded.spec.size, 3), np.uint8))
    ms = float(np.median(in_turn((model.interpreter.invoke,), ROUNDS))) / 1000
    rate = peak(loaded.spec.precision, model.threads)
    total = {name: sum(getattr(step, name) for step in steps) for name in ("macs", "weights", "activations")}
    least = 1000 * total["macs"] / rate["macs_a_second"]
    return {
        "operators": [{k: v for k, v in asdict(step).items() if k not in ("inputs", "constants", "outputs")}
                      for step in steps],
        "total": total, "uncounted": dict(Counter(step.op for step in steps if step.op in UNCOUNTED)),
        "peak": rate, "ms": round(ms, 4), "floor_ms": round(least, 4), "times_floor": round(ms / max(least, 1e-9), 2),
    }  # fmt: skip
