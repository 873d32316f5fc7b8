"""TODO docstring."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pocketsight.device.cli.options import SizeParam
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.train.cli.options import PATH

THRESHOLD_TARGET_HELP = (
    "Choose the threshold and write it into the model: precision>=0.99, recall>=0.9, 'false_positives_per_hour<=1 at "
    "10 fps'; of a classifier labeled_accuracy>=0.97, label_rate>=0.85, reject_label_rate<=0.15."
)


@click.command()
@click.argument("model", metavar="RUN_OR_MODEL", type=PATH)
@click.option(
    "--data", type=PATH, required=True, multiple=True, help="As for training; the part named test, if there is one."
)
@click.option(
    "--min-face-size", default=16.0, show_default=True, help="Detector: px of the frame; smaller faces do not count."
)
@click.option(
    "--frame-size", type=SizeParam(), help="Pictures are fitted to it.  [default: 320x240; pipeline: 640x480]"
)
@click.option(
    "--soft-labels", type=PATH, multiple=True, help="Classifier: the voters' majority is the truth, where it is clear."
)
@click.option(
    "--plots", type=PATH, help="A folder for curves, found faces, and failures.html: what went wrong, to look at."
)
@click.option("--threshold-for", metavar="PROMISE", help=THRESHOLD_TARGET_HELP)
@click.option(
    "--detector",
    type=PATH,
    help="Of the pipeline; of a classifier: finds the faces in portraits.  [default: the one that ships]",
)
@click.option("--classifier", type=PATH, help="Of the pipeline.  [default: the one that comes with pocketsight]")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def evaluate(
    model: Path,
    data: tuple[Path, ...],
    min_face_size: float,
    frame_size: tuple[int, int] | None,
    soft_labels: tuple[Path, ...],
    plots: Path | None,
    threshold_for: str | None,
    detector: Path | None,
    classifier: Path | None,
    as_json: bool,
) -> None:
    """Score a run folder or a .tflite file on labelled pictures, with the board's own code.

    With the word pipeline instead, detector and classifier together on whole photographs in class folders.
    """
    from pocketsight.train.evaluation import evaluate as evaluation
    from pocketsight.train.evaluation.threshold_choice import write_threshold

    if str(model) == "pipeline":
        if threshold_for or soft_labels:
            raise click.UsageError("--threshold-for and --soft-labels are for one model, not for the pipeline")
        models = [detector or MODELS_DIR / "detector.tflite", classifier or MODELS_DIR / "sentiment.tflite"]
        scores = evaluation.pipeline_report(models, data, frame_size, plots)
    elif classifier:
        raise click.UsageError("--classifier is for: pocketsight evaluate pipeline")
    else:
        scores = evaluation.evaluate_model(
            model, data, frame_size, min_face_size, soft_labels, plots, threshold_for, detector
        )
    click.echo(json.dumps(scores, indent=2) if as_json else evaluation.format_scores(scores))
    if threshold_for:
        write_threshold(model, scores["threshold_choice"], [path.name for path in data])
        click.echo(f"wrote the threshold into {model}", err=True)
    for line in scores["skipped"]:
        click.echo(f"skipped: {line}", err=True)
