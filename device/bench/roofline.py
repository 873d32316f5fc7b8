"""How far a model is from the least time that its multiply-adds can take on this machine."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.bench.op_costs import UNCOUNTED_OPS, count_costs
from pocketsight.device.bench.op_profile import time_interleaved
from pocketsight.device.bench.peak_macs import measure_peak_macs
from pocketsight.device.inference.interpreter import TfliteModel, load_on_cpu

ROUNDS = 100


def roofline(path: Path, threads: int | None) -> dict[str, Any]:
    """Costs of each operator and in all, the machine's peak, and how many times the floor the model takes.

    "ms" is the median of ROUNDS bare inferences. Raises ModelError.
    """
    loaded = load_on_cpu(path, threads=threads)
    model = loaded.infer
    assert isinstance(model, TfliteModel)
    steps = count_costs(model.interpreter)
    model(np.zeros((*loaded.spec.input_size, 3), np.uint8))
    ms = float(np.median(time_interleaved((model.interpreter.invoke,), ROUNDS))) / 1000
    peak_rate = measure_peak_macs(loaded.spec.precision, model.threads)
    total = {name: sum(getattr(step, name) for step in steps) for name in ("macs", "weights", "activations")}
    min_ms = 1000 * total["macs"] / peak_rate["macs_a_second"]
    return {
        "operators": [
            {k: v for k, v in asdict(step).items() if k not in ("inputs", "constants", "outputs")} for step in steps
        ],
        "total": total,
        "uncounted": dict(Counter(step.op for step in steps if step.op in UNCOUNTED_OPS)),
        "peak": peak_rate,
        "ms": round(ms, 4),
        "floor_ms": round(min_ms, 4),
        "times_floor": round(ms / max(min_ms, 1e-9), 2),
    }
