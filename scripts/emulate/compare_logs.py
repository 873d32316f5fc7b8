"""Compare the logs of two machines: python compare_logs.py EXPECTED ACTUAL [--tolerant]

Lines must be equal byte for byte, except for times and values derived from them. With `--tolerant`, for another
interpreter or another build of OpenCV, measured values may differ a little, and the largest differences are printed;
counts and names must still be equal. Prints the first line that differs, and ends with status 1.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click

# Keys of times and durations. An ID begins with the time.
TIMES = re.compile(r'"(time|first_seen|id|latency_ms|clock_synced|stages_ms)":("[^"]*"|\{[^}]*\}|[^,}]*)')
# In pixels (a neighboring cell may win) and shares.
TOLERANCES = {"box": 4.0, "score": 0.03, "label_score": 0.05}


def without_times(line: str) -> str:
    return TIMES.sub(r'"\1":_', line)


def differs(expected: Any, actual: Any, largest: dict[str, float], key: str = "") -> bool:
    """Whether a difference is beyond its tolerance. `largest` takes the largest difference by key."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return list(expected) != list(actual) or any(differs(expected[k], actual[k], largest, k) for k in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        pairs = zip(expected, actual, strict=False)
        return len(expected) != len(actual) or any(differs(e, a, largest, key) for e, a in pairs)
    if key in TOLERANCES and isinstance(expected, float) and isinstance(actual, float):
        largest[key] = max(largest.get(key, 0.0), abs(expected - actual))
        return largest[key] > TOLERANCES[key]
    return bool(expected != actual)


def _parse(line: str) -> Any:
    return json.loads(line.replace(":_", ":0"))  # a replaced time


def compare_logs(expected: list[str], actual: list[str], tolerant: bool) -> tuple[int | None, int, dict[str, float]]:
    """The first line that differs, counted from 0, or None; the number of equal lines; the largest differences."""
    equal, largest = 0, dict[str, float]()
    for number, (one, other) in enumerate(zip(expected, actual, strict=False)):
        if one == other:
            equal += 1
        elif not tolerant or differs(_parse(one), _parse(other), largest):
            return number, equal, largest
    return (None if len(expected) == len(actual) else min(len(expected), len(actual))), equal, largest


@click.command()
@click.argument("expected", type=click.Path(path_type=Path, exists=True))
@click.argument("actual", type=click.Path(path_type=Path, exists=True))
@click.option("--tolerant", is_flag=True, help="Allow small differences of measured values.")
def main(expected: Path, actual: Path, tolerant: bool) -> None:
    """Compare two logs. Exit status 1 if they differ."""
    logs = [[without_times(line) for line in path.read_text().splitlines()] for path in (expected, actual)]
    if not logs[0]:
        raise click.ClickException(f"{expected} is empty")
    number, equal, largest = compare_logs(logs[0], logs[1], tolerant)
    if number is not None:
        pair = [log[number] if number < len(log) else "(end of log)" for log in logs]
        raise click.ClickException(f"line {number + 1} differs\n  {expected}: {pair[0]}\n  {actual}: {pair[1]}")
    differences = ", ".join(f"{key} {value:.3g}" for key, value in largest.items())
    click.echo(f"{equal} of {len(logs[0])} lines equal" + (f"; largest differences: {differences}" if largest else ""))


if __name__ == "__main__":
    main()
