"""How many threads: the whole run on each number, in blocks in turn, and what to choose."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from pocketsight.device.bench.machine import report, source_sum
from pocketsight.device.bench.measure import Tally, collect, is_picture, opened, warm_up
from pocketsight.device.bench.warmup import warmed
from pocketsight.device.errors import SettingsError
from pocketsight.device.plan import Plan
from pocketsight.device.tuning import WORTH, cores, fastest

BLOCK, SKIP = 30, 5  # frames counted in a turn, and left out before: the threads of the run before are still awake


def sweep(plan: Plan, counts: Sequence[int], warmup: int | None) -> dict[str, Any]:
    """The run on each number of threads, about `plan.frames` frames each; the report "threads" of bench/README.md.

    Raises SettingsError where the source is not a picture: a camera cannot be opened several times.
    """
    if not is_picture(plan.camera):
        raise SettingsError(f"several numbers of --threads need a picture as --camera, and {plan.camera} is none")
    tallies = {count: Tally() for count in counts}
    with ExitStack() as stack:
        runs = {count: stack.enter_context(opened(replace(plan, threads=count))) for count in counts}
        warm = {count: warm_up(run, warmup)[0] for count, run in runs.items()}
        for _ in range(max(1, -(-(plan.frames or BLOCK) // BLOCK))):
            for count, run in runs.items():
                collect(run, tallies[count], min(BLOCK, plan.frames or BLOCK), skip=SKIP)
            if any(run.stop.is_set() for run in runs.values()):  # by a signal: what is there counts
                break
    rows = [{"threads": n, "warmup": warmed([warm[n]]), **tally.report()} for n, tally in tallies.items()]
    return {
        **report("threads"), "source": plan.camera, "source_sha256": source_sum(plan.camera), "counts": rows,
        **recommend(rows, cores()),
    }  # fmt: skip


def recommend(rows: Sequence[dict[str, Any]], here: int) -> dict[str, Any]:
    """The fewest threads that no larger number beats by enough, and why, on a machine that lets us use `here` cores."""
    ms = {row["threads"]: row["stages"]["whole"]["p50"] for row in rows}
    cpu = {row["threads"]: row["cpu_ms_a_frame"] for row in rows}
    few, best = min(ms), fastest(ms)
    if best == few:
        words = f"--threads {few}: more would save less than {1 - WORTH:.0%}, and heat the board"
    else:
        words = f"--threads {best}: {ms[few] / ms[best]:.1f} times as fast as {few}, for {cpu[best] / cpu[few]:.1f} "
        words += f"times the processor time a frame; on {few} the board stays cooler"
    if best >= here:
        words += f"; only {here} core(s) may be used here, so that none is left for the camera"
    return {"recommended": best, "why": words}
