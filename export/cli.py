"""pocketsight export ..."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pocketsight.device.cli.options import StrictGroup
from pocketsight.device.cli.param_types import PathParam
from pocketsight.device.errors import DataError, ModelError
from pocketsight.device.inference.checksum import compute_checksum
from pocketsight.export.adopt_cli import adopt
from pocketsight.export.imx500.command import imx500

if TYPE_CHECKING:
    from pocketsight.device.inference.interpreter import Model
    from pocketsight.device.inference.manifest import ModelSpec
    from pocketsight.export.calibration import Calibration

MODEL_NAMES = "detector.tflite", "classifier.tflite", "sentiment.tflite"  # in a run folder; the last one before 0.2.0
PRECISIONS = "int8", "float32", "float16", "dynamic"
PATH = PathParam()
CALIBRATION_HELP = (
    "Images that set the int8 ranges (required for int8): data as for training, or a folder of images for a detector."
)
LICENSE_HELP = "License of the weights, for the manifest."
TARGET_HELP = "Classifier: the target of its threshold.  [default: reject_label_rate<=0.1, where there are rejects]"


@click.group(cls=StrictGroup)
def export() -> None:
    """Turn a trained model, or that of another program, into a file for the board; or one for other programs."""


export.add_command(adopt)
export.add_command(imx500)


@export.command()
@click.argument("run", type=PATH)
@click.option("--calibration-data", type=PATH, multiple=True, help=CALIBRATION_HELP)
@click.option(
    "--format",
    "precision",
    type=click.Choice(PRECISIONS),
    default="int8",
    show_default=True,
    help="Number type of the weights; a Coral needs int8.",
)
@click.option(
    "--max-loss",
    type=click.FloatRange(0, 1),
    help="Largest allowed loss of AP50 or accuracy.  [default: 0.01 AP50, 0.005 accuracy]",
)
@click.option("--force", is_flag=True, help="Write the file although no image could be scored to prove it.")
@click.option("--soft-labels", type=PATH, multiple=True, help="Classifier: the --soft-labels of its training.")
@click.option("--detector", type=PATH, help="Classifier: the --detector of its training.")
@click.option("--threshold-for", "target", metavar="TARGET", help=TARGET_HELP)
@click.option("--license", "license_name", help=LICENSE_HELP)
@click.option("--out", type=PATH, help="File to write.  [default: RUN/detector.tflite or RUN/classifier.tflite]")
def tflite(
    run: Path,
    calibration_data: tuple[Path, ...],
    precision: str,
    max_loss: float | None,
    force: bool,
    soft_labels: tuple[Path, ...],
    detector: Path | None,
    target: str | None,
    license_name: str | None,
    out: Path | None,
) -> None:
    """Convert a run folder to one .tflite with its manifest inside, and compare it with the trained network."""
    if not calibration_data and (precision == "int8" or soft_labels or target):
        reason = "--soft-labels and --threshold-for need" if soft_labels or target else "int8 needs"
        raise DataError(f"{reason} images: give --calibration-data DATA, such as the training data")

    from pocketsight.export import calibration, temperature
    from pocketsight.export.detector_threshold import choose_threshold
    from pocketsight.train.console import log_message
    from pocketsight.train.run_folder import as_model, load_run

    _require_tensorflow()
    net, spec = load_run(run, batch=1)
    spec = temperature.prepare_spec(spec, target, soft_labels)
    path = out or run / f"{spec.task}.tflite"
    calibration_set = calibration.Calibration()
    if calibration_data:
        calibration_set = calibration.read_calibration(spec, calibration_data, soft_labels, detector)
    if precision == "int8":
        calibration.require_varied(calibration_set)
    for line in calibration_set.skipped:
        log_message(f"skipped: {line}")
    spec = replace(spec, license=license_name or spec.license)
    flatbuffer, exported = _convert(net, spec, precision, calibration_set, path)
    spec = exported.spec
    if calibration_data:
        parity = _check_parity(as_model(net, spec), exported, calibration_set, max_loss, force)
        if spec.task == "detector" and calibration_set.parity_samples:
            exported = replace(exported, spec=choose_threshold(exported, calibration_set.parity_samples))
        spec = replace(temperature.calibrate(exported, calibration_set.heldout, target, soft_labels), parity=parity)
    else:
        log_message("not proved: a parity check needs --calibration-data DATA")
    _write_model(path, flatbuffer, replace(exported, spec=spec))


def _require_tensorflow() -> None:
    from pocketsight.train.keras_backend import keras

    if keras.backend.backend() != "tensorflow":
        raise DataError("export needs TensorFlow; unset KERAS_BACKEND, the weights are the same")


def _convert(
    net: Any, spec: ModelSpec, precision: str, calibration_set: Calibration, path: Path
) -> tuple[bytes, Model]:
    """The flatbuffer, and the model that it is. Raises ParityError when the graph has problems."""
    from pocketsight.device.inference.interpreter import Model, TfliteModel
    from pocketsight.export import tflite as converter
    from pocketsight.train.console import console

    with console.status(f"converting to {precision}"):
        flatbuffer = converter.convert(net, precision, calibration_set.samples)
    converter.require_clean_graph(flatbuffer, precision)
    spec = replace(
        spec,
        precision=precision,
        sha256=compute_checksum(flatbuffer),
        calibration=calibration_set.facts,
        min_runtime_version=converter.read_min_runtime_version(flatbuffer),
    )
    return flatbuffer, Model(TfliteModel(flatbuffer, 1, path, spec), spec)


def _check_parity(
    trained: Model, exported: Model, calibration_set: Calibration, max_loss: float | None, force: bool
) -> dict[str, Any]:
    """The parity report, printed too. Raises ParityError when the loss exceeds `max_loss`."""
    from pocketsight.export import parity
    from pocketsight.export.tables import parity_table
    from pocketsight.train.console import console

    facts = parity.compare_models(
        trained,
        exported,
        calibration_set.samples[:50] + calibration_set.samples[-2:],
        calibration_set.parity_samples,
    )
    console.print(parity_table(facts))
    parity.require_parity(facts, max_loss, force)
    return facts


def _write_model(path: Path, flatbuffer: bytes, exported: Model) -> None:
    """Write the file with its manifest and golden inputs, and suggest the next command."""
    from pocketsight.device.inference import golden
    from pocketsight.device.inference.model_file import pack_model_file
    from pocketsight.device.system.atomic_files import atomic_write
    from pocketsight.export.golden_inputs import make_golden_inputs
    from pocketsight.train.console import log_message, suggest_next

    entries = golden.zip_entries(make_golden_inputs(exported.infer, exported.spec.input_size))
    atomic_write(path, pack_model_file(flatbuffer, exported.spec, entries))
    log_message(f"wrote {path}, {path.stat().st_size:,} bytes")
    suggest_next("run", f"--{exported.spec.task}", path)


@export.command()
@click.argument("run", type=PATH)
@click.option("--license", "license_name", help=LICENSE_HELP)
@click.option("--out", type=PATH, help="File to write, such as model.keras.  [default: RUN/model.keras]")
def keras(run: Path, license_name: str | None, out: Path | None) -> None:
    """Write a run folder as a .keras file, for notebooks: keras.models.load_model reads it without pocketsight."""
    from pocketsight.export.stock_files import write_keras

    _export_stock(run, license_name, out or run / "model.keras", write_keras, "keras.models.load_model({})")


@export.command()
@click.argument("run", type=PATH)
@click.option("--license", "license_name", help=LICENSE_HELP)
@click.option("--out", type=PATH, help="File to write.  [default: RUN/model.onnx]")
def onnx(run: Path, license_name: str | None, out: Path | None) -> None:
    """Write a run folder as an ONNX file, and compare it in ONNX Runtime with the trained network."""
    from pocketsight.export.stock_files import write_onnx

    _require_tensorflow()
    for module in "onnx", "onnxruntime", "tf2onnx":  # before the work, and after TensorFlow, which is quiet now
        import_module(module)
    _export_stock(run, license_name, out or run / "model.onnx", write_onnx, "onnxruntime.InferenceSession({})")


def _export_stock(
    run: Path, license_name: str | None, path: Path, write: Callable[[Path, Any, ModelSpec], dict[str, Any]], use: str
) -> None:
    """Write a file for other programs, and log how far it is from the trained network and how Python reads it."""
    from pocketsight.train.console import console, log_message
    from pocketsight.train.run_folder import load_run

    net, spec = load_run(run)
    with console.status(f"converting to {path.name}"):
        parity = write(path, net, replace(spec, license=license_name or spec.license))
    differences = ", ".join(f"{name} {each['max_abs']:g}" for name, each in parity["output_difference"].items())
    log_message(f"parity on {parity['images']} synthetic images, largest difference: {differences}")
    log_message(f"wrote {path}, {path.stat().st_size:,} bytes")
    log_message(f"next, in Python: {use.format(json.dumps(str(path)))}")


@export.command()
@click.argument("source", metavar="RUN_OR_MODEL", type=PATH)
@click.option(
    "--allow-cpu",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Number of operators that may run on the CPU.",
)
@click.option("--out", type=PATH, help="File to write.  [default: MODEL_edgetpu.tflite in the same folder]")
def edgetpu(source: Path, allow_cpu: int, out: Path | None) -> None:
    """Compile an int8 .tflite for a Coral, or report which operators would run on the CPU.

    The check needs only pocketsight. Compiling needs Coral's edgetpu_compiler.
    """
    from pocketsight.device.inference.coral_fallback import compiled_path
    from pocketsight.device.inference.model_file import read_model_file
    from pocketsight.export import edgetpu_compiler
    from pocketsight.export.edgetpu_ops import check_support, require_supported
    from pocketsight.export.graph import read_graph
    from pocketsight.export.tables import support_table
    from pocketsight.train.console import console

    plain = find_exported_model(source)
    flatbuffer, spec = read_model_file(plain)
    if spec.edgetpu:
        raise DataError(f"{plain} is already compiled; give the file that it was compiled from")
    support = check_support(read_graph(flatbuffer))
    console.print(support_table(support))
    program = edgetpu_compiler.find_compiler()
    if program is None:
        require_supported(support, allow_cpu)
        open_count = sum(bool(each.note) for each in support)
        raise ModelError(
            f"the check passed, but {open_count} of {len(support)} operators are uncertain; "
            f"{edgetpu_compiler.missing_compiler_hint()}"
        )
    with console.status(f"compiling {plain}"):
        compiled, report = edgetpu_compiler.compile_model(flatbuffer, plain.stem, program)
    edgetpu_compiler.require_mapped(report, allow_cpu)
    facts = {
        "compiler_version": report.version,
        "source_sha256": spec.sha256,
        "mapped_ops": report.mapped,
        "cpu_ops": report.on_cpu,
        "outputs": edgetpu_compiler.map_outputs(flatbuffer, compiled),
    }
    spec = replace(spec, sha256=compute_checksum(compiled), edgetpu=facts)
    _write_compiled(out or compiled_path(plain), plain, compiled, spec)


def _write_compiled(path: Path, plain: Path, compiled: bytes, spec: ModelSpec) -> None:
    """Write the compiled file with its manifest and the golden inputs of the plain one."""
    from pocketsight.device.inference import golden
    from pocketsight.device.inference.model_file import pack_model_file
    from pocketsight.device.system.atomic_files import atomic_write
    from pocketsight.train.console import log_message, suggest_next

    atomic_write(path, pack_model_file(compiled, spec, golden.zip_entries(golden.read(plain))))
    log_message(
        f"wrote {path}, {path.stat().st_size:,} bytes, {spec.edgetpu['mapped_ops']} operators on the Edge TPU, "
        f"{spec.edgetpu['cpu_ops']} on the CPU"
    )
    suggest_next("run", f"--{spec.task}", plain)


def find_exported_model(source: Path) -> Path:
    """The model file of a run folder, or the file itself. Raises DataError when there is none or more than one."""
    if not source.is_dir():
        return source
    found = [path for path in (source / name for name in MODEL_NAMES) if path.exists()]
    if len(found) != 1:
        has = f"has {' and '.join(path.name for path in found)}: name one" if found else "has no exported model"
        raise DataError(f"{source} {has}; make one with: pocketsight export tflite RUN --calibration-data DATA")
    return found[0]
