"""What a check finds, and all findings on one screen."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import click

Level = Literal["ok", "warn", "fail"]
COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's screen."""

    name: str
    level: Level
    message: str
    fix: str = ""  # what to do; for a person to copy where it is a command


Check = Callable[[], "Finding | None"]  # None: it does not apply to this machine


def run_checks(checks: Sequence[tuple[str, Check]]) -> list[Finding]:
    """Run all checks side by side; the findings come in their order. A check that breaks is a finding itself."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(pool.map(lambda named: _run_check(*named), checks))
    return [finding for finding in found if finding]


def _run_check(name: str, check: Check) -> Finding | None:
    try:
        return check()
    except Exception as error:  # a bug of ours must not hide the other findings
        at = traceback.extract_tb(error.__traceback__)[-1]
        says = f"this check is broken: {type(error).__name__}: {error} ({Path(at.filename).name}:{at.lineno})"
        return Finding(name, "warn", says.replace("\n", " "), "please report this line; the other lines hold")


def has_failures(findings: Iterable[Finding]) -> bool:
    """Whether something must be mended before pocketsight can work."""
    return any(finding.level == "fail" for finding in findings)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """For programs."""
    return {"v": 1, "ok": not has_failures(findings), "findings": [asdict(finding) for finding in findings]}


def as_text(findings: Sequence[Finding]) -> str:
    """For people: a line a finding, its cure below it, and a last line that counts. Coloured; click strips that."""
    wide = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for finding in findings:
        word = click.style(f"{finding.level:4}", fg=COLORS[finding.level])
        lines += [f"{word}  {finding.name:{wide}}  {finding.message}"]
        lines += [f"{'':{wide + 8}}-> {finding.fix}"] if finding.fix else []
    counts = {level: sum(finding.level == level for finding in findings) for level in ("fail", "warn")}
    last = [f"{counts['fail']} to mend"] * bool(counts["fail"]) + [f"{counts['warn']} to know"] * bool(counts["warn"])
    return "\n".join([*lines, "", ", ".join(last) or "all is well"])
