"""The time of each operator of a model.

The interpreter does not report operator times to Python, and a delegate runs all operators in one call. So parts of
the model are extracted as models (`subgraph.py`) and timed as whole calls, by two methods. "prefix_difference" is the
time of the model up to and including an operator, less the time of the model before it. "isolated" is the time of the
operator alone. Each difference is measured on its own, so their sum is an independent check: the method whose sum is
nearer to the time of the whole model is reported, with that ratio.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pocketsight.device.bench.op_costs import Cost, count_costs
from pocketsight.device.bench.reports import Attribution, OperatorProfile, OperatorRow
from pocketsight.device.bench.subgraph import extract_subgraph
from pocketsight.device.errors import ModelError
from pocketsight.device.inference.interpreter import LoadedGraph, import_runtime
from pocketsight.device.inference.model_file import read_contents
from pocketsight.device.system.stderr import suppress_stderr

MIN_ROUNDS, MAX_ROUNDS = 15, 200  # per operator
BUDGET_SECONDS = 15.0  # for all operators of a model; MIN_ROUNDS may need more
METHODS = {
    "prefix_difference": "model up to an operator, less the model before it (medians of interleaved differences)",
    "isolated": "each operator as a model (medians), including the cost of a call",
}
Call = Callable[[], object]


def profile_operators(path: Path, threads: int) -> OperatorProfile:
    """Microseconds of each operator of a model file. Raises ModelError."""
    flatbuffer = read_contents(path).flatbuffer
    whole = LoadedGraph(flatbuffer, threads, path)
    steps, ends = count_costs(whole.interpreter), [d["index"] for d in whole.interpreter.get_output_details()]
    chain = [step for step in steps if step.inputs]

    def part(selected: Sequence[Cost]) -> Call:
        try:
            return _load_part(_extract_part(flatbuffer, selected, steps, ends), threads)
        except (ValueError, RuntimeError, struct.error) as error:
            where = f"{path}, operator {selected[-1].index} ({selected[-1].op})"
            reason = str(error).splitlines()[0]
            raise ModelError(f"{where} does not run as a part: {reason}; measure without --per-op") from error

    rounds = _choose_rounds(whole.interpreter.invoke, len(chain))
    before: Call = _no_op
    times = []  # per operator: (4, rounds) of the part before it, the part with it, the operator, the whole model
    for count, step in enumerate(chain, 1):
        upto = part(chain[:count])
        times.append(time_interleaved((before, upto, part([step]), whole.interpreter.invoke), rounds))
        before = upto
    return {"file": str(path), "threads": threads, "rounds": rounds, **attribute_time(chain, np.array(times))}


def attribute_time(steps: Sequence[Cost], times: NDArray[np.float64]) -> Attribution:
    """From microseconds (steps, 4, rounds) to a row per operator, by the method whose sum is nearer to the total."""
    total = float(np.median(times[:, 3]))
    by_method = {"prefix_difference": times[:, 1] - times[:, 0], "isolated": times[:, 2]}
    sums = {method: float(np.median(us, axis=1).sum()) / total for method, us in by_method.items()}
    best = min(sums, key=lambda method: abs(1 - sums[method]))
    return {
        "method": best,
        "sum_ratio": {method: round(ratio, 4) for method, ratio in sums.items()},
        "total_us": round(total, 2),
        "rows": [_operator_row(step, us, total) for step, us in zip(steps, by_method[best], strict=True)],
    }


def time_interleaved(calls: Sequence[Call], rounds: int) -> NDArray[np.float64]:
    """(calls, rounds): microseconds of each call; a first round is not counted."""
    us = np.zeros((len(calls), rounds + 1))
    for number in range(rounds + 1):
        for index, call in enumerate(calls):
            start = time.perf_counter()
            call()
            us[index, number] = 1e6 * (time.perf_counter() - start)
    return us[:, 1:]


def _operator_row(step: Cost, us: NDArray[np.float64], total: float) -> OperatorRow:
    """A row; the standard error of the median comes from the interquartile range, as of a normal distribution."""
    median = float(np.median(us))
    low, high = np.percentile(us, (25, 75))
    standard_error = 1.2533 * (high - low) / 1.349 / np.sqrt(len(us))
    return {
        "index": step.index,
        "op": step.op,
        "shape": list(step.shape),
        "us": round(median, 2),
        "standard_error_us": round(float(standard_error), 2),
        "share": round(median / total, 4),
        "macs": step.macs,
        "weight_bytes": step.weight_bytes,
        "activation_bytes": step.activation_bytes,
    }


def _extract_part(flatbuffer: bytes, selected: Sequence[Cost], steps: Sequence[Cost], ends: Sequence[int]) -> bytes:
    """A model of the selected steps and those that make their constants.

    Its outputs are the tensors that other steps, or the caller of the whole model, read.
    """
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
    for detail in interpreter.get_input_details():  # uninitialized floats may be denormal, which is slow
        interpreter.set_tensor(detail["index"], np.ones(detail["shape"], detail["dtype"]))
    invoke: Call = interpreter.invoke
    return invoke


def _choose_rounds(invoke: Call, steps: int) -> int:
    """The rounds that fit into the budget; a round of a step takes about as long as two whole models."""
    seconds = float(np.median(time_interleaved((invoke,), 5))) / 1e6
    return int(np.clip(BUDGET_SECONDS / (2 * seconds * max(1, steps)), MIN_ROUNDS, MAX_ROUNDS))


def _no_op() -> None:
    """The part before the first operator."""
