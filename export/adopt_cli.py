"""pocketsight export adopt"""

from __future__ import annotations

from pathlib import Path

import click

from pocketsight.device.cli.param_types import PathParam
from pocketsight.device.inference.manifest import FAMILIES, NOT_PROVED, TASKS, WHOLE_FRAME

PATH = PathParam()


@click.command()
@click.argument("model", type=PATH)
@click.option("--task", type=click.Choice(TASKS), required=True, help="What the model does.")
@click.option(
    "--labels",
    type=PATH,
    help="One label on each line, with its number or without, or a label map of TensorFlow.  [default: in the model]",
)
@click.option(
    "--pixels",
    type=click.Choice(["0..255", "0..1", "-1..1"]),
    help="The numbers that the pixel values 0 to 255 become.  [default: from the model, or usual for its family]",
)
@click.option(
    "--classifies",
    multiple=True,
    metavar="LABEL",
    help=f"Classifier: the detections that it is for; {WHOLE_FRAME} means the whole frame.  [default: face]",
)
@click.option("--family", type=click.Choice(FAMILIES), help="Detector: its family.  [default: recognized]")
@click.option("--output", type=click.Choice(["probabilities", "logits"]), help="Classifier.  [default: recognized]")
@click.option(
    "--fit",
    type=click.Choice(["center", "stretch"]),
    help="Classifier: take the square in the center of a box, or stretch the box to the input.  [default: center for "
    "the whole frame, else the square around the box]",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 4),
    help="Classifier: how far the crop extends beyond a box, as a fraction of its longer side.  [default: 0.14; 0 for "
    "the whole frame]",
)
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="Lowest score that counts.  [default: 0.25 for yolo, else 0.5]"
)
@click.option("--check", "data", type=PATH, multiple=True, help="Labeled data, as for training, to score the model on.")
@click.option("--license", "license_name", default="", help="License of the weights, for the manifest.")
@click.option("--out", type=PATH, help="File to write.  [default: MODEL_adopted.tflite in the same folder]")
def adopt(
    model: Path,
    task: str,
    labels: Path | None,
    pixels: str | None,
    classifies: tuple[str, ...],
    family: str | None,
    output: str | None,
    fit: str | None,
    margin: float | None,
    threshold: float | None,
    data: tuple[Path, ...],
    license_name: str,
    out: Path | None,
) -> None:
    """Give another program's .tflite a manifest, so that run, bench, verify and evaluate take it.

    Classifiers, such as those of Teachable Machine; SSDs with TFLite_Detection_PostProcess; YOLO v8 and 11 of
    Ultralytics; BlazeFace of MediaPipe. What the network answers is not changed.
    """
    from pocketsight.device.system.atomic_files import atomic_write
    from pocketsight.export.adopt import AdoptOptions
    from pocketsight.export.adopt import adopt as adopt_model
    from pocketsight.train.console import log_message, suggest_next

    _require_options_of_task(
        task,
        {"family": family},
        {"classifies": classifies, "output": output, "fit": fit} | {"margin": margin is not None},
    )
    options = AdoptOptions(task, labels, family, pixels, output, classifies, fit, margin, threshold, license_name)
    adopted = adopt_model(model, options)
    if data:
        from pocketsight.export.adopt_check import check_on_data

        log_message(check_on_data(adopted, data))
    spec = adopted.model.spec
    for warning in adopted.warnings:
        if not data or "--check" not in warning:
            log_message(f"warning: {warning}")
    path = out or model.with_name(f"{model.stem}_adopted{model.suffix}")
    atomic_write(path, adopted.to_bytes())
    low, high = spec.pixel_range
    log_message(
        f"recognized: {spec.family or spec.task}, {spec.training['recognized']}; pixels become {low:.4g}..{high:.4g}, "
        f"{spec.training['pixel_range']}; {len(spec.labels)} labels from {spec.training['labels']}"
    )
    log_message(f"wrote {path}, {path.stat().st_size:,} bytes; {NOT_PROVED}")
    on_frame = spec.task == "classifier" and WHOLE_FRAME in spec.classifies
    suggest_next("run", *(("--detector", "none") if on_frame else ()), f"--{spec.task}", path)


def _require_options_of_task(task: str, of_detectors: dict[str, object], of_classifiers: dict[str, object]) -> None:
    """Raise UsageError for an option of the other task."""
    others = of_classifiers if task == "detector" else of_detectors
    if given := [name for name, value in others.items() if value]:
        raise click.UsageError(f"--{given[0]} is not for a {task}")
