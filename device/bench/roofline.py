"""The roofline: the least time that the multiply-adds of a model can take on this machine, and the time it takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from pocketsight.device.bench.op_costs import UNCOUNTED_OPS, count_costs
from pocketsight.device.bench.op_profile import time_interleaved
from pocketsight.device.bench.peak_macs import PeakRate, measure_peak_macs
from pocketsight.device.inference.foreign import load_any
from pocketsight.device.inference.model_loader import active_interpreter

ROUNDS = 100
COST_KEYS = "index", "op", "shape", "macs", "weight_bytes", "activation_bytes"


class Roofline(TypedDict):
    """The costs of a model, as `pocketsight info --macs --json` has them."""

    operators: list[dict[str, Any]]
    totals: dict[str, int]
    uncounted: dict[str, int]
    peak: PeakRate
    median_ms: float
    roofline_ms: float
    times_roofline: float


def roofline(path: Path, threads: int | None) -> Roofline:
    """Costs of the operators, the machine's peak rate, and the ratio of the model's median time to the roofline.

    `threads` None means the fastest number. Raises ModelError.
    """
    loaded = load_any(path, threads)
    model = active_interpreter(loaded)
    steps = count_costs(model.interpreter)
    loaded.infer(loaded.input_buffer)
    median_ms = float(np.median(time_interleaved((model.interpreter.invoke,), ROUNDS))) / 1000
    peak = measure_peak_macs(loaded.spec.precision, model.threads)
    totals = {name: sum(getattr(step, name) for step in steps) for name in ("macs", "weight_bytes", "activation_bytes")}
    roofline_ms = 1000 * totals["macs"] / peak["macs_per_second"]
    return {
        "operators": [{key: value for key, value in asdict(step).items() if key in COST_KEYS} for step in steps],
        "totals": totals,
        "uncounted": dict(Counter(step.op for step in steps if step.op in UNCOUNTED_OPS)),
        "peak": peak,
        "median_ms": round(median_ms, 4),
        "roofline_ms": round(roofline_ms, 4),
        "times_roofline": round(median_ms / max(roofline_ms, 1e-9), 2),
    }
