"""pocketsight evaluate ..."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pocketsight.device.cli.options import StrictCommand
from pocketsight.device.cli.param_types import SizeParam
from pocketsight.device.inference.shipped import CLASSIFIER, DETECTOR
from pocketsight.train.cli.options import PATH

if TYPE_CHECKING:
    from pocketsight.train.evaluation.reports import Scores

WORSE_STATUS = 3  # exit status of --against when the model is worse on a source
TARGET_HELP = (
    "Choose the threshold that meets a target, and write it into the model: precision>=0.99, recall>=0.9, "
    "'false_positives_per_hour<=1 at 10 fps'; for a classifier labeled_accuracy>=0.97, label_rate>=0.85, "
    "reject_label_rate<=0.15."
)


class OptionWithAlias(click.Option):
    """An option with a second name that `--help` does not show."""

    def __init__(self, *args: Any, alias: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.alias = alias

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        parser.add_option(obj=self, opts=[self.alias], dest=self.name, action="store", nargs=self.nargs)


@click.command(cls=StrictCommand)
@click.argument("model", metavar="RUN_OR_MODEL", type=PATH)
@click.option(
    "--data",
    type=PATH,
    required=True,
    multiple=True,
    help="Data as for training: the test split, or with --threshold-for the val split.",
)
@click.option(
    "--min-face-size", default=16.0, show_default=True, help="Detector: ignore faces below this size, px of the frame."
)
@click.option(
    "--frame-size", type=SizeParam(), help="Letterbox images to this size.  [default: 320x240; pipeline: 640x480]"
)
@click.option(
    "--soft-labels",
    type=PATH,
    multiple=True,
    help="Classifier: CSV with votes; the majority is the truth, where it is clear.",
)
@click.option(
    "--plots", type=PATH, help="Folder for curves, images with predictions, and errors.html, a page of the errors."
)
@click.option("--threshold-for", metavar="TARGET", help=TARGET_HELP)
@click.option(
    "--detector",
    type=PATH,
    help="Detector of the pipeline, or the one that finds the faces for a classifier.  [default: the shipped one]",
)
@click.option(
    "--classifier",
    cls=OptionWithAlias,
    alias="--sentiment",
    type=PATH,
    help="Classifier of the pipeline.  [default: the shipped one]",
)
@click.option(
    "--against",
    type=PATH,
    metavar="OLD",
    help="Say instead whether RUN_OR_MODEL is better than this run folder or model, on each source of the images.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the scores as JSON.")
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
    against: Path | None,
    as_json: bool,
) -> None:
    """Score a run folder or a .tflite file on labeled images, with the board's own code.

    With --against the exit status is 3 if the model is worse on a source.

    With `pipeline` in place of a model: detector and classifier together, on whole photographs in class folders.
    """
    from pocketsight.train.evaluation import evaluate as evaluation
    from pocketsight.train.evaluation.formatting import format_scores
    from pocketsight.train.evaluation.threshold_choice import write_threshold

    if against:
        if str(model) == "pipeline" or plots or threshold_for or classifier:
            raise click.UsageError(
                "--against compares two detectors or classifiers; leave out the pipeline, "
                "--classifier, --plots and --threshold-for"
            )
        from pocketsight.train.evaluation.comparison import compare_models, format_comparison, worse_sources

        comparison = compare_models(model, against, data, frame_size, min_face_size, soft_labels, detector)
        click.echo(json.dumps(comparison, indent=2) if as_json else format_comparison(comparison))
        raise SystemExit(WORSE_STATUS if worse_sources(comparison) else 0)
    scores: Scores
    if str(model) == "pipeline":
        if threshold_for or soft_labels:
            raise click.UsageError("--threshold-for and --soft-labels are for one model, not for the pipeline")
        scores = evaluation.pipeline_report([detector or DETECTOR, classifier or CLASSIFIER], data, frame_size, plots)
    elif classifier:
        raise click.UsageError("--classifier is for: pocketsight evaluate pipeline")
    else:
        scores = evaluation.evaluate_model(
            model, data, frame_size, min_face_size, soft_labels, plots, threshold_for, detector
        )
    click.echo(json.dumps(scores, indent=2) if as_json else format_scores(scores))
    if choices := evaluation.threshold_choices(scores):
        write_threshold(model, choices, [path.name for path in data])
        click.echo(f"wrote the threshold{'s' if len(choices) > 1 else ''} into {model}", err=True)
    for line in scores.get("skipped", []):
        click.echo(f"skipped: {line}", err=True)
