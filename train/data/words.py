"""What the data commands say, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pocketsight.train.data.check import KINDS, MOVE, RENAME, YOURS, Report
from pocketsight.train.data.crops import SHEET, Cut
from pocketsight.train.data.fix import MOVED, Mended, summary
from pocketsight.train.data.page import short
from pocketsight.train.data.survey import Survey
from pocketsight.train.say import say, suggest

NAMED = 3  # files of a kind that the table names; the page and --json have all


def as_facts(report: Report, mended: Mended | None, status: int) -> dict[str, Any]:
    """A report for programs."""
    faults = [{"kind": f.kind, "path": str(f.path), "detail": f.detail} for f in report.faults]
    facts = report.facts | {"found": summary(report.faults), "faults": faults, "status": status}
    return facts | (mended._asdict() | {"quarantine": str(mended.quarantine)} if mended else {})


def print_report(report: Report, mended: Mended | None, html: Path, words: Sequence[object]) -> None:
    """A report for people; `words` are the command's own, for the next one."""
    facts = report.facts
    mixed = f"{facts['colour']} in colour, {facts['grey']} grey"
    print(f"{facts['pictures']} pictures, {facts['bytes'] / 1e6:.1f} MB; {mixed}")
    for part, counts in facts["balance"].items():
        print(f"{part:10}  {_counts(counts)}")
    if facts["labels"]:
        print(f"{'labels':10}  {_counts(facts['labels'])}")
        print(f"{'face sizes':10}  {_counts(facts['face_sizes'])}  (longer side, px of the detector's input)")
    counts = summary(report.faults)
    if counts:
        _print_faults(report, counts)
    else:
        print("nothing to mend")
    say(f"look at {html}")
    if mended:
        taken = f", took {mended.entries} entries out of COCO files" if mended.entries else ""
        say(f"moved {mended.moved} files to {mended.quarantine}{taken}, renamed {mended.renamed}")
        if mended.moved:
            say(f"{MOVED} there says where each was, and why")
    _suggest(report, {KINDS[kind][1] for kind in counts}, bool(mended), words)


def _suggest(report: Report, mends: set[str], mended: bool, words: Sequence[object]) -> None:
    found = report.survey
    if not mended and mends & {MOVE, RENAME}:
        suggest(*words, "--fix")
    elif YOURS in mends:
        say("mend the rest by hand, then check again")
    elif found.layout == "pictures":
        say(f"next: put the pictures into {found.root / 'images'} and label them, or into a folder for each class")
    elif found.layout == "labelme" and not any(item.file for item in found.items):
        suggest("data", "label", found.root)
    elif not all(item.part for item in found.items):
        suggest("data", "split", found.root)
    else:
        suggest("train", "sentiment" if found.layout == "classes" else "detector", "--data", found.root)


def _print_faults(report: Report, counts: Mapping[str, int]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("found")
    table.add_column("", justify="right")
    table.add_column("")
    table.add_column("for example", overflow="fold")
    root = report.survey.root
    for kind, count in counts.items():
        paths = [fault.path for fault in report.faults if fault.kind == kind]
        shown = ", ".join(short(path, root) for path in paths[:NAMED])
        more = f", {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        table.add_row(kind, str(count), KINDS[kind][1], shown + more)
    print()
    Console().print(table)


def print_split(plan: Mapping[str, Any], shares: Mapping[str, float], data: Path, out: Path | None) -> None:
    """Where the pictures went, and how far that is from what was asked."""
    total = sum(sum(counts.values()) for counts in plan["counts"].values())
    for part, counts in plan["counts"].items():
        count = sum(counts.values())
        print(f"{part:6} {count:6} pictures, {count / total:4.0%}   {_counts(counts)}")
    worst = max(shares, key=lambda part: abs(sum(plan["counts"].get(part, {}).values()) / total - shares[part]))
    share = sum(plan["counts"].get(worst, {}).values()) / total
    if abs(share - shares[worst]) > 0.05:
        say(
            f"{worst} has {share:.0%} instead of {shares[worst]:.0%}: sessions and pictures that look alike stay "
            "together; capture in more sessions, or --mix-sessions"
        )
    say(f"{plan['done']} files written or moved" if plan["done"] else "nothing to do: every picture has its part")
    target = out or data
    if data.suffix == ".json":
        target = (out or data.parent) / f"{data.stem}_train.json"
    boxed = data.suffix == ".json" or any((target / part / "images").is_dir() for part in shares)
    suggest("train", "detector" if boxed else "sentiment", "--data", target)


def print_cut(cut: Cut, found: Survey, out: Path) -> None:
    """How many faces were cut, and where none was found."""
    for line in cut.unread:
        say(f"skipped: {line}")
    pictures = Counter(item.kind for item in found.items)
    empty = Counter(item.kind for item in found.items if item.path in set(cut.empty))
    for kind, count in sorted(pictures.items()):
        name = kind or "pictures"
        print(f"{name:12} {count:5} pictures, {cut.crops[kind]:5} faces cut, none found in {empty[kind]}")
    if cut.crops.total():
        say(f"look at {out / SHEET}")
        if found.layout == "classes":
            suggest("train", "sentiment", "--data", out)
        else:
            say(f"next: sort them into a folder for each class, then: pocketsight train sentiment --data {out}")
    else:
        say("no face was found")


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
