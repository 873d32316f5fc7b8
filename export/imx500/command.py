"""`pocketsight export imx500`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pocketsight.device.cli.options import StrictCommand
from pocketsight.device.cli.param_types import PathParam
from pocketsight.device.errors import DataError, ModelError
from pocketsight.device.inference.imx500_file import PACKED_NETWORK, SUFFIX
from pocketsight.device.inference.shipped import MODEL_NAMES

if TYPE_CHECKING:
    from pocketsight.device.inference.interpreter import Model
    from pocketsight.device.inference.manifest import ModelSpec
    from pocketsight.export.calibration import Calibration
    from pocketsight.export.imx500.converter import ConvertedNetwork
    from pocketsight.train.datasets.detection_sample import DetectionSample

SHIPPED = {name: path for name, path in MODEL_NAMES.items() if name != "classifier"}
COMPARED = 50  # images whose outputs are compared


@click.command(cls=StrictCommand)
@click.argument("source", metavar=f"RUN|{'|'.join(SHIPPED)}", type=PathParam())
@click.option(
    "--calibration-data",
    type=PathParam(),
    multiple=True,
    required=True,
    help="Images that set the int8 ranges and prove the result: data as for training.",
)
@click.option(
    "--test-data",
    type=PathParam(),
    multiple=True,
    help="Labeled images to score both networks on. No other program runs the quantized one.",
)
@click.option(
    "--max-loss",
    type=click.FloatRange(0, 1),
    help="Largest allowed loss of AP50.  [default: 0.01, more with few images]",
)
@click.option("--force", is_flag=True, help="Write the file although no image could be scored to prove it.")
@click.option("--license", "license_name", help="License of the weights, for the manifest.")
@click.option("--out", type=PathParam(), help=f"File to write.  [default: RUN/detector{SUFFIX}, or here]")
def imx500(
    source: Path,
    calibration_data: tuple[Path, ...],
    test_data: tuple[Path, ...],
    max_loss: float | None,
    force: bool,
    license_name: str | None,
    out: Path | None,
) -> None:
    """Convert a detector for the Raspberry Pi AI Camera, and compare it with the trained network.

    It needs Python 3.11 and Java. The first export installs Sony's tools (TensorFlow 2.15; 2.3 GB) in an environment of
    their own.
    """
    from pocketsight.export import calibration
    from pocketsight.export.imx500.tools_environment import is_ready, prepare_environment
    from pocketsight.export.parity import score_model
    from pocketsight.train.console import console, log_message
    from pocketsight.train.run_folder import as_model

    net, spec = load_detector(source)
    with console.status("looking for Sony's tools" if is_ready() else "installing Sony's tools, once"):
        python = prepare_environment()
    calibration_set = calibration.read_calibration(spec, calibration_data)
    calibration.require_varied(calibration_set)
    for line in calibration_set.skipped:
        log_message(f"skipped: {line}")
    name = f"{spec.task}{SUFFIX}" if source.is_dir() else f"{SHIPPED[str(source)].stem}{SUFFIX}"
    path = out or (source / name if source.is_dir() else Path(name))
    spec = replace(spec, license=license_name or spec.license, calibration=calibration_set.facts)
    tests = {data: read_samples(data, spec.labels) for data in test_data}
    samples = [*calibration_set.parity_samples, *(sample for each in tests.values() for sample in each)]
    converted, exported = _convert(net, spec, calibration_set, samples, python, path.name.removesuffix(SUFFIX))
    spec = _prove(net, exported, calibration_set, max_loss, force)
    on_cpu = source / "detector.tflite" if source.is_dir() else source  # what takes over where the camera fails
    _write(path, converted, replace(exported, spec=spec), on_cpu)
    for data, each in tests.items():
        before, after = (score_model(model, each) for model in (as_model(net, spec), exported))
        log_message(f"{data}: ap50 on {len(each)} images: trained {before:.4f}, exported {after:.4f}")


def load_detector(source: Path) -> tuple[Any, ModelSpec]:
    """The network and the manifest of a run folder or of a shipped detector. Raises ModelError for a classifier."""
    from pocketsight.device.inference.model_file import read_model_file
    from pocketsight.train.run_folder import WEIGHTS_ENDING, build_network, load_run

    if source.is_dir():
        net, spec = load_run(source)
    elif str(source) in SHIPPED:
        model = SHIPPED[str(source)]
        spec = replace(read_model_file(model)[1], presets={}, parity={}, min_runtime_version="")
        net = build_network(spec)
        net.load_weights(model.with_name(model.stem + WEIGHTS_ENDING))
    else:
        raise DataError(
            f"{source} is not a run folder; give one, or one of {', '.join(SHIPPED)}. Sony's tools need the trained "
            "network: they take no .tflite"
        )
    if spec.task != "detector" or not spec.strides:
        raise ModelError(
            f"{source} is a {spec.architecture}: the AI Camera runs one network on its whole picture, which must be a "
            "detector with grids; the classifier runs on the board's processor"
        )
    return net, spec


def read_samples(data: Path, labels: tuple[str, ...]) -> list[DetectionSample]:
    """The images of all splits of a data set."""
    from pocketsight.train.datasets.detection import read_samples_for

    return [sample for split in read_samples_for(data, labels).splits.values() for sample in split]


def _convert(
    net: Any,
    spec: ModelSpec,
    calibration_set: Calibration,
    scored: Sequence[DetectionSample],
    python: Path,
    name: str,
) -> tuple[ConvertedNetwork, Model]:
    """The packed network, and the quantized one as a Model that knows the images to be scored."""
    from pocketsight.device.inference.checksum import compute_checksum
    from pocketsight.device.inference.interpreter import Model
    from pocketsight.export.golden_inputs import draw_inputs
    from pocketsight.export.imx500 import converter, recorded
    from pocketsight.train.console import console, log_message

    samples = calibration_set.samples
    inputs = [*draw_inputs(spec.input_size), *samples[:COMPARED], *samples[-2:]]
    inputs += recorded.evaluation_inputs(spec, scored)
    with console.status("starting Sony's tools") as status:
        safe_name = re.sub(r"[^A-Za-z0-9_-]", "_", name)
        converted = converter.convert(net, safe_name, python, samples, inputs, status.update)
    log_message(f"operators: {', '.join(f'{n} {kind}' for kind, n in converted.facts['operators'].items())}")
    log_message(f"memory: {converted.facts['memory']}, fits the chip")
    checksum = compute_checksum(converted.packed)
    spec = replace(spec, precision="int8", sha256=checksum, imx500=converted.facts, edgetpu={})
    return converted, Model(recorded.RecordedModel(inputs, converted.outputs), spec)


def _prove(net: Any, exported: Model, calibration_set: Calibration, max_loss: float | None, force: bool) -> ModelSpec:
    """The manifest with the parity report and the thresholds. Raises ParityError when the loss is too large."""
    from pocketsight.export import parity
    from pocketsight.export.detector_threshold import choose_threshold
    from pocketsight.export.tables import parity_table
    from pocketsight.train.console import console
    from pocketsight.train.run_folder import as_model

    samples = calibration_set.samples[:COMPARED] + calibration_set.samples[-2:]
    facts = parity.compare_models(as_model(net, exported.spec), exported, samples, calibration_set.parity_samples)
    console.print(parity_table(facts))
    parity.require_parity(facts, max_loss, force)
    spec = choose_threshold(exported, calibration_set.parity_samples) if "loss" in facts else exported.spec
    return replace(spec, parity=facts)


def _write(path: Path, converted: ConvertedNetwork, exported: Model, on_cpu: Path) -> None:
    from pocketsight.device.inference import golden
    from pocketsight.device.inference.model_file import pack_model_file
    from pocketsight.device.system.atomic_files import atomic_write
    from pocketsight.export.golden_inputs import make_golden_inputs
    from pocketsight.train.console import log_message, suggest_next

    entries = golden.zip_entries(make_golden_inputs(exported.infer, exported.spec.input_size))
    atomic_write(path, pack_model_file(b"", exported.spec, {PACKED_NETWORK: converted.packed, **entries}))
    log_message(f"wrote {path}, {path.stat().st_size:,} bytes; copy it to the board")
    suggest_next("run", "--camera", "pi", "--accelerator", f"imx500:{path}", "--detector", on_cpu)
