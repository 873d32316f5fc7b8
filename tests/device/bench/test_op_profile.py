"""What operators cost: their multiply-adds and bytes, their times, and the machine's peak."""

import json
from typing import Any

import numpy as np
import pytest

from pocketsight.device.bench import op_profile
from pocketsight.device.bench.op_costs import Cost, count_costs
from pocketsight.device.bench.op_profile import _extract_part, attribute_time, profile_operators, time_interleaved
from pocketsight.device.bench.peak_macs import MACS, build_convolution, measure_peak_macs
from pocketsight.device.bench.subgraph import extract_subgraph
from pocketsight.device.inference.interpreter import TfliteModel, import_runtime
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.shipped import MODELS_DIR, SHIPPED_MODELS
from tests.device.cli.test_cli import pocketsight

TASKS = "detector", "classifier"


def opened(flatbuffer: bytes) -> Any:
    interpreter = import_runtime()[0].Interpreter(model_content=flatbuffer, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def shipped(task: str) -> tuple[bytes, TfliteModel]:
    path = SHIPPED_MODELS[task]
    flatbuffer, spec = read_model_file(path)
    return flatbuffer, TfliteModel(flatbuffer, 1, path, spec)


def run(interpreter: Any, values: dict[int, Any]) -> dict[int, Any]:
    """Outputs by the number of their tensor."""
    for index, value in values.items():
        interpreter.set_tensor(index, value)
    interpreter.invoke()
    return {d["index"]: interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()}


def test_costs_are_those_worked_out_by_hand() -> None:
    steps = count_costs(shipped("classifier")[1].interpreter)
    first, deep, last = steps[0], steps[1], steps[-1]
    assert (first.op, first.shape, first.macs) == ("CONV_2D", (1, 32, 32, 24), 32 * 32 * 24 * 27)  # 3x3 of 3 colours
    assert (
        first.weight_bytes == 24 * 27 + 24 * 4 and first.activation_bytes == 64 * 64 * 3 + 32 * 32 * 24
    )  # int8, and int32 bias
    assert (deep.op, deep.macs) == ("DEPTHWISE_CONV_2D", 32 * 32 * 24 * 9)
    assert (last.op, last.macs, last.weight_bytes) == ("FULLY_CONNECTED", 112 * 6, 112 * 6 + 6 * 4)
    (one,) = count_costs(opened(build_convolution("float32")))
    assert (one.macs, one.weight_bytes, one.activation_bytes) == (MACS, 4 * (256 * 256 + 256), 2 * 4 * 32 * 32 * 256)


@pytest.mark.parametrize("task", TASKS)
def test_a_model_cut_in_two_says_what_the_whole_says(task: str) -> None:
    flatbuffer, whole = shipped(task)
    steps, ends = count_costs(whole.interpreter), [d["index"] for d in whole.interpreter.get_output_details()]
    (entry,) = whole.interpreter.get_input_details()
    picture = np.random.default_rng(0).integers(-128, 128, entry["shape"]).astype(np.int8)
    wanted = run(whole.interpreter, {entry["index"]: picture})
    for middle in (1, len(steps) // 2, len(steps) - 1):
        head, tail = (opened(_extract_part(flatbuffer, part, steps, ends)) for part in (steps[:middle], steps[middle:]))
        found = run(head, {entry["index"]: picture})
        needed = {d["index"] for d in tail.get_input_details()}
        assert needed - {entry["index"]} <= found.keys()
        found |= run(tail, {index: found.get(index, picture) for index in needed})
        for index in ends:
            np.testing.assert_array_equal(found[index], wanted[index])


@pytest.mark.parametrize("task", TASKS)
def test_every_operator_can_stand_alone(task: str) -> None:
    flatbuffer, whole = shipped(task)
    steps, ends = count_costs(whole.interpreter), [d["index"] for d in whole.interpreter.get_output_details()]
    for step in steps:
        (found,) = count_costs(opened(_extract_part(flatbuffer, [step], steps, ends)))
        assert (found.op, found.shape, found.macs, found.weight_bytes) == (
            step.op,
            step.shape,
            step.macs,
            step.weight_bytes,
        )


def test_a_cut_leaves_the_model_it_was_given() -> None:
    flatbuffer = build_convolution("int8")
    assert extract_subgraph(flatbuffer, [0], [0], [3]) != flatbuffer == build_convolution("int8")


@pytest.mark.parametrize(("kind", "off"), [("int8", 1), ("float32", 1e-2)])
def test_the_net_of_the_peak_does_its_multiply_adds(kind: str, off: float) -> None:
    interpreter = opened(build_convolution(kind))
    (entry,) = interpreter.get_input_details()
    values = np.random.default_rng(1).integers(-100, 101, entry["shape"]).astype(entry["dtype"])
    (found,) = run(interpreter, {entry["index"]: values}).values()
    weights = np.random.default_rng(0).integers(-127, 128, (256, 1, 1, 256))[:, 0, 0]
    exact = values.astype(np.int64) @ weights.T
    if kind == "int8":
        exact = np.clip(np.round(exact * 0.01 / 100), -128, 127)
    assert np.abs(found - exact).max() <= off
    assert len(np.unique(found)) > 10


def test_a_float_model_has_the_peak_of_floats() -> None:
    assert [measure_peak_macs(kind, 1)["dtype"] for kind in ("int8", "float16", "dynamic")] == [
        "int8",
        "float32",
        "float32",
    ]
    assert measure_peak_macs("int8", 1)["macs_per_second"] > 1e8


def step(index: int) -> Cost:
    return Cost(index, "CONV_2D", (index,), (), (index + 1,), (1, 2), 1000, 10, 20)


def planted(us: list[float], alone: list[float], whole: float, rounds: int = 50) -> Any:
    """(steps, 4, rounds): times as `profile` takes them, in a machine that sometimes waits, and all parts with it."""
    rng = np.random.default_rng(0)
    ends = np.cumsum(us)
    found = np.array([[ends[n] - us[n], ends[n], alone[n], whole] for n in range(len(us))])
    late = np.where(rng.random((len(us), 1, rounds)) < 0.2, 400.0, 0.0)
    return found[..., None] + rng.normal(0, 0.1, (len(us), 4, rounds)) + late


def test_operators_get_what_they_take_by_the_way_that_agrees_with_the_whole() -> None:
    found = attribute_time([step(n) for n in range(3)], planted([10.0, 30.0, 60.0], [14.0, 35.0, 66.0], 100.0))
    assert found["method"] == "prefix_difference"
    assert found["sum_ratio"]["prefix_difference"] == pytest.approx(1.0, abs=0.02)
    assert found["sum_ratio"]["isolated"] == pytest.approx(1.15, abs=0.02)
    assert [row["us"] for row in found["rows"]] == pytest.approx([10, 30, 60], abs=0.5)
    assert [row["share"] for row in found["rows"]] == pytest.approx([0.1, 0.3, 0.6], abs=0.01)
    other = attribute_time([step(n) for n in range(2)], planted([10.0, 70.0], [30.0, 71.0], 100.0))
    assert other["method"] == "isolated" and [row["us"] for row in other["rows"]] == pytest.approx([30, 71], abs=0.5)


def test_calls_are_timed_in_turn() -> None:
    calls: list[str] = []
    found = time_interleaved((lambda: calls.append("a"), lambda: calls.append("b")), 3)
    assert calls == ["a", "b"] * 4 and found.shape == (2, 3) and (found > 0).all()


def test_a_profile_has_every_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(op_profile, "BUDGET_SECONDS", 0.0)
    found = profile_operators(MODELS_DIR / "sentiment.tflite", 1)
    assert [row["op"] for row in found["rows"]] == [
        step.op for step in count_costs(shipped("classifier")[1].interpreter)
    ]
    assert (
        found["rounds"] == 15 and set(found["sum_ratio"]) == {"prefix_difference", "isolated"} and found["total_us"] > 0
    )


def test_info_tells_how_far_from_the_floor_a_model_is() -> None:
    path = MODELS_DIR / "detector.tflite"
    found = json.loads(pocketsight("info", path, "--macs", "--threads", 1, "--json").output)["costs"]
    assert sum(step["macs"] for step in found["operators"]) == found["totals"]["macs"] == 107_481_600
    floor = 1000 * found["totals"]["macs"] / found["peak"]["macs_per_second"]
    assert found["roofline_ms"] == pytest.approx(floor, rel=0.01) and found["peak"]["dtype"] == "int8"
    assert found["times_roofline"] == pytest.approx(found["median_ms"] / floor, rel=0.02)
    text = pocketsight("info", path, "--macs", "--threads", 1).output
    assert "107,481,600" in text and "multiply-adds per second" in text and "times as long" in text
    assert "costs" not in json.loads(pocketsight("info", path, "--json").output)
