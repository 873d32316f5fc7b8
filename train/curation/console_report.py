"""Output of the data commands: tables for people, dictionaries for programs, and the next command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pocketsight.train.console import log_message, suggest_next
from pocketsight.train.curation.check import ISSUE_TYPES, MANUAL, MOVE, NOT_SPLIT, RENAME, CheckReport, count_issues
from pocketsight.train.curation.face_crops import CROPS_SHEET, CropSummary
from pocketsight.train.curation.fix import MOVED_TABLE, FixResult
from pocketsight.train.curation.scan import DatasetScan, relative_name
from pocketsight.train.curation.split import SplitResult
from pocketsight.train.datasets.class_balance import balance_warnings

MIRRORED_WORDS = "left", "right", "arrow", "letter", "digit", "text", "sign"  # in labels that a mirror may change
EXAMPLES_PER_ISSUE = 3  # file names in the table; the HTML page and --json list all
MAX_SHARE_ERROR = 0.05  # a split whose share is further from the requested one is mentioned


def report_as_dict(report: CheckReport, fix_result: FixResult | None, status: int) -> dict[str, Any]:
    """The report of --json."""
    content = asdict(report.statistics) | {
        "issue_counts": count_issues(report.issues),
        "issues": [{"type": i.type, "path": str(i.path), "detail": i.detail} for i in report.issues],
        "status": status,
        "class_warnings": class_warnings(report),
    }
    if fix_result:
        content |= fix_result._asdict() | {"quarantine": str(fix_result.quarantine)}
    return content


def class_warnings(report: CheckReport) -> list[str]:
    """Lines about uneven classes, and those that the validation split lacks."""
    if report.scan.layout != "classes":
        return []
    balance = report.statistics.balance
    return balance_warnings(balance.get("train") or balance.get(NOT_SPLIT, {}), balance.get("val"))


def print_check_report(
    report: CheckReport, fix_result: FixResult | None, html: Path, command: Sequence[object]
) -> None:
    """Print the report. `command` are the words of this command, for the suggestion of the next one."""
    statistics = report.statistics
    print(statistics.summary)
    for split, counts in statistics.balance.items():
        print(f"{split:10}  {_format_counts(counts)}")
    if statistics.labels:
        print(f"{'labels':10}  {_format_counts(statistics.labels)}")
        print(f"{'box sizes':10}  {_format_counts(statistics.box_sizes)}  (longer side, px of the detector's input)")
    if any(word in label.lower() for label in statistics.labels for word in MIRRORED_WORDS):
        log_message("a mirror image of these labels may be another thing: then train with --no-flip")
    if statistics.no_cell:
        share = statistics.no_cell / sum(statistics.labels.values())
        print(f"{'no cell':10}  {statistics.no_cell} boxes ({share:.1%}) that a detector cannot learn")
    for line in class_warnings(report):
        print(line)
    counts = count_issues(report.issues)
    if counts:
        _print_issues(report, counts)
    else:
        print("no problems found")
    log_message(f"look at {html}")
    if fix_result:
        removed = (
            f", removed {fix_result.removed_entries} entries from COCO files" if fix_result.removed_entries else ""
        )
        log_message(f"moved {fix_result.moved} files to {fix_result.quarantine}{removed}, renamed {fix_result.renamed}")
        if fix_result.moved:
            log_message(f"{MOVED_TABLE} in that folder lists where each file was, and why it was moved")
    _suggest_next_step(report, {ISSUE_TYPES[issue_type][1] for issue_type in counts}, bool(fix_result), command)


def _suggest_next_step(report: CheckReport, actions: set[str], is_fixed: bool, command: Sequence[object]) -> None:
    scan = report.scan
    if not is_fixed and actions & {MOVE, RENAME}:
        suggest_next(*command, "--fix")
    elif MANUAL in actions:
        log_message("fix the rest by hand, then check again")
    elif scan.layout == "images":
        log_message(
            f"next: move the images to {scan.root / 'images'} and label them, or into one folder for each class"
        )
    elif scan.layout == "labelme" and not any(image.label_file for image in scan.images):
        suggest_next("data", "label", scan.root)
    elif not all(image.split for image in scan.images):
        suggest_next("data", "split", scan.root)
    else:
        suggest_next("train", "classifier" if scan.layout == "classes" else "detector", "--data", scan.root)


def _print_issues(report: CheckReport, counts: Mapping[str, int]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("issue")
    table.add_column("count", justify="right")
    table.add_column("action")
    table.add_column("for example", overflow="fold")
    for issue_type, count in counts.items():
        names = [relative_name(issue.path, report.scan.root) for issue in report.issues if issue.type == issue_type]
        more = f", {count - EXAMPLES_PER_ISSUE} more" if count > EXAMPLES_PER_ISSUE else ""
        examples = ", ".join(names[:EXAMPLES_PER_ISSUE]) + more
        table.add_row(issue_type, str(count), ISSUE_TYPES[issue_type][1], examples)
    print()
    Console().print(table)


def print_split_summary(result: SplitResult, shares: Mapping[str, float], data: Path, out: Path | None) -> None:
    """Print the number of images in each split, and how far that is from the requested shares."""
    sizes = {split: sum(counts.values()) for split, counts in result.counts.items()}
    total = sum(sizes.values())
    for split, counts in result.counts.items():
        print(f"{split:6} {sizes[split]:6} images, {sizes[split] / total:4.0%}   {_format_counts(counts)}")
    worst = max(shares, key=lambda split: abs(sizes.get(split, 0) / total - shares[split]))
    share = sizes.get(worst, 0) / total
    if abs(share - shares[worst]) > MAX_SHARE_ERROR:
        log_message(
            f"{worst} has {share:.0%} instead of {shares[worst]:.0%}: sessions and near-duplicates stay together; "
            "capture in more sessions, or use --mix-sessions"
        )
    log_message(
        f"{result.changed_files} files written or moved"
        if result.changed_files
        else "nothing to do: every image has its split"
    )
    target = out or data
    if data.suffix == ".json":
        target = (out or data.parent) / f"{data.stem}_train.json"
    has_boxes = data.suffix == ".json" or any((target / split / "images").is_dir() for split in shares)
    suggest_next("train", "detector" if has_boxes else "classifier", "--data", target)


def print_crop_summary(summary: CropSummary, scan: DatasetScan, out: Path, from_boxes: bool = False) -> None:
    """Print how many faces or labeled boxes were cropped, and in how many images no face was found."""
    for line in summary.unreadable:
        log_message(f"skipped: {line}")
    if from_boxes:
        for label, count in sorted(summary.crops_by_class.items()):
            print(f"{label:12} {count:5} crops")
        log_message(f"look at {out / CROPS_SHEET}")
        return suggest_next("train", "classifier", "--data", out)
    images = Counter(image.class_name for image in scan.images)
    no_face = Counter(image.class_name for image in scan.images if image.path in set(summary.without_face))
    for class_name, count in sorted(images.items()):
        crops = summary.crops_by_class[class_name]
        print(
            f"{class_name or 'images':12} {count:5} images, {crops:5} faces cropped, no face in {no_face[class_name]}"
        )
    if not summary.crops_by_class.total():
        log_message("no face was found")
        return
    log_message(f"look at {out / CROPS_SHEET}")
    if scan.layout == "classes":
        suggest_next("train", "classifier", "--data", out)
    else:
        log_message(f"next: sort them into one folder for each class, then: pocketsight train classifier --data {out}")


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
