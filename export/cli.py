"""pocketsight export ..."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pocketsight.device.errors import DataError, ModelError, ParityError
from pocketsight.export import golden_inputs

if TYPE_CHECKING:
    from pocketsight.device.inference.interpreter import Model
    from pocketsight.export.calibration import Calibration
    from pocketsight.export.edgetpu_ops import OpSupport

TASKS = "detector", "classifier"
PRECISIONS = "int8", "float32", "float16", "dynamic"
PATH = click.Path(path_type=Path)
CALIBRATE_HELP = (
    "Sets the int8 ranges, which demand it: data as for training, or, for a detector, a folder of pictures."
)
PICK_HELP = "Classifier: what its threshold must keep.  [default: reject_label_rate<=0.1, where there are other faces]"


@click.group()
def export() -> None:
    """Turn a trained model into a file for the board."""


@export.command()
@click.argument("run", type=PATH)
@click.option("--calibration-data", type=PATH, multiple=True, help=CALIBRATE_HELP)
@click.option("--format", "precision", type=click.Choice(PRECISIONS), default="int8", show_default=True)
@click.option(
    "--max-loss", type=click.FloatRange(0, 1), help="Largest loss of AP50 or accuracy.  [default: 0.01, 0.005]"
)
@click.option("--soft-labels", type=PATH, multiple=True, help="Classifier: as for its training.")
@click.option("--detector", type=PATH, help="Classifier: as for its training.")
@click.option("--threshold-for", metavar="PROMISE", help=PICK_HELP)
@click.option("--license", help="Terms of the weights, for the manifest.")
@click.option("--out", type=PATH, help="The file to write.  [default: RUN/detector.tflite or RUN/sentiment.tflite]")
def tflite(
    run: Path,
    calibration_data: tuple[Path, ...],
    precision: str,
    max_loss: float | None,
    soft_labels: tuple[Path, ...],
    detector: Path | None,
    threshold_for: str | None,
    license: str | None,
    out: Path | None,
) -> None:
    """Write one .tflite with its manifest inside, proved against the trained model."""
    if not calibration_data and (precision == "int8" or soft_labels or threshold_for):
        what = (
            "--soft-labels and --threshold-for need pictures"
            if soft_labels or threshold_for
            else "int8 needs pictures to set its ranges"
        )
        raise DataError(f"{what}: --calibration-data DATA, the training data will do")

    from pocketsight.device.inference import golden
    from pocketsight.device.inference.interpreter import Model, TfliteModel
    from pocketsight.device.inference.model_file import pack_model_file
    from pocketsight.device.system.atomic_files import atomic_write
    from pocketsight.export import calibration, temperature
    from pocketsight.export import tflite as converter
    from pocketsight.train.console import console, log_message, suggest_next
    from pocketsight.train.keras_backend import keras
    from pocketsight.train.run_folder import as_model, load_run

    if keras.backend.backend() != "tensorflow":
        raise DataError("only TensorFlow exports; unset KERAS_BACKEND, the weights are the same")
    net, spec = load_run(run, batch=1)
    spec = temperature.prepare_spec(spec, threshold_for, soft_labels)
    target = out or run / f"{spec.task}.tflite"
    calibration_set = (
        calibration.read_calibration(spec, calibration_data, soft_labels, detector)
        if calibration_data
        else calibration.Calibration()
    )
    for line in calibration_set.skipped:
        log_message(f"skipped: {line}")
    with console.status(f"converting {run} to {precision}"):
        flatbuffer = converter.convert(net, precision, calibration_set.samples)
    converter.require_clean_graph(flatbuffer, precision)
    spec = replace(
        spec,
        precision=precision,
        license=license or spec.license,
        sha256=sha256(flatbuffer).hexdigest(),
        calibration=calibration_set.facts,
        min_runtime_version=converter.read_min_runtime_version(flatbuffer),
    )
    exported = Model(TfliteModel(flatbuffer, threads=1, origin=target), spec)
    if calibration_data:
        facts = _check_parity(as_model(net, spec), exported, calibration_set, max_loss)
        spec = replace(
            temperature.calibrate(exported, calibration_set.heldout, threshold_for, soft_labels), parity=facts
        )
    else:
        log_message("no parity check: give --calibration-data DATA to have one")
    atomic_write(
        target,
        pack_model_file(
            flatbuffer, spec, golden.zip_entries(golden_inputs.make_golden_inputs(exported.infer, spec.input_size))
        ),
    )
    log_message(f"wrote {target}, {target.stat().st_size:,} bytes")
    suggest_next("run", f"--{spec.task}", target)


def _check_parity(
    trained: Model, exported: Model, calibration_set: Calibration, max_loss: float | None
) -> dict[str, Any]:
    """The parity report, printed too. Raises ParityError when more was lost than `max_loss`."""
    from pocketsight.export import parity
    from pocketsight.train.console import console

    facts = parity.compare_models(
        trained,
        exported,
        calibration_set.samples[:50] + calibration_set.samples[-2:],
        calibration_set.parity_samples,
    )
    console.print(_parity_table(facts))
    parity.require_parity(facts, max_loss)
    return facts


@export.command()
@click.argument("source", metavar="RUN_OR_MODEL", type=PATH)
@click.option(
    "--allow-cpu",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    metavar="N",
    help="Operators that may stay on the CPU.",
)
@click.option("--out", type=PATH, help="The file to write.  [default: MODEL_edgetpu.tflite beside it]")
def edgetpu(source: Path, allow_cpu: int, out: Path | None) -> None:
    """Compile an int8 .tflite for a Coral, or say what of it would stay on the CPU.

    The check needs nothing but pocketsight; compiling needs Coral's edgetpu_compiler.
    """
    from pocketsight.device.inference import golden
    from pocketsight.device.inference.coral_fallback import compiled_path
    from pocketsight.device.inference.model_file import pack_model_file, read_model_file
    from pocketsight.device.system.atomic_files import atomic_write
    from pocketsight.export import edgetpu_compiler
    from pocketsight.export.edgetpu_ops import check_support
    from pocketsight.export.graph import read_graph
    from pocketsight.train.console import console, log_message, suggest_next

    plain = find_exported_model(source)
    flatbuffer, spec = read_model_file(plain)
    if spec.edgetpu:
        raise DataError(f"{plain} is compiled already; give the file it was compiled from")
    verdicts = check_support(read_graph(flatbuffer))
    console.print(_support_table(verdicts))
    program = edgetpu_compiler.find_compiler()
    if program is None:
        require_supported(verdicts, allow_cpu)
        maybe = sum(bool(verdict.note) for verdict in verdicts)
        raise ModelError(
            f"the check passed, with {maybe} of {len(verdicts)} operators left open; {edgetpu_compiler.install_hint()}"
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
    target = out or compiled_path(plain)
    spec = replace(spec, sha256=sha256(compiled).hexdigest(), edgetpu=facts)
    atomic_write(target, pack_model_file(compiled, spec, golden.zip_entries(golden.read(plain))))
    log_message(
        f"wrote {target}, {target.stat().st_size:,} bytes, {report.mapped} operators on the Edge TPU, "
        f"{report.on_cpu} on the CPU"
    )
    suggest_next("run", f"--{spec.task}", plain)


def find_exported_model(source: Path) -> Path:
    """The model file of a run, or the file itself. Raises DataError when there is none, or more than one."""
    if not source.is_dir():
        return source
    found = [path for path in (source / f"{task}.tflite" for task in TASKS) if path.exists()]
    if len(found) != 1:
        has = f"has {' and '.join(path.name for path in found)}: name one" if found else "has no exported model"
        raise DataError(f"{source} {has}; one is made with: pocketsight export tflite RUN --calibration-data DATA")
    return found[0]


def require_supported(verdicts: Sequence[OpSupport], max_on_cpu: int) -> None:
    """Raise ParityError, naming the operators, when more would run on the CPU than may."""
    unsupported = Counter(f"{v.operator.name} {v.cpu_reason}" for v in verdicts if v.cpu_reason)
    count = unsupported.total()
    if count > max_on_cpu:
        named = "; ".join(f"{n} {name}" if n > 1 else name for name, n in unsupported.items())
        raise ParityError(f"{count} of {len(verdicts)} operators would run on the CPU: {named}")


def _support_table(verdicts: Sequence[OpSupport]) -> Any:
    """The check for people: a line for each kind of operator and fate."""
    from rich.table import Table

    table = Table(title="check: what the Edge TPU would run, by Coral's list", title_justify="left")
    for column in ("operator", "version", "count"):
        table.add_column(column, justify="left" if column == "operator" else "right")
    table.add_column("runs on")
    rows = Counter((v.operator.name, v.operator.version, v.cpu_reason, v.note) for v in verdicts)
    for (name, version, why, note), count in rows.items():
        placement = f"CPU: {why}" if why else f"Edge TPU{f', perhaps: {note}' if note else ''}"
        table.add_row(name, str(version), str(count), placement)
    return table


def _parity_table(facts: dict[str, Any]) -> Any:
    """The parity report for people."""
    from rich.table import Table

    table = Table(title="parity: trained net against exported file", title_justify="left")
    table.add_column("output")
    table.add_column("largest difference", justify="right")
    table.add_column("mean", justify="right")
    for name, gap in facts["output_difference"].items():
        table.add_row(name, f"{gap['max_abs']:.4f}", f"{gap['mean_abs']:.5f}")
    if "loss" in facts:
        table.caption = (
            f"{facts['metric']} on {facts['images']} pictures: trained {facts['trained']:.4f}, "
            f"exported {facts['exported']:.4f}, loss {facts['loss']:+.4f}"
        )
    else:
        table.caption = "nothing in the pictures could be scored"
    return table
