"""Lay the log of one machine beside that of another: python compare.py WANTED FOUND [--near]

Lines must be equal byte for byte, apart from times and what is made of them. With `--near`, for another interpreter or
another build of OpenCV, what is measured may differ a little, and the largest differences are told; what is counted or
named may not. Prints the first line that differs and ends with status 1.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

TIMES = re.compile(r'"(time|start|id|age|synced|ms)":("[^"]*"|\{[^}]*\}|[^,}]*)')  # id begins with the time
TOLERANCES = {"box": 4.0, "score": 0.03, "sentiment_score": 0.05}  # pixels, where a neighbouring cell may win; shares


def without_times(line: str) -> str:
    return TIMES.sub(r'"\1":_', line)


def differs(wanted: Any, found: Any, most: dict[str, float], key: str = "") -> bool:
    """Does something differ that may not? `most` takes the largest difference of what may, by key."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return list(wanted) != list(found) or any(differs(wanted[k], found[k], most, k) for k in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) != len(found) or any(differs(w, f, most, key) for w, f in zip(wanted, found, strict=True))
    if key in TOLERANCES and isinstance(wanted, float) and isinstance(found, float):
        most[key] = max(most.get(key, 0.0), abs(wanted - found))
        return most[key] > TOLERANCES[key]
    return bool(wanted != found)


def _entry(line: str) -> Any:
    return json.loads(line.replace(":_", ":0"))  # where a time stood


def compare_logs(wanted: list[str], found: list[str], near: bool) -> tuple[int | None, int, dict[str, float]]:
    """The first line that differs, counted from 0, if one does; how many are equal; the largest differences."""
    equal, most = 0, dict[str, float]()
    for number, (one, other) in enumerate(zip(wanted, found, strict=False)):
        if one == other:
            equal += 1
        elif not near or differs(_entry(one), _entry(other), most):
            return number, equal, most
    return (None if len(wanted) == len(found) else min(len(wanted), len(found))), equal, most


@click.command()
@click.argument("wanted", type=click.Path(path_type=Path, exists=True))
@click.argument("found", type=click.Path(path_type=Path, exists=True))
@click.option("--near", is_flag=True, help="What is measured may differ a little.")
def main(wanted: Path, found: Path, near: bool) -> None:
    lines = [[without_times(line) for line in path.read_text().splitlines()] for path in (wanted, found)]
    if not lines[0]:
        raise click.ClickException(f"{wanted} is empty")
    number, equal, most = compare_logs(lines[0], lines[1], near)
    if number is not None:
        pair = [side[number] if number < len(side) else "(ends)" for side in lines]
        raise click.ClickException(f"line {number + 1} differs\n  {wanted}: {pair[0]}\n  {found}: {pair[1]}")
    differences = ", ".join(f"{key} by {value:.3g}" for key, value in most.items())
    click.echo(f"{equal} of {len(lines[0])} lines equal" + (f"; at most {differences} apart" if most else ""))


if __name__ == "__main__":
    main()
