"""`pocketsight export edgetpu`: with a compiler that prints what the real one does, and without."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pocketsight.device.cli.main import main
from pocketsight.device.errors import ModelError
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.export import edgetpu_compiler
from pocketsight.export.graph import read_graph
from tests.support.corals import become, compiled, graph, packed, write_compiled, write_plain

SENTIMENT = MODELS_DIR / "sentiment.tflite"
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
        program.write_text(
            f'#!/bin/sh\necho "$1 $2" > {folder}/words; cp "$4" {folder}/given\n{copy}\n'
            f"cat {folder}/report; exit {status}\n"
        )
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
    flatbuffer, spec = read_model_file(SENTIMENT)
    broken = graph(flatbuffer)
    become(broken, "FULLY_CONNECTED", "GELU")
    path = write_plain(broken, spec, tmp_path / "broken.tflite")
    done = export(path)
    assert done.exit_code == 1
    assert "Error: 1 of 29 operators would run on the CPU: GELU not on Coral's list" in done.output
    assert "the check passed" in export(path, "--allow-cpu", 1).output


def test_a_model_that_is_mapped_whole_becomes_a_file_of_ours(compile_as: Any, tmp_path: Path) -> None:
    flatbuffer, spec = read_model_file(SENTIMENT)
    folder = compile_as(SUCCESS, compiled(flatbuffer))
    (tmp_path / "run").mkdir()
    model(tmp_path / "run")
    done = export(tmp_path / "run")
    assert (done.exit_code, done.exception) == (0, None), done.output
    assert (folder / "given").read_bytes() == flatbuffer  # without the zip
    assert (folder / "words").read_text().split() == ["-s", "-o"]
    found, facts = read_model_file(tmp_path / "run" / "sentiment_edgetpu.tflite")
    assert found == compiled(flatbuffer)
    assert facts.sha256 == sha256(found).hexdigest()
    assert facts.edgetpu == {
        "compiler_version": "16.0.384591198",
        "source_sha256": spec.sha256,
        "mapped_ops": 29,
        "cpu_ops": 0,
        "outputs": {"logits": read_graph(flatbuffer).outputs[0].name},
    }
    assert replace(facts, edgetpu={}, sha256=spec.sha256) == spec
    assert "29 operators on the Edge TPU, 0 on the CPU" in done.output
    assert export(tmp_path / "run" / "sentiment_edgetpu.tflite").output.strip().endswith("it was compiled from")


def test_operators_on_the_cpu_fail_unless_they_are_allowed(compile_as: Any, tmp_path: Path) -> None:
    compile_as(PARTLY, compiled(read_model_file(SENTIMENT)[0], left=1))
    done = export(model(tmp_path))
    assert done.exit_code == 1
    assert "1 of 29 operators would run on the CPU (1 FULLY_CONNECTED: Operation version not supported)" in done.output
    assert not (tmp_path / "sentiment_edgetpu.tflite").exists()
    out = tmp_path / "other.tflite"
    assert export(tmp_path / "sentiment.tflite", "--allow-cpu", 1, "--out", out).exit_code == 0
    assert (read_model_file(out)[1].edgetpu["mapped_ops"], read_model_file(out)[1].edgetpu["cpu_ops"]) == (28, 1)


@pytest.mark.parametrize(
    ("report", "status", "says"),
    [
        (VERSION, 1, "Didn't find op for builtin opcode 'CONV_2D' version '6'"),
        (VERSION, 0, "the compiler is older than this operator"),
        (INTERNAL, 1, "failed on sentiment: Internal compiler error. Aborting!; there is no more information"),
        (DYNAMIC, 1, "export with a batch size of 1"),
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
    flatbuffer = read_model_file(SENTIMENT)[0]
    compile_as(SUCCESS, flatbuffer)
    assert "has no Edge TPU operator" in export(model(tmp_path)).output
    other = graph(compiled(flatbuffer))
    other.subgraphs[0].tensors[other.subgraphs[0].outputs[0]].quantization.scale = [0.25]
    compile_as(SUCCESS, packed(other))
    assert "output logits of the compiled file differs" in export(tmp_path / "sentiment.tflite").output
    compile_as("Edge TPU Compiler version 17.0\nall is well\n", compiled(flatbuffer))
    assert "does not understand" in export(tmp_path / "sentiment.tflite").output
    assert not (tmp_path / "sentiment_edgetpu.tflite").exists()


def test_outputs_are_matched_by_place_when_their_names_are_new() -> None:
    flatbuffer = read_model_file(SENTIMENT)[0]
    other = graph(compiled(flatbuffer))
    other.subgraphs[0].tensors[other.subgraphs[0].outputs[0]].name = b"renamed"
    assert edgetpu_compiler.map_outputs(flatbuffer, packed(other)) == {"logits": "renamed"}


def test_reports_are_counted() -> None:
    assert edgetpu_compiler.parse_report(SUCCESS) == edgetpu_compiler.CompilerReport("16.0.384591198", 29, 0, ())
    short = PARTLY.replace(TABLE, "").replace("FULLY_CONNECTED  ", "NOTHING")  # only its sums
    assert edgetpu_compiler.parse_report(short).on_cpu == 1
    nothing = HEAD.replace("subgraphs: 1", "subgraphs: 0") + "Number of operations that will run on CPU: 29\n"
    with pytest.raises(Exception, match="29 of 29 operators"):
        edgetpu_compiler.require_mapped(edgetpu_compiler.parse_report(nothing), 100)
    with pytest.raises(ModelError, match="does not understand"):
        edgetpu_compiler.parse_report("")


def test_a_program_that_cannot_run_here(tmp_path: Path) -> None:
    program = tmp_path / "edgetpu_compiler"
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    with pytest.raises(ModelError, match="does not run here: Exec format error; it needs x86-64"):
        edgetpu_compiler.compile_model(b"", "m", str(program))


def test_a_folder_without_a_model_or_with_two(tmp_path: Path) -> None:
    assert "has no exported model" in export(tmp_path).output
    model(tmp_path)
    model(tmp_path, "detector.tflite")
    assert "has detector.tflite and sentiment.tflite: name one" in export(tmp_path).output
    write_compiled(SENTIMENT, tmp_path / "c_edgetpu.tflite")
    assert "is already compiled" in export(tmp_path / "c_edgetpu.tflite").output
