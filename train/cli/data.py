"""The commands `pocketsight data label|check|split|preview|import|crops`. `data capture` is in device/cli."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from pocketsight.device.cli.options import StrictCommand
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.train.cli.options import PATH, parse_comma_list
from pocketsight.train.datasets.splits import SPLITS
from pocketsight.train.recipe import RECIPES

FORMATS = "coco", "createml", "cvat", "fer2013", "labelme", "labelstudio", "via", "voc", "wider", "yolo"
ARCH_NAMES = [name for recipes in RECIPES.values() for name in recipes]
MIN_BYTES, MIN_SIDE = 10_000, 32
ISSUES_STATUS = 3  # exit status of `data check` when issues remain


@click.command(cls=StrictCommand)
@click.argument("data", type=PATH)
@click.option("--labels", help="Comma-separated labels to allow.  [default: the labels in use, or else face]")
def label(data: Path, labels: str | None) -> None:
    """Draw boxes on images with labelme.

    The images are in DATA/images; the label files go to DATA/labels.
    """
    from pocketsight.train.curation.labelme_app import run_labelme

    run_labelme(data, parse_comma_list(labels))


@click.command(cls=StrictCommand)
@click.argument("data", type=PATH, nargs=-1, required=True)
@click.option("--fix", is_flag=True, help="Move bad files to DATA-quarantine, next to DATA. Nothing is deleted.")
@click.option("--labels", help="Comma-separated labels that boxes may have.  [default: all that are not rare]")
@click.option(
    "--rename", multiple=True, metavar="OLD=NEW", help="Rename the label OLD of boxes to NEW, before the check."
)
@click.option(
    "--min-bytes",
    default=MIN_BYTES,
    show_default=True,
    type=click.IntRange(0),
    help="Name image files with fewer bytes, as information.",
)
@click.option(
    "--min-side",
    default=MIN_SIDE,
    show_default=True,
    type=click.IntRange(1),
    help="Smallest allowed shorter side, in px.",
)
@click.option("--html", type=PATH, default=Path("check.html"), show_default=True, help="Write the report to this file.")
@click.option("--workers", type=click.IntRange(1), help="Number of processes.  [default: one for each core]")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def check(
    data: tuple[Path, ...],
    fix: bool,
    labels: str | None,
    rename: tuple[str, ...],
    min_bytes: int,
    min_side: int,
    html: Path,
    workers: int | None,
    as_json: bool,
) -> None:
    """Find bad images and labels, duplicates, and leaks between splits.

    Several COCO files are checked as the splits of one data set.

    Exit status 0: no problems; 3: problems remain; 1: the check failed.
    """
    from pocketsight.train.console import progress_bar
    from pocketsight.train.curation.check import INFO, ISSUE_TYPES, MOVE, RENAME
    from pocketsight.train.curation.check import check as run_check
    from pocketsight.train.curation.console_report import print_check_report, report_as_dict
    from pocketsight.train.curation.fix import fix as fix_issues
    from pocketsight.train.curation.html_report import write_check_page
    from pocketsight.train.curation.scan import scan_datasets

    if rename:
        _rename_labels(data, rename)
    report = run_check(scan_datasets(data), parse_comma_list(labels), min_bytes, min_side, workers, progress_bar)
    write_check_page(report, html)
    fix_result = fix_issues(report) if fix else None
    harmless = {INFO, MOVE, RENAME} if fix else {INFO}
    has_issues = any(ISSUE_TYPES[issue.type][1] not in harmless for issue in report.issues)
    status = ISSUES_STATUS if has_issues else 0
    if as_json:
        click.echo(json.dumps(report_as_dict(report, fix_result, status), indent=2))
    else:
        limits = {"--labels": labels, "--min-bytes": min_bytes, "--min-side": min_side}
        defaults = None, MIN_BYTES, MIN_SIDE
        given = [word for name, value in limits.items() if value not in defaults for word in (name, value)]
        print_check_report(report, fix_result, html, ["data", "check", *data, *given])
    raise SystemExit(status)


def _rename_labels(data: Sequence[Path], rename: Sequence[str]) -> None:
    """Rename labels in the label files. Raises UsageError for a text that is not like OLD=NEW."""
    from pocketsight.train.console import log_message
    from pocketsight.train.curation.fix import rename_labels
    from pocketsight.train.curation.scan import scan_datasets

    new_names = dict(text.partition("=")[::2] for text in rename)
    if not all(new_names.values()):
        raise click.UsageError(f"--rename {rename[0]!r} is not of the form OLD=NEW, such as d=face")
    log_message(f"renamed labels in {rename_labels(scan_datasets(data), new_names)} files")


class FractionRange(click.FloatRange):
    """A share, 0 to 1."""

    def __init__(self) -> None:
        super().__init__(0, 1)


@click.command(cls=StrictCommand)
@click.argument("data", type=PATH)
@click.option("--train", default=0.7, show_default=True, type=FractionRange(), help="Share of the train split.")
@click.option("--val", default=0.15, show_default=True, type=FractionRange(), help="Share of the validation split.")
@click.option("--test", default=0.15, show_default=True, type=FractionRange(), help="Share of the test split.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the random order.")
@click.option("-o", "--out", type=PATH, help="Copy into this folder.  [default: move within DATA]")
@click.option("--mix-sessions", is_flag=True, help="Allow images of one capture session in different splits.")
@click.option("--reassign", is_flag=True, help="Give new splits to all images, also to those that have one.")
def split(data: Path, seed: int, out: Path | None, mix_sessions: bool, reassign: bool, **shares: float) -> None:
    """Split images into train, val and test.

    Near-duplicates, groups and capture sessions stay in one split. Images that have a split keep it, so a second run
    changes nothing, and new images can be added.
    """
    from pocketsight.train.console import progress_bar
    from pocketsight.train.curation.console_report import print_split_summary
    from pocketsight.train.curation.scan import scan_dataset
    from pocketsight.train.curation.split import split as run_split

    if not abs(sum(shares.values()) - 1) < 1e-6:  # nan is refused too
        raise click.UsageError(f"--train, --val and --test add up to {sum(shares.values()):g}, not 1")
    shares = {name: shares[name] for name in SPLITS}
    result = run_split(scan_dataset(data), shares, seed, out, mix_sessions, reassign, progress_bar)
    print_split_summary(result, shares, data, out)


@click.command(cls=StrictCommand)
@click.argument("data", type=PATH)
@click.option("--augment", is_flag=True, help="Add three augmented versions of each image.")
@click.option(
    "--arch",
    type=click.Choice(ARCH_NAMES),
    help="Augment by the recipe of this network.  [default: grid141k or crop71k]",
)
@click.option("--count", default=24, show_default=True, type=click.IntRange(1), help="Number of images.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the random choice of images."
)
@click.option(
    "-o", "--out", type=PATH, default=Path("preview.png"), show_default=True, help="Write the sheet to this PNG."
)
def preview(data: Path, augment: bool, arch: str | None, count: int, seed: int, out: Path) -> None:
    """Draw a contact sheet of DATA, with boxes or classes."""
    from pocketsight.train.curation.preview import preview as draw_preview

    click.echo(draw_preview(data, augment, count, arch, seed, out), err=True)


@click.command(name="import", cls=StrictCommand)
@click.argument("source", type=PATH)
@click.option("--from", "source_format", type=click.Choice(FORMATS), help="Format of SOURCE.  [default: detected]")
@click.option(
    "--to",
    "target_format",
    type=click.Choice(("coco", "labelme", "folders")),
    help="Format to write.  [default: coco; folders for FER2013]",
)
@click.option("--images", type=PATH, help="Folder of the images, if SOURCE does not name it.")
@click.option("--label", help="Keep only the boxes of these comma-separated labels. Images without one count as empty.")
@click.option("--max-boxes", type=click.IntRange(0), help="Keep only images with at most this many boxes.")
@click.option("--split", type=click.Choice(SPLITS), help="Import only this split of SOURCE.")
@click.option(
    "--first-pixel",
    type=click.IntRange(0, 1),
    help="Pascal VOC only: the number of the first pixel.  [default: by who wrote the files]",
)
@click.option("--votes", type=PATH, help="FER2013 only: the FER+ table of votes, fer2013new.csv.")
@click.option("-o", "--out", type=PATH, required=True, help="File to write for coco (.json), else folder.")
def import_(source: Path, out: Path, **options: Any) -> None:
    """Convert a data set of another tool, and show its boxes on a contact sheet.

    Formats: COCO, CreateML, CVAT for images, FER2013, Label Studio, labelme, Pascal VOC, VIA, WIDER FACE and YOLO.
    """
    from pocketsight.train.datasets.formats.convert import convert_dataset

    convert_dataset(source, out, **options)


@click.command(cls=StrictCommand)
@click.argument("data", type=PATH)
@click.option(
    "--model", type=PATH, default=MODELS_DIR / "detector.tflite", help="Detector to use.  [default: the shipped one]"
)
@click.option("--all", "all_faces", is_flag=True, help="Crop every face of an image, not only the largest.")
@click.option("--from-boxes", is_flag=True, help="Crop the labeled boxes of DATA, into one class folder per label.")
@click.option("-o", "--out", type=PATH, required=True, help="Folder for the crops.")
def crops(data: Path, model: Path, all_faces: bool, from_boxes: bool, out: Path) -> None:
    """Crop faces or labeled boxes out of photographs, as training data for a classifier.

    DATA is a folder of photographs, with or without class folders; with --from-boxes data as for a detector.
    """
    from pocketsight.device.inference.interpreter import load_on_cpu
    from pocketsight.train.console import progress_bar
    from pocketsight.train.curation.console_report import print_crop_summary
    from pocketsight.train.curation.face_crops import crop_boxes, crop_faces
    from pocketsight.train.curation.scan import ScannedImage, scan_dataset

    def progress(images: Sequence[ScannedImage]) -> Iterable[ScannedImage]:
        return progress_bar(images, len(images), "cropping")

    scan = scan_dataset(data)
    if from_boxes:
        summary = crop_boxes(scan, out, progress)
    else:
        summary = crop_faces(scan, load_on_cpu(model, "detector"), out, all_faces, progress)
    print_crop_summary(summary, scan, out, from_boxes)
