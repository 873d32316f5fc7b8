"""pocketsight data ...: the commands of a workstation; `data capture` is the board's too and lives in device/."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.train.cli.options import PATH, parse_comma_list
from pocketsight.train.datasets.splits import SPLITS
from pocketsight.train.recipe import RECIPES

FORMATS = "coco", "fer2013", "labelme", "voc", "wider", "yolo"
ARCH_NAMES = [name for recipes in RECIPES.values() for name in recipes]


@click.command()
@click.argument("data", type=PATH)
@click.option("--labels", help="Comma list: what may be labelled.  [default: those already used, or else face]")
def label(data: Path, labels: str | None) -> None:
    """Start labelme on DATA/images, with DATA/labels for its files, autosave and the labels that may be used."""
    from pocketsight.train.curation.labelme_app import run_labelme

    run_labelme(data, parse_comma_list(labels))


@click.command()
@click.argument("data", type=PATH, nargs=-1, required=True)
@click.option("--fix", is_flag=True, help="Move bad files to DATA-quarantine, beside DATA; nothing is deleted.")
@click.option("--labels", help="Comma list: labels that boxes may have.  [default: the most frequent one]")
@click.option("--rename", multiple=True, metavar="OLD=NEW", help="First give boxes labelled OLD the label NEW.")
@click.option("--min-bytes", default=10_000, show_default=True, type=click.IntRange(0), help="Of a picture's file.")
@click.option("--min-side", default=32, show_default=True, type=click.IntRange(1), help="Shorter side, px.")
@click.option("--html", type=PATH, default=Path("check.html"), show_default=True, help="The page to look at.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
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
    """Look for bad pictures and labels. Several COCO files are parts of one data set.

    Exit status 0: nothing to mend; 3: there is something; 1: it could not be looked at.
    """
    from pocketsight.train.console import log_message, progress_bar
    from pocketsight.train.curation import check as module
    from pocketsight.train.curation import fix as mending
    from pocketsight.train.curation.console_report import print_check_report, report_as_dict
    from pocketsight.train.curation.html_report import write_check_page
    from pocketsight.train.curation.scan import scan_datasets

    if rename:
        pairs = dict(text.partition("=")[::2] for text in rename)
        if not all(pairs.values()):
            raise click.UsageError(f"--rename {rename[0]!r} is not like d=face")
        log_message(f"renamed labels in {mending.rename_labels(scan_datasets(data), pairs)} files")
    report = module.check(scan_datasets(data), parse_comma_list(labels), min_bytes, min_side, workers, progress_bar)
    write_check_page(report, html)
    mended = mending.fix(report) if fix else None
    left = module.MANUAL, *((module.MOVE, module.RENAME) if not fix else ())
    status = 3 if any(module.ISSUE_TYPES[fault.type][1] in left for fault in report.issues) else 0
    if as_json:
        click.echo(json.dumps(report_as_dict(report, mended, status), indent=2))
    else:
        limits = {"--labels": labels, "--min-bytes": min_bytes, "--min-side": min_side}
        given = [word for name, value in limits.items() if value not in (None, 10_000, 32) for word in (name, value)]
        print_check_report(report, mended, html, ["data", "check", *data, *given])
    raise SystemExit(status)


class FractionRange(click.FloatRange):
    """0 to 1."""

    def __init__(self) -> None:
        super().__init__(0, 1)


@click.command()
@click.argument("data", type=PATH)
@click.option("--train", default=0.7, show_default=True, type=FractionRange())
@click.option("--val", default=0.15, show_default=True, type=FractionRange())
@click.option("--test", default=0.15, show_default=True, type=FractionRange())
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the choice between equals.")
@click.option("-o", "--out", type=PATH, help="Copy into this folder.  [default: move within DATA]")
@click.option("--mix-sessions", is_flag=True, help="Let pictures of one capture session go to different parts.")
@click.option("--reassign", is_flag=True, help="Give new parts also to what has one.")
def split(data: Path, seed: int, out: Path | None, mix_sessions: bool, reassign: bool, **shares: float) -> None:
    """Part pictures into train, val and test. Near-duplicates, groups and capture sessions stay together.

    Pictures that have a part keep it, so a second run changes nothing, and new pictures join the others.
    """
    from pocketsight.train.console import progress_bar
    from pocketsight.train.curation.console_report import print_split_summary
    from pocketsight.train.curation.scan import scan_dataset
    from pocketsight.train.curation.split import split as part

    if not abs(sum(shares.values()) - 1) < 1e-6:  # so that nan is refused too
        raise click.UsageError(f"--train, --val and --test add up to {sum(shares.values()):g}, not 1")
    shares = {name: shares[name] for name in SPLITS}
    print_split_summary(
        part(scan_dataset(data), shares, seed, out, mix_sessions, reassign, progress_bar), shares, data, out
    )


@click.command()
@click.argument("data", type=PATH)
@click.option("--augment", is_flag=True, help="Each picture beside three augmented versions.")
@click.option("--arch", type=click.Choice(ARCH_NAMES), help="The net whose recipe augments.  [default: ours]")
@click.option("--count", default=24, show_default=True, type=click.IntRange(1), help="Pictures.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Which ones.")
@click.option("-o", "--out", type=PATH, default=Path("preview.png"), show_default=True)
def preview(data: Path, augment: bool, arch: str | None, count: int, seed: int, out: Path) -> None:
    """Draw a contact sheet of DATA with boxes or classes."""
    from pocketsight.train.curation.preview import preview as draw

    click.echo(draw(data, augment, count, arch, seed, out), err=True)


@click.command(name="import")
@click.argument("source", type=PATH)
@click.option(
    "--from", "source_format", type=click.Choice(FORMATS), help="The format of SOURCE.  [default: what it looks like]"
)
@click.option(
    "--to",
    "target_format",
    type=click.Choice(("coco", "labelme", "folders")),
    help="[default: coco; folders for FER2013]",
)
@click.option("--images", type=PATH, help="Folder of the pictures, where SOURCE does not tell.")
@click.option("--label", help="Keep the boxes of this label only; pictures without one count as empty.")
@click.option("--max-boxes", type=click.IntRange(0), help="Keep pictures with at most so many boxes.")
@click.option("--votes", type=PATH, help="FER2013: the voters' table fer2013new.csv of FER+.")
@click.option("-o", "--out", type=PATH, required=True, help="coco: the .json to write; else a folder.")
def import_(source: Path, out: Path, **options: Any) -> None:
    """Bring in data of another format: WIDER FACE text, Pascal VOC, YOLO, labelme, COCO, FER2013's csv."""
    from pocketsight.train.datasets.formats.convert import convert_dataset

    convert_dataset(source, out, **options)


@click.command()
@click.argument("data", type=PATH)
@click.option(
    "--model",
    type=PATH,
    default=MODELS_DIR / "detector.tflite",
    help="The detector.  [default: the one that comes with pocketsight]",
)
@click.option("--all", "every", is_flag=True, help="Every face of a picture, not only the largest.")
@click.option("-o", "--out", type=PATH, required=True, help="The folder of the crops.")
def crops(data: Path, model: Path, every: bool, out: Path) -> None:
    """Cut faces from photographs of people, in class folders or not, for the classifier to learn from."""
    from pocketsight.device.inference.interpreter import load_on_cpu
    from pocketsight.train.console import progress_bar
    from pocketsight.train.curation.console_report import print_crop_summary
    from pocketsight.train.curation.face_crops import crop_faces
    from pocketsight.train.curation.scan import ScannedImage, scan_dataset

    def track(items: Sequence[ScannedImage]) -> Iterable[ScannedImage]:
        return progress_bar(items, len(items), "cutting")

    found = scan_dataset(data)
    cut = crop_faces(found, load_on_cpu(model, "detector"), out, every, track)
    print_crop_summary(cut, found, out)
