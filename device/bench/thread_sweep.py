"""How many threads: the whole run on each number, in blocks in turn, and what to choose."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from pocketsight.device.bench.benchmark import Samples, is_image_file, open_endless_run, record_session, warm_up
from pocketsight.device.bench.environment import report_header, source_sha256
from pocketsight.device.bench.warmup import summarize_warmup
from pocketsight.device.errors import SettingsError
from pocketsight.device.inference.autotune import MAX_TIME_RATIO, available_cores, pick_threads
from pocketsight.device.runtime.config import RunConfig

BLOCK_FRAMES, SKIP_FRAMES = (
    30,
    5,
)  # frames counted in a turn, and left out before: the threads of the run before are still awake


def sweep_threads(config: RunConfig, counts: Sequence[int], warmup: int | None) -> dict[str, Any]:
    """The run on each number of threads, about `plan.frames` frames each; the report "threads" of bench/README.md.

    Raises SettingsError where the source is not a picture: a camera cannot be opened several times.
    """
    if not is_image_file(config.camera):
        raise SettingsError(f"several numbers of --threads need a picture as --camera, and {config.camera} is none")
    tallies = {count: Samples() for count in counts}
    with ExitStack() as stack:
        runs = {count: stack.enter_context(open_endless_run(replace(config, threads=count))) for count in counts}
        warm = {count: warm_up(run, warmup)[0] for count, run in runs.items()}
        for _ in range(max(1, -(-(config.max_frames or BLOCK_FRAMES) // BLOCK_FRAMES))):
            for count, run in runs.items():
                record_session(
                    run, tallies[count], min(BLOCK_FRAMES, config.max_frames or BLOCK_FRAMES), skip=SKIP_FRAMES
                )
            if any(run.stop.is_set() for run in runs.values()):  # by a signal: what is there counts
                break
    rows = [{"threads": n, "warmup": summarize_warmup([warm[n]]), **tally.report()} for n, tally in tallies.items()]
    return {
        **report_header("threads"),
        "source": config.camera,
        "source_sha256": source_sha256(config.camera),
        "counts": rows,
        **recommend_threads(rows, available_cores()),
    }


def recommend_threads(rows: Sequence[dict[str, Any]], core_count: int) -> dict[str, Any]:
    """The fewest threads that no larger number beats by enough, and why, on a machine that lets us use `here` cores."""
    ms = {row["threads"]: row["stages"]["whole"]["p50"] for row in rows}
    cpu = {row["threads"]: row["cpu_ms_a_frame"] for row in rows}
    fewest, best = min(ms), pick_threads(ms)
    if best == fewest:
        words = f"--threads {fewest}: more would save less than {1 - MAX_TIME_RATIO:.0%}, and heat the board"
    else:
        words = f"--threads {best}: {ms[fewest] / ms[best]:.1f} times as fast as {fewest}, for {cpu[best] / cpu[fewest]:.1f} "
        words += f"times the processor time a frame; on {fewest} the board stays cooler"
    if best >= core_count:
        words += f"; only {core_count} core(s) may be used here, so that none is left for the camera"
    return {"recommended": best, "why": words}
