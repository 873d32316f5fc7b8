"""What each operator of a model takes.

The interpreter does not tell Python, and with a delegate all operators are one call. So parts of the model are made
models of their own (`cut`) and timed by their whole call, in two ways: up to and including an operator, less up to it
("difference"); and the operator alone ("alone"). The differences are taken anew for each operator, so that their sum is
no foregone conclusion. The way whose sum is nearer to the whole model's time is shown, and how near it is.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.bench.op_costs import Cost, count_costs
from pocketsight.device.bench.subgraph import extract_subgraph
from pocketsight.device.errors import ModelError
from pocketsight.device.inference.interpreter import TfliteModel, import_runtime
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.system.stderr import suppress_stderr

MIN_ROUNDS, MAX_ROUNDS = 15, 200  # rounds an operator
BUDGET_SECONDS = 15.0  # seconds for all operators of a model, as far as FEWEST allows
METHODS = {
    "difference": "each up to and including it, less the one up to it (medians of differences in turn)",
    "alone": "each as a model of its own (medians), with what a call costs",
}
Call = Callable[[], object]


def profile_operators(path: Path, threads: int) -> dict[str, Any]:
    """Microseconds of each operator of a model file; "operators" of bench/README.md. Raises ModelError."""
    flatbuffer, _ = read_model_file(path)
    whole = TfliteModel(flatbuffer, threads, path)
    steps, ends = count_costs(whole.interpreter), [d["index"] for d in whole.interpreter.get_output_details()]
    chain = [step for step in steps if step.inputs]

    def part(chosen: Sequence[Cost]) -> Call:
        try:
            return _load_part(_extract_part(flatbuffer, chosen, steps, ends), threads)
        except (ValueError, RuntimeError, struct.error) as error:
            where = f"{path}, operator {chosen[-1].index} ({chosen[-1].op})"
            raise ModelError(
                f"{where} does not run as a part: {str(error).splitlines()[0]}; leave --per-op out"
            ) from error

    rounds = _choose_rounds(whole.interpreter.invoke, len(chain))
    before: Call = _no_op
    times = []  # a step: (4, rounds) of the part before it, the part with it, it alone, the whole
    for place, step in enumerate(chain, 1):
        upto = part(chain[:place])
        times.append(time_interleaved((before, upto, part([step]), whole.interpreter.invoke), rounds))
        before = upto
    return {"file": str(path), "threads": threads, "rounds": rounds, **attribute_time(chain, np.array(times))}


def attribute_time(steps: Sequence[Cost], times: NDArray[np.float64]) -> dict[str, Any]:
    """From microseconds (steps, 4, rounds) to a row an operator, by the way whose sum is nearer to the whole."""
    whole = float(np.median(times[:, 3]))
    spread = {"difference": times[:, 1] - times[:, 0], "alone": times[:, 2]}
    sums = {way: float(np.median(us, axis=1).sum()) / whole for way, us in spread.items()}
    method = min(sums, key=lambda way: abs(1 - sums[way]))
    rows = [_operator_row(step, us, whole) for step, us in zip(steps, spread[method], strict=True)]
    agreement = {name: round(share, 4) for name, share in sums.items()}
    return {"way": method, "sum_of_whole": agreement, "whole_us": round(whole, 2), "rows": rows}


def time_interleaved(calls: Sequence[Call], rounds: int) -> NDArray[np.float64]:
    """(calls, rounds): microseconds of each; the first round is not counted."""
    found = np.zeros((len(calls), rounds + 1))
    for number in range(rounds + 1):
        for place, call in enumerate(calls):
            begun = time.perf_counter()
            call()
            found[place, number] = 1e6 * (time.perf_counter() - begun)
    return found[:, 1:]


def _operator_row(step: Cost, us: NDArray[np.float64], whole: float) -> dict[str, Any]:
    """`noise`: the standard error of the median, from the middle half of the timings; a small step may be below it."""
    middle = float(np.median(us))
    low, high = np.percentile(us, (25, 75))
    noise = 1.2533 * (high - low) / 1.349 / np.sqrt(len(us))
    return {
        "index": step.index,
        "op": step.op,
        "shape": list(step.shape),
        "us": round(middle, 2),
        "noise_us": round(float(noise), 2),
        "share": round(middle / whole, 4),
        "macs": step.macs,
        "weights": step.weight_bytes,
        "activations": step.activation_bytes,
    }


def _extract_part(flatbuffer: bytes, selected: Sequence[Cost], steps: Sequence[Cost], ends: Sequence[int]) -> bytes:
    """The chosen steps, with those that make their constants; out comes what others, or the caller, would read."""
    needs = {index for step in selected for index in step.constants}
    inside = [step for step in steps if step in selected or (not step.inputs and needs.intersection(step.outputs))]
    made = {index for step in inside for index in step.outputs}
    wanted = {index for step in steps if step not in inside for index in step.inputs} | set(ends)
    inputs = dict.fromkeys(index for step in inside for index in step.inputs if index not in made)
    outputs = [index for step in selected for index in step.outputs if index in wanted]
    return extract_subgraph(flatbuffer, [step.index for step in inside], list(inputs), outputs)


def _load_part(flatbuffer: bytes, threads: int) -> Call:
    with suppress_stderr():
        interpreter = import_runtime()[0].Interpreter(model_content=flatbuffer, num_threads=threads)
        interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():  # else float memory may hold numbers that are slow
        interpreter.set_tensor(detail["index"], np.ones(detail["shape"], detail["dtype"]))
    invoke: Call = interpreter.invoke
    return invoke


def _choose_rounds(invoke: Call, steps: int) -> int:
    """As many as BUDGET allows, where a round of a step takes about as long as two whole models."""
    took = float(np.median(time_interleaved((invoke,), 5))) / 1e6
    return int(np.clip(BUDGET_SECONDS / (2 * took * max(1, steps)), MIN_ROUNDS, MAX_ROUNDS))


def _no_op() -> None:
    """What the first step comes after."""
