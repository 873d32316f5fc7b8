"""`edgekit export edgetpu`: the check against Coral's list, and a compiler that prints what the real one does."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner, Result

from edgekit.device.cli import main
from edgekit.device.commands.options import MODELS
from edgekit.device.errors import ModelError
from edgekit.device.spec import unpack
from edgekit.export import compiler
from edgekit.export.edgetpu import RULES, judge
from edgekit.export.graph import Graph, Operator, Tensor, read_graph
from tests.corals import compiled, graph, packed, write_compiled, write_plain

SENTIMENT = MODELS / "sentiment.tflite"
HEAD = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 312 ms.

Input model: sentiment.tflite
Input size: 127.34KiB
Output model: sentiment_edgetpu.tflite
Output size: 240.20KiB
On-chip memory used for caching model parameters: 130.00KiB
On-chip memory remaining for caching model parameters: 7.50MiB
Off-chip memory used for streaming uncached model parameters: 0.00B
Number of Edge TPU subgraphs: 1
Total number of operations: 29
Operation log: sentiment_edgetpu.log
"""
TABLE = """
Operator                       Count      Status

ADD                            6          Mapped to Edge TPU
MEAN                           1          Mapped to Edge TPU
CONV_2D                        11         Mapped to Edge TPU
DEPTHWISE_CONV_2D              10         Mapped to Edge TPU
"""
TAIL = "Compilation child process completed within timeout period.\nCompilation succeeded! \n"
SUCCESS = f"{HEAD}{TABLE}FULLY_CONNECTED                1          Mapped to Edge TPU\n{TAIL}"
PARTLY = f"""{HEAD}
Model successfully compiled but not all operations are supported by the Edge TPU. A percentage of the model will \
instead run on the CPU, which is slower. For details, visit g.co/coral/model-reqs.
Number of operations that will run on Edge TPU: 28
Number of operations that will run on CPU: 1
{TABLE}FULLY_CONNECTED                1          Operation version not supported
{TAIL}"""
VERSION = """Edge TPU Compiler version 16.0.384591198
ERROR: Didn't find op for builtin opcode 'CONV_2D' version '6'. An older version of this builtin might be supported. \
Are you using an old TFLite binary with a newer model?

ERROR: Registration failed.

Invalid model: sentiment.tflite
Model could not be parsed
"""
INTERNAL = "Edge TPU Compiler version 16.0.384591198\n\nInternal compiler error. Aborting! \n"
DYNAMIC = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.
ERROR: Attempting to use a delegate that only supports static-sized tensors with a graph that has dynamic-sized tensors.
Compilation failed: Model failed in Tflite interpreter. Please ensure model can be loaded/run in Tflite interpreter.
Compilation child process completed within timeout period.
Compilation failed!
"""

# The check


def check(flatbuffer: bytes) -> list[str]:
    """Why each operator that falls to the CPU does."""
    return [f"{v.operator.name} {v.why}" for v in judge(read_graph(flatbuffer)) if v.why]


@pytest.mark.parametrize("task", ["detector", "sentiment"])
def test_nothing_speaks_against_the_shipped_models(task: str) -> None:
    assert check(unpack(MODELS / f"{task}.tflite")[0]) == []


def changed(change: Callable[[Any], None]) -> bytes:
    """The shipped classifier after a change to its graph."""
    model = graph(unpack(SENTIMENT)[0])
    change(model)
    return packed(model)


def operator(model: Any, kind: str) -> Any:
    """The last operator of a kind, and nothing else of that kind is touched."""
    number = getattr(schema.BuiltinOperator, kind)
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return next(op for op in reversed(model.subgraphs[0].operators) if codes[op.opcodeIndex] == number)


def become(model: Any, kind: str, other: str | None, name: str = "", version: int = 1) -> None:
    """Make the last operator of a kind another."""
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, other) if other else schema.BuiltinOperator.CUSTOM
    code.deprecatedBuiltinCode, code.customCode = min(code.builtinCode, 127), name.encode() or None
    code.version = version
    model.operatorCodes.append(code)
    operator(model, kind).opcodeIndex = len(model.operatorCodes) - 1


def retype(model: Any) -> None:
    model.subgraphs[0].tensors[operator(model, "MEAN").outputs[0]].type = schema.TensorType.FLOAT32


def unfix(model: Any) -> None:
    tensor = model.subgraphs[0].tensors[operator(model, "FULLY_CONNECTED").outputs[0]]
    tensor.shapeSignature = [-1, 5]


def unfold(model: Any) -> None:
    model.subgraphs[0].tensors[operator(model, "FULLY_CONNECTED").outputs[0]].shape = [2, 1, 1, 5]


def group(model: Any) -> None:
    model.subgraphs[0].tensors[operator(model, "CONV_2D").inputs[1]].shape = [128, 1, 1, 64]


@pytest.mark.parametrize(
    ("change", "first", "count"),
    [
        (lambda m: become(m, "MEAN", "LEAKY_RELU"), "LEAKY_RELU not on Coral's list", 2),
        (lambda m: become(m, "FULLY_CONNECTED", "GELU"), "GELU not on Coral's list", 1),
        (lambda m: become(m, "FULLY_CONNECTED", None, "MyOwn"), "MyOwn not on Coral's list", 1),
        (lambda m: become(m, "CONV_2D", "CONV_2D", version=6), "CONV_2D the compiler refuses files with CONV_2D", 29),
        (lambda m: m.subgraphs.append(m.subgraphs[0]), "CONV_2D the file has 2 subgraphs, and one is supported", 29),
        (retype, "MEAN works on FLOAT32", 2),
        (unfix, "FULLY_CONNECTED has a dynamic size", 1),
        (unfold, "FULLY_CONNECTED only the three innermost dimensions may exceed 1, this is 2x1x1x5", 1),
        (group, "CONV_2D a grouped convolution: 64 of 128 channels", 4),
        (lambda m: setattr(operator(m, "CONV_2D").builtinOptions, "dilationWFactor", 2), "CONV_2D dilates", 4),
    ],
)
def test_what_breaks_a_rule_is_named_and_ends_the_piece(change: Callable[[Any], None], first: str, count: int) -> None:
    found = check(changed(change))
    assert found[0].startswith(first)
    assert len(found) == count
    assert all("comes after" in line for line in found[1:]) or len(set(line.split(" ", 1)[1] for line in found)) == 1


def test_what_falls_off_before_the_piece_does_not_end_it() -> None:
    model = graph(unpack(SENTIMENT)[0])
    first = model.subgraphs[0].operators[0]
    first.builtinOptions.dilationHFactor = 3
    assert check(packed(model)) == ["CONV_2D dilates differently in x and y"]


def tensor(*shape: int, data: Any = None, kind: str = "INT8", zero: int = 0) -> Tensor:
    return Tensor("t", kind, shape, False, (0.5, zero), None if data is None else np.asarray(data).tobytes())


def axes(*numbers: int) -> Tensor:
    return tensor(len(numbers), data=np.array(numbers, np.int32), kind="INT32")


def why(name: str, inputs: list[Tensor], output: Tensor, version: int = 1, **options: Any) -> str:
    """What the check says of one operator alone."""
    op = Operator(name, version, tuple(inputs), (output,), options)
    return judge(Graph([op], [output], {}, 1))[0].why


CUBE = tensor(1, 8, 8, 6)
ROW = tensor(1, 10)
MATRIX = tensor(5, 10, data=np.zeros(50, np.int8))


@pytest.mark.parametrize(
    ("name", "inputs", "output", "options", "says"),
    [
        ("MAX_POOL_2D", [CUBE], CUBE, {"fusedActivationFunction": 1}, "has a fused activation"),
        ("AVERAGE_POOL_2D", [CUBE], CUBE, {"fusedActivationFunction": 3}, "has a fused activation"),
        ("AVERAGE_POOL_2D", [CUBE], CUBE, {"fusedActivationFunction": 0}, ""),
        ("CONCATENATION", [CUBE, CUBE], CUBE, {"fusedActivationFunction": 1}, "has a fused activation"),
        ("CONCATENATION", [CUBE, CUBE, CUBE], CUBE, {}, ""),
        ("CONCATENATION", [CUBE, tensor(1, 2, data=np.array([3, 3], np.int8), zero=3)], CUBE, {}, ""),
        ("CONCATENATION", [CUBE, tensor(1, 2, data=np.array([3, 4], np.int8), zero=3)], CUBE, {}, "not zeros"),
        ("CONCATENATION", [CUBE, CUBE, tensor(1, 1, data=np.zeros(1, np.int8))], CUBE, {}, "joins a constant"),
        ("DEPTHWISE_CONV_2D", [CUBE, CUBE], CUBE, {}, "its weights are computed"),
        ("TRANSPOSE_CONV", [axes(1, 8, 8, 6), CUBE, CUBE], CUBE, {}, "its weights are computed"),
        ("FULLY_CONNECTED", [ROW, MATRIX], tensor(1, 5), {"weightsFormat": 0}, ""),
        ("FULLY_CONNECTED", [ROW, MATRIX], tensor(1, 5), {"weightsFormat": 1}, "special format"),
        ("FULLY_CONNECTED", [ROW, MATRIX], tensor(2, 5), {}, "its output must have one dimension, this is 2x5"),
        ("MEAN", [CUBE, axes(1, 2)], tensor(1, 6), {}, ""),
        ("MEAN", [CUBE, axes(-1)], tensor(1, 8, 8), {}, "a mean over 6 channels: they must be a multiple of 4"),
        ("MEAN", [tensor(1, 8, 8, 8), axes(3)], tensor(1, 8, 8), {}, ""),
        ("REDUCE_MAX", [CUBE, axes(0)], tensor(8, 8, 6), {}, "reduces the batch"),
        ("PAD", [CUBE, tensor(4, 2, data=np.array([0, 0, 1, 1, 1, 1, 0, 0], np.int32), kind="INT32")], CUBE, {}, ""),
        ("PAD", [CUBE, tensor(4, 2, data=np.array([1, 0, 0, 0, 0, 0, 0, 0], np.int32), kind="INT32")], CUBE, {},
         "pads the batch"),
        ("PACK", [tensor(8, 8, 6)], CUBE, {"axis": 0}, "packs the batch"),
        ("PRELU", [CUBE, tensor(1, 1, 6, data=np.zeros(6, np.int8))], CUBE, {}, ""),
        ("PRELU", [CUBE, tensor(8, 8, 6, data=np.zeros(384, np.int8))], CUBE, {}, "more than one alpha"),
        ("SOFTMAX", [tensor(1, 16_000)], tensor(1, 16_000), {}, ""),
        ("SOFTMAX", [tensor(1, 16_001)], tensor(1, 16_001), {}, "takes one dimension of 16000 at most"),
        ("SOFTMAX", [tensor(4, 5)], tensor(4, 5), {}, "takes one dimension"),
        ("SQUEEZE", [tensor(1, 5, 10)], tensor(5, 10), {}, ""),
        ("SQUEEZE", [tensor(5, 1, 10)], tensor(5, 10), {"squeezeDims": [1]}, "more than the ones in front"),
        ("STRIDED_SLICE", [CUBE, axes(0, 0), axes(1, 4), axes(1, 1)], CUBE, {}, ""),
        ("STRIDED_SLICE", [CUBE, axes(0, 0), axes(1, 4), axes(1, 2)], CUBE, {}, "strides of 1 only"),
        ("STRIDED_SLICE", [CUBE, axes(0), axes(1), axes(1)], CUBE, {"newAxisMask": 1}, "strides of 1 only"),
        ("RESHAPE", [CUBE, tensor(2, kind="INT32")], ROW, {}, "works on INT32"),  # a size that is computed
        ("QUANTIZE", [tensor(1, 4, kind="FLOAT32")], tensor(1, 4), {}, "works on FLOAT32"),
        ("TILE", [CUBE, axes(1, 2, 2, 1)], CUBE, {}, "not on Coral's list"),
        ("HARD_SWISH", [CUBE], CUBE, {}, "not on Coral's list"),
        ("DEPTH_TO_SPACE", [CUBE], CUBE, {}, "not on Coral's list"),
    ],
)  # fmt: skip
def test_the_limits_of_each_operator(
    name: str, inputs: list[Tensor], output: Tensor, options: dict[str, Any], says: str
) -> None:
    found = why(name, inputs, output, **options)
    assert says in found and bool(says) == bool(found)


@pytest.mark.parametrize(("name", "version"), [("CONV_2D", 6), ("TRANSPOSE_CONV", 4), ("QUANTIZE", 3), ("EXP", 2)])
def test_versions_that_the_compiler_was_seen_to_refuse(name: str, version: int) -> None:
    weights = tensor(6, 1, 1, 6, data=np.zeros(36, np.int8))
    inputs = [axes(1, 8, 8, 6), weights, CUBE] if name == "TRANSPOSE_CONV" else [CUBE, weights]
    assert f"refuses files with {name} version {version}" in why(name, inputs, CUBE, version)
    assert why(name, inputs, CUBE, version - 1) == ("" if name in RULES else "not on Coral's list")


def test_what_the_list_leaves_open_is_said() -> None:
    notes = {v.operator.name: v.note for v in judge(read_graph(unpack(MODELS / "detector.tflite")[0])) if v.note}
    assert set(notes) == {"RESHAPE", "RESIZE_BILINEAR"}


# The command


def export(*words: object) -> Result:
    return CliRunner().invoke(main, ["export", "edgetpu", *map(str, words)])


@pytest.fixture
def compile_as(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a compiler on the PATH that prints a report, ends with a status and writes what it is given, or nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def make(report: str, result: bytes | None = None, status: int = 0) -> Path:
        (folder / "report").write_text(report)
        (folder / "result").write_bytes(result or b"")
        copy = f'cp {folder}/result "$3/$(basename "$4" .tflite)_edgetpu.tflite"' if result else ":"
        program = folder / "edgetpu_compiler"
        program.write_text(f'#!/bin/sh\necho "$1 $2" > {folder}/words; cp "$4" {folder}/given\n{copy}\n'
                           f"cat {folder}/report; exit {status}\n")  # fmt: skip
        program.chmod(0o755)
        return folder

    return make


def model(folder: Path, name: str = "sentiment.tflite") -> Path:
    return Path(shutil.copy(SENTIMENT, folder / name))


def test_without_the_compiler_the_check_is_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = export(model(tmp_path))
    assert done.exit_code == 1
    assert "FULLY_CONNECTED" in done.output and "Edge TPU" in done.output
    assert "the check passed" in done.output and "Docker" in done.output and "x86-64 only" in done.output
    assert not (tmp_path / "sentiment_edgetpu.tflite").exists()
    flatbuffer, spec = unpack(SENTIMENT)
    broken = graph(flatbuffer)
    become(broken, "FULLY_CONNECTED", "GELU")
    path = write_plain(broken, spec, tmp_path / "broken.tflite")
    done = export(path)
    assert done.exit_code == 1
    assert "Error: 1 of 29 operators would run on the CPU: GELU not on Coral's list" in done.output
    assert "the check passed" in export(path, "--allow-cpu", 1).output


def test_a_model_that_is_mapped_whole_becomes_a_file_of_ours(compile_as: Any, tmp_path: Path) -> None:
    flatbuffer, spec = unpack(SENTIMENT)
    folder = compile_as(SUCCESS, compiled(flatbuffer))
    (tmp_path / "run").mkdir()
    model(tmp_path / "run")
    done = export(tmp_path / "run")
    assert (done.exit_code, done.exception) == (0, None), done.output
    assert (folder / "given").read_bytes() == flatbuffer  # without the zip
    assert (folder / "words").read_text().split() == ["-s", "-o"]
    found, facts = unpack(tmp_path / "run" / "sentiment_edgetpu.tflite")
    assert found == compiled(flatbuffer)
    assert facts.sha256 == sha256(found).hexdigest()
    assert facts.compiled == {
        "for": "edgetpu", "compiler": "16.0.384591198", "from": spec.sha256, "mapped": 29, "on_cpu": 0,
        "outputs": {"logits": read_graph(flatbuffer).outputs[0].name},
    }  # fmt: skip
    assert replace(facts, compiled={}, sha256=spec.sha256) == spec
    assert "29 operators on the Edge TPU, 0 on the CPU" in done.output
    assert export(tmp_path / "run" / "sentiment_edgetpu.tflite").output.strip().endswith("it was compiled from")


def test_operators_on_the_cpu_fail_unless_they_are_allowed(compile_as: Any, tmp_path: Path) -> None:
    compile_as(PARTLY, compiled(unpack(SENTIMENT)[0], left=1))
    done = export(model(tmp_path))
    assert done.exit_code == 1
    assert "1 of 29 operators would run on the CPU (1 FULLY_CONNECTED: Operation version not supported)" in done.output
    assert not (tmp_path / "sentiment_edgetpu.tflite").exists()
    out = tmp_path / "other.tflite"
    assert export(tmp_path / "sentiment.tflite", "--allow-cpu", 1, "--out", out).exit_code == 0
    assert (unpack(out)[1].compiled["mapped"], unpack(out)[1].compiled["on_cpu"]) == (28, 1)


@pytest.mark.parametrize(
    ("report", "status", "says"),
    [
        (VERSION, 1, "Didn't find op for builtin opcode 'CONV_2D' version '6'"),
        (VERSION, 0, "it is older than this operator"),
        (INTERNAL, 1, "gave up on sentiment: Internal compiler error. Aborting!; it says no more"),
        (DYNAMIC, 1, "export with a batch of 1"),
        ("", 139, "it ended with status 139 and wrote no file"),
    ],
)
def test_a_compiler_that_gives_up_is_one_line(
    compile_as: Any, tmp_path: Path, report: str, status: int, says: str
) -> None:
    compile_as(report, None, status)
    done = export(model(tmp_path))
    assert done.exit_code == 1
    assert says in done.output.splitlines()[-1]
    assert not (tmp_path / "sentiment_edgetpu.tflite").exists()


def test_a_file_that_is_not_what_was_reported_is_not_written(compile_as: Any, tmp_path: Path) -> None:
    flatbuffer = unpack(SENTIMENT)[0]
    compile_as(SUCCESS, flatbuffer)
    assert "has no operator of the Edge TPU" in export(model(tmp_path)).output
    other = graph(compiled(flatbuffer))
    other.subgraphs[0].tensors[other.subgraphs[0].outputs[0]].quantization.scale = [0.25]
    compile_as(SUCCESS, packed(other))
    assert "has another output logits" in export(tmp_path / "sentiment.tflite").output
    compile_as("Edge TPU Compiler version 17.0\nall is well\n", compiled(flatbuffer))
    assert "does not understand" in export(tmp_path / "sentiment.tflite").output
    assert not (tmp_path / "sentiment_edgetpu.tflite").exists()


def test_outputs_are_matched_by_place_when_their_names_are_new() -> None:
    flatbuffer = unpack(SENTIMENT)[0]
    other = graph(compiled(flatbuffer))
    other.subgraphs[0].tensors[other.subgraphs[0].outputs[0]].name = b"renamed"
    assert compiler.match_outputs(flatbuffer, packed(other)) == {"logits": "renamed"}


def test_reports_are_counted() -> None:
    assert compiler.read_report(SUCCESS) == compiler.Report("16.0.384591198", 29, 0, ())
    short = PARTLY.replace(TABLE, "").replace("FULLY_CONNECTED  ", "NOTHING")  # only its sums
    assert compiler.read_report(short).on_cpu == 1
    nothing = HEAD.replace("subgraphs: 1", "subgraphs: 0") + "Number of operations that will run on CPU: 29\n"
    with pytest.raises(Exception, match="29 of 29 operators"):
        compiler.demand_mapped(compiler.read_report(nothing), 100)
    with pytest.raises(ModelError, match="does not understand"):
        compiler.read_report("")


def test_a_program_that_cannot_run_here(tmp_path: Path) -> None:
    program = tmp_path / "edgetpu_compiler"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    with pytest.raises(ModelError, match="does not run here: Exec format error; it needs x86-64"):
        compiler.compile_model(b"", "m", str(program))


def test_a_folder_without_a_model_or_with_two(tmp_path: Path) -> None:
    assert "has no exported model" in export(tmp_path).output
    model(tmp_path)
    model(tmp_path, "detector.tflite")
    assert "has detector.tflite and sentiment.tflite: name one" in export(tmp_path).output
    write_compiled(SENTIMENT, tmp_path / "c_edgetpu.tflite")
    assert "is compiled already" in export(tmp_path / "c_edgetpu.tflite").output
