"""Findings, and their report as text and as JSON."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import click

SCHEMA_VERSION = 2
MAX_WORKERS = 8  # checks that run at the same time
Level = Literal["ok", "warn", "fail"]
COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True)
class Finding:
    """The result of a check."""

    name: str
    level: Level
    message: str
    fix: str = ""  # a command to copy, or advice


Check = Callable[[], "Finding | None"]  # None: the check does not apply to this machine


def run_checks(checks: Sequence[tuple[str, Check]]) -> list[Finding]:
    """Run all checks in parallel; findings keep the order of the checks. A check that raises becomes a warning."""
    with ThreadPoolExecutor(MAX_WORKERS) as pool:
        findings = list(pool.map(lambda named: _run_check(*named), checks))
    return [finding for finding in findings if finding]


def _run_check(name: str, check: Check) -> Finding | None:
    try:
        return check()
    except Exception as error:  # a bug in a check must not hide the other findings
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        message = f"this check failed: {type(error).__name__}: {error} ({where})".replace("\n", " ")
        return Finding(name, "warn", message, "please report this line; the other findings are valid")


def has_failures(findings: Iterable[Finding]) -> bool:
    """Whether pocketsight cannot work before something is fixed."""
    return any(finding.level == "fail" for finding in findings)


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """The report for programs."""
    return {
        "schema_version": SCHEMA_VERSION,
        "ok": not has_failures(findings),
        "findings": [asdict(finding) for finding in findings],
    }


def as_text(findings: Sequence[Finding]) -> str:
    """The report for people: a line per finding with its fix below, and a last line with the counts.

    It has colors; click removes them where standard output is not a terminal.
    """
    width = max((len(finding.name) for finding in findings), default=0)
    lines = []
    for finding in findings:
        level = click.style(f"{finding.level:4}", fg=COLORS[finding.level])
        lines += [f"{level}  {finding.name:{width}}  {finding.message}"]
        lines += [f"{'':{width + 8}}-> {finding.fix}"] if finding.fix else []
    return "\n".join([*lines, "", summary(findings)])


def summary(findings: Sequence[Finding]) -> str:
    """Such as "2 errors, 1 warning" or "no problems found"."""
    counts = {
        word: sum(finding.level == level for finding in findings)
        for word, level in (("error", "fail"), ("warning", "warn"))
    }
    parts = [f"{count} {word}{'s' if count > 1 else ''}" for word, count in counts.items() if count]
    return ", ".join(parts) or "no problems found"
