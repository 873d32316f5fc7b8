"""Coral's compiler, which is not ours to ship: run it where it is installed, and believe what it reports."""

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
TIMEOUT_SECONDS = 600  # seconds; it gives up by itself after 180
VERSION = re.compile(r"Edge TPU Compiler version ([\d.]+)")
ROW = re.compile(r"^([A-Z][A-Z0-9_]*)[ \t]+(\d+)[ \t]+(\S.*?)\s*$", re.MULTILINE)
ON_CPU = re.compile(r"Number of operations that will run on CPU:\s*(\d+)")
TOTAL = re.compile(r"Total number of operations:\s*(\d+)")
ERRORS = re.compile(r"^(?:ERROR: .+|Invalid model: .+|Internal compiler error.*|Compilation failed.+)$", re.MULTILINE)


@dataclass(frozen=True)
class CompilerReport:
    """What the compiler says it did."""

    version: str
    mapped: int  # operators on the Edge TPU
    on_cpu: int
    reasons: tuple[str, ...]  # "2 RESHAPE: why", of those on the CPU


def find_compiler() -> str | None:
    """The compiler on the PATH."""
    return shutil.which(COMPILER)


def install_hint() -> str:
    """How to come by it."""
    here = "" if platform.machine() == "x86_64" else f" (this is {platform.machine()})"
    return (
        f"nothing was compiled: {COMPILER} is not on the PATH. It is Coral's Debian package edgetpu-compiler, for "
        f"x86-64 only{here}: see {DOCS_URL}; or run it in Docker, with --platform linux/amd64: see export/README.md"
    )


def compile_model(flatbuffer: bytes, name: str, program: str) -> tuple[bytes, CompilerReport]:
    """The compiled flatbuffer, and the report. Raises ModelError when the compiler gives up."""
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
                f"{COMPILER} did not end within {TIMEOUT_SECONDS} s with {name}; nothing was written"
            ) from None
        except OSError as error:
            raise ModelError(f"{program} does not run here: {error.strerror}; it needs x86-64") from error
        text = done.stdout + done.stderr
        if done.returncode or not target.exists():
            raise ModelError(_failure_message(text, done.returncode, name))
        return target.read_bytes(), parse_report(text)


def parse_report(text: str) -> CompilerReport:
    """Read what it prints with -s. Raises ModelError where that cannot be understood: nothing is taken for granted."""
    version = found[1] if (found := VERSION.search(text)) else ""
    rows = [(name, int(count), why) for name, count, why in ROW.findall(text)]
    left = [(name, count, why) for name, count, why in rows if why != MAPPED]
    total, on_cpu = (int(found[1]) if (found := each.search(text)) else None for each in (TOTAL, ON_CPU))
    counted = sum(count for _, count, _ in left)
    if not version or (not rows and on_cpu is None):
        raise ModelError(f"{COMPILER} printed what this pocketsight does not understand; nothing was written")
    mapped = sum(count for _, count, why in rows if why == MAPPED)
    on_cpu = max(on_cpu or 0, counted)  # where both stand there they agree; the table may be cut short
    if total is not None:
        mapped = max(total - on_cpu, mapped)
    kinds: Counter[str] = Counter()
    for name, count, why in left:
        kinds[f"{name}: {why}"] += count
    return CompilerReport(version, mapped, on_cpu, tuple(f"{count} {kind}" for kind, count in kinds.items()))


def require_mapped(report: CompilerReport, max_on_cpu: int) -> None:
    """Raise ParityError when more operators stay on the CPU than may."""
    if report.on_cpu > max_on_cpu or not report.mapped:
        why = "; ".join(report.reasons) or "it did not say which"
        total = report.on_cpu + report.mapped
        cure = f"change the net, or allow them with --allow-cpu {report.on_cpu}" if report.mapped else "change the net"
        raise ParityError(f"{report.on_cpu} of {total} operators would run on the CPU ({why}); {cure}")


def map_outputs(plain: bytes, compiled: bytes) -> dict[str, str]:
    """For each output of the plain model the tensor of the compiled one. Raises ParityError when they differ.

    By the tensor's name, or, should the compiler have given it another, by its place.
    """
    before, after = read_graph(plain), read_graph(compiled)
    if not any(op.name == EDGETPU_OP for op in after.operators):
        raise ParityError("the compiled file has no operator of the Edge TPU; nothing was written")
    names = {tensor.name: tensor for tensor in after.outputs}
    places = [tensor.name for tensor in before.outputs]
    found = {}
    for name, tensor in before.outputs_by_name.items():
        place = places.index(tensor.name)
        match = names.get(tensor.name) or (after.outputs[place] if place < len(after.outputs) else None)
        if match is None or _output_signature(match) != _output_signature(tensor):
            raise ParityError(f"the compiled file has another output {name}; nothing was written")
        found[name] = match.name
    return found


def _output_signature(tensor: GraphTensor) -> tuple[object, ...]:
    return tensor.type, tensor.shape, tensor.quantization


def _failure_message(text: str, status: int, name: str) -> str:
    """Its words, and what helps."""
    version = found[1] if (found := VERSION.search(text)) else "?"
    errors = [line.strip() for line in ERRORS.findall(text)]
    words = errors[0] if errors else f"it ended with status {status} and wrote no file"
    if "Didn't find op" in text or "builtin_code out of range" in text:
        cure = "it is older than this operator; export with an older TensorFlow, or without that layer"
    elif "Internal compiler error" in text:
        cure = "it says no more; some users were helped by a second try, others by a smaller input"
    elif "dynamic" in text:
        cure = "export with a batch of 1: pocketsight export tflite does"
    else:
        cure = f"run {COMPILER} -s on the file to see all that it prints"
    return f"{COMPILER} {version} gave up on {name}: {words.rstrip(' .')}; {cure}"
