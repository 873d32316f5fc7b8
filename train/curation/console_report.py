"""What the data commands say, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pocketsight.train.console import log_message, suggest_next
from pocketsight.train.curation.check import ISSUE_TYPES, MANUAL, MOVE, RENAME, CheckReport, count_issues
from pocketsight.train.curation.face_crops import CROPS_SHEET, CropSummary
from pocketsight.train.curation.fix import MOVED_TABLE, FixResult
from pocketsight.train.curation.scan import DatasetScan, relative_name

EXAMPLES_PER_ISSUE = 3  # files of a kind that the table names; the page and --json have all


def report_as_dict(report: CheckReport, fix_result: FixResult | None, status: int) -> dict[str, Any]:
    """A report for programs."""
    faults = [{"kind": f.type, "path": str(f.path), "detail": f.detail} for f in report.issues]
    facts = report.statistics | {"found": count_issues(report.issues), "faults": faults, "status": status}
    return facts | (fix_result._asdict() | {"quarantine": str(fix_result.quarantine)} if fix_result else {})


def print_check_report(
    report: CheckReport, fix_result: FixResult | None, html: Path, command: Sequence[object]
) -> None:
    """A report for people; `words` are the command's own, for the next one."""
    facts = report.statistics
    mixed = f"{facts['colour']} in colour, {facts['grey']} grey"
    print(f"{facts['pictures']} pictures, {facts['bytes'] / 1e6:.1f} MB; {mixed}")
    for part, counts in facts["balance"].items():
        print(f"{part:10}  {_format_counts(counts)}")
    if facts["labels"]:
        print(f"{'labels':10}  {_format_counts(facts['labels'])}")
        print(f"{'face sizes':10}  {_format_counts(facts['face_sizes'])}  (longer side, px of the detector's input)")
    counts = count_issues(report.issues)
    if counts:
        _print_issues(report, counts)
    else:
        print("nothing to mend")
    log_message(f"look at {html}")
    if fix_result:
        taken = f", took {fix_result.entries} entries out of COCO files" if fix_result.entries else ""
        log_message(f"moved {fix_result.moved} files to {fix_result.quarantine}{taken}, renamed {fix_result.renamed}")
        if fix_result.moved:
            log_message(f"{MOVED_TABLE} there says where each was, and why")
    _suggest_next_step(report, {ISSUE_TYPES[kind][1] for kind in counts}, bool(fix_result), command)


def _suggest_next_step(report: CheckReport, fix_types: set[str], is_fixed: bool, command: Sequence[object]) -> None:
    found = report.scan
    if not is_fixed and fix_types & {MOVE, RENAME}:
        suggest_next(*command, "--fix")
    elif MANUAL in fix_types:
        log_message("mend the rest by hand, then check again")
    elif found.layout == "pictures":
        log_message(
            f"next: put the pictures into {found.root / 'images'} and label them, or into a folder for each class"
        )
    elif found.layout == "labelme" and not any(item.label_file for item in found.images):
        suggest_next("data", "label", found.root)
    elif not all(item.split for item in found.images):
        suggest_next("data", "split", found.root)
    else:
        suggest_next("train", "classifier" if found.layout == "classes" else "detector", "--data", found.root)


def _print_issues(report: CheckReport, counts: Mapping[str, int]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("found")
    table.add_column("", justify="right")
    table.add_column("")
    table.add_column("for example", overflow="fold")
    root = report.scan.root
    for kind, count in counts.items():
        paths = [fault.path for fault in report.issues if fault.type == kind]
        shown = ", ".join(relative_name(path, root) for path in paths[:EXAMPLES_PER_ISSUE])
        more = f", {len(paths) - EXAMPLES_PER_ISSUE} more" if len(paths) > EXAMPLES_PER_ISSUE else ""
        table.add_row(kind, str(count), ISSUE_TYPES[kind][1], shown + more)
    print()
    Console().print(table)


def print_split_summary(plan: Mapping[str, Any], shares: Mapping[str, float], data: Path, out: Path | None) -> None:
    """Where the pictures went, and how far that is from what was asked."""
    total = sum(sum(counts.values()) for counts in plan["counts"].values())
    for part, counts in plan["counts"].items():
        count = sum(counts.values())
        print(f"{part:6} {count:6} pictures, {count / total:4.0%}   {_format_counts(counts)}")
    worst = max(shares, key=lambda part: abs(sum(plan["counts"].get(part, {}).values()) / total - shares[part]))
    share = sum(plan["counts"].get(worst, {}).values()) / total
    if abs(share - shares[worst]) > 0.05:
        log_message(
            f"{worst} has {share:.0%} instead of {shares[worst]:.0%}: sessions and pictures that look alike stay "
            "together; capture in more sessions, or --mix-sessions"
        )
    log_message(
        f"{plan['done']} files written or moved" if plan["done"] else "nothing to do: every picture has its part"
    )
    target = out or data
    if data.suffix == ".json":
        target = (out or data.parent) / f"{data.stem}_train.json"
    boxed = data.suffix == ".json" or any((target / part / "images").is_dir() for part in shares)
    suggest_next("train", "detector" if boxed else "classifier", "--data", target)


def print_crop_summary(summary: CropSummary, scan: DatasetScan, out: Path) -> None:
    """How many faces were cut, and where none was found."""
    for line in summary.unreadable:
        log_message(f"skipped: {line}")
    pictures = Counter(item.class_name for item in scan.images)
    empty = Counter(item.class_name for item in scan.images if item.path in set(summary.without_face))
    for kind, count in sorted(pictures.items()):
        name = kind or "pictures"
        print(f"{name:12} {count:5} pictures, {summary.crops_by_class[kind]:5} faces cut, none found in {empty[kind]}")
    if summary.crops_by_class.total():
        log_message(f"look at {out / CROPS_SHEET}")
        if scan.layout == "classes":
            suggest_next("train", "classifier", "--data", out)
        else:
            log_message(
                f"next: sort them into a folder for each class, then: pocketsight train classifier --data {out}"
            )
    else:
        log_message("no face was found")


def _format_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
