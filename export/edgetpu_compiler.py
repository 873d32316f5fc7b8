"""Run Coral's edgetpu_compiler, where it is installed, and read its report. It cannot be shipped with pocketsight."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pocketsight.device.errors import ModelError, ParityError
from pocketsight.export.graph import GraphTensor, read_graph

COMPILER = "edgetpu_compiler"
DOCS_URL = "coral.ai/docs/edgetpu/compiler"
EDGETPU_OP = "edgetpu-custom-op"
MAPPED = "Mapped to Edge TPU"
TIMEOUT_SECONDS = 600  # the compiler gives up by itself after 180
VERSION = re.compile(r"Edge TPU Compiler version ([\d.]+)")
ROW = re.compile(r"^([A-Z][A-Z0-9_]*)[ \t]+(\d+)[ \t]+(\S.*?)\s*$", re.MULTILINE)
ON_CPU = re.compile(r"Number of operations that will run on CPU:\s*(\d+)")
TOTAL = re.compile(r"Total number of operations:\s*(\d+)")
ERRORS = re.compile(r"^(?:ERROR: .+|Invalid model: .+|Internal compiler error.*|Compilation failed.+)$", re.MULTILINE)


@dataclass(frozen=True)
class CompilerReport:
    """The result of the compiler, as it reports it."""

    version: str
    mapped: int  # operators on the Edge TPU
    on_cpu: int
    reasons: tuple[
        str, ...
    ]  # of the operators on the CPU, such as "2 RESHAPE: Operation is otherwise supported, but ..."


def find_compiler() -> str | None:
    """The path of the compiler; None: it is not on the PATH."""
    return shutil.which(COMPILER)


def missing_compiler_hint() -> str:
    """Where to get the compiler."""
    here = "" if platform.machine() == "x86_64" else f" (this is {platform.machine()})"
    return (
        f"nothing was compiled: {COMPILER} is not on the PATH. It is Coral's Debian package edgetpu-compiler, for "
        f"x86-64 only{here}: see {DOCS_URL}; or run it in Docker, with --platform linux/amd64: see export/README.md"
    )


def compile_model(flatbuffer: bytes, name: str, program: str) -> tuple[bytes, CompilerReport]:
    """The compiled flatbuffer and the report. Raises ModelError when the compiler fails."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, f"{name}.tflite"), Path(folder, f"{name}_edgetpu.tflite")
        source.write_bytes(flatbuffer)
        try:
            done = subprocess.run(
                [program, "-s", "-o", folder, str(source)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=TIMEOUT_SECONDS,
                cwd=folder,
            )
        except subprocess.TimeoutExpired:
            raise ModelError(
                f"{COMPILER} took longer than {TIMEOUT_SECONDS} s for {name}; nothing was written"
            ) from None
        except OSError as error:
            raise ModelError(f"{program} does not run here: {error.strerror}; it needs x86-64") from error
        text = done.stdout + done.stderr
        if done.returncode or not target.exists():
            raise ModelError(_failure_message(text, done.returncode, name))
        return target.read_bytes(), parse_report(text)


def parse_report(text: str) -> CompilerReport:
    """Read the output of `edgetpu_compiler -s`. Raises ModelError when it cannot be understood."""
    version = found[1] if (found := VERSION.search(text)) else ""
    rows = [(name, int(count), status) for name, count, status in ROW.findall(text)]
    unmapped = [(name, count, status) for name, count, status in rows if status != MAPPED]
    total, on_cpu = (int(found[1]) if (found := each.search(text)) else None for each in (TOTAL, ON_CPU))
    counted = sum(count for _, count, _ in unmapped)
    if not version or (not rows and on_cpu is None):
        raise ModelError(f"this pocketsight does not understand the output of {COMPILER}; nothing was written")
    mapped = sum(count for _, count, status in rows if status == MAPPED)
    on_cpu = max(on_cpu or 0, counted)  # the table may be truncated
    if total is not None:
        mapped = max(total - on_cpu, mapped)
    kinds: Counter[str] = Counter()
    for name, count, status in unmapped:
        kinds[f"{name}: {status}"] += count
    return CompilerReport(version, mapped, on_cpu, tuple(f"{count} {kind}" for kind, count in kinds.items()))


def require_mapped(report: CompilerReport, max_on_cpu: int) -> None:
    """Raise ParityError when more than `max_on_cpu` operators run on the CPU, or none on the Edge TPU."""
    if report.on_cpu > max_on_cpu or not report.mapped:
        reasons = "; ".join(report.reasons) or "the report does not name them"
        total = report.on_cpu + report.mapped
        fix = "change the network" + (f", or allow them with --allow-cpu {report.on_cpu}" if report.mapped else "")
        raise ParityError(f"{report.on_cpu} of {total} operators would run on the CPU ({reasons}); {fix}")


def map_outputs(plain: bytes, compiled: bytes) -> dict[str, str]:
    """For each output of the plain model the tensor name in the compiled one. Raises ParityError when they differ.

    Tensors are matched by name, or by position where the compiler renamed them.
    """
    before, after = read_graph(plain), read_graph(compiled)
    if not any(op.name == EDGETPU_OP for op in after.operators):
        raise ParityError("the compiled file has no Edge TPU operator; nothing was written")
    names = {tensor.name: tensor for tensor in after.outputs}
    order = [tensor.name for tensor in before.outputs]
    mapping = {}
    for name, tensor in before.outputs_by_name.items():
        position = order.index(tensor.name)
        match = names.get(tensor.name) or (after.outputs[position] if position < len(after.outputs) else None)
        if match is None or _output_signature(match) != _output_signature(tensor):
            raise ParityError(f"output {name} of the compiled file differs; nothing was written")
        mapping[name] = match.name
    return mapping


def _output_signature(tensor: GraphTensor) -> tuple[object, ...]:
    return tensor.type, tensor.shape, tensor.quantization


def _failure_message(text: str, status: int, name: str) -> str:
    """The compiler's error message, and a fix."""
    version = found[1] if (found := VERSION.search(text)) else "?"
    errors = [line.strip() for line in ERRORS.findall(text)]
    message = errors[0] if errors else f"it ended with status {status} and wrote no file"
    if "Didn't find op" in text or "builtin_code out of range" in text:
        fix = "the compiler is older than this operator; export with an older TensorFlow, or without that layer"
    elif "Internal compiler error" in text:
        fix = "there is no more information; try again, or use a smaller input size"
    elif "dynamic" in text:
        fix = "export with a batch size of 1, as pocketsight export tflite does"
    else:
        fix = f"run {COMPILER} -s on the file to see its whole output"
    return f"{COMPILER} {version} failed on {name}: {message.rstrip(' .')}; {fix}"
