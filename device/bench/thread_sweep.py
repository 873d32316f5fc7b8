"""The run on several numbers of threads, in interleaved blocks, and a recommendation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from pocketsight.device.bench.benchmark import Samples, is_image_file, open_endless_run, record_session, warm_up
from pocketsight.device.bench.environment import report_header, source_sha256
from pocketsight.device.bench.reports import Recommendation, ThreadRow, ThreadsReport
from pocketsight.device.bench.warmup import summarize_warmup
from pocketsight.device.errors import SettingsError
from pocketsight.device.inference.autotune import MAX_TIME_RATIO, available_cores, pick_threads
from pocketsight.device.runtime.config import RunConfig

BLOCK_FRAMES = 30  # counted in a block
SKIP_FRAMES = 5  # left out before each block: the threads of the previous run are still spinning


def sweep_threads(config: RunConfig, counts: Sequence[int], warmup: int | None) -> ThreadsReport:
    """Measure the run on each number of threads, about `config.max_frames` frames each.

    Raises SettingsError where the source is not an image: a camera cannot be opened several times.
    """
    if not is_image_file(config.camera):
        raise SettingsError(f"several values of --threads need an image as --camera; {config.camera} is not one")
    samples = {count: Samples() for count in counts}
    frames = config.max_frames or BLOCK_FRAMES
    with ExitStack() as stack:
        runs = {count: stack.enter_context(open_endless_run(replace(config, threads=count))) for count in counts}
        warmups = {count: warm_up(run, warmup)[0] for count, run in runs.items()}
        for _ in range(max(1, -(-frames // BLOCK_FRAMES))):
            for count, run in runs.items():
                record_session(run, samples[count], min(BLOCK_FRAMES, frames), skip=SKIP_FRAMES)
            if any(run.stop.is_set() for run in runs.values()):  # after a signal, report the frames so far
                break
    rows: list[ThreadRow] = [
        {"threads": count, "warmup": summarize_warmup([warmups[count]]), **samples[count].report()} for count in counts
    ]
    return {
        **report_header("threads"),
        "source": config.camera,
        "source_sha256": source_sha256(config.camera),
        "thread_counts": rows,
        **recommend_threads(
            {row["threads"]: row["stages"]["total"]["p50"] for row in rows},
            {row["threads"]: row["cpu_ms_per_frame"] for row in rows},
            available_cores(),
        ),
    }


def recommend_threads(
    median_ms: dict[int, float], cpu_ms_per_frame: dict[int, float], core_count: int
) -> Recommendation:
    """The smallest number of threads that no larger one beats by enough, and the reason.

    Both tables go by the number of threads; `core_count` is the number of cores that this process may use.
    """
    fewest, best = min(median_ms), pick_threads(median_ms)
    if best == fewest:
        text = f"--threads {fewest}: more would save less than {1 - MAX_TIME_RATIO:.0%} and heat the board"
    else:
        speedup, cost = median_ms[fewest] / median_ms[best], cpu_ms_per_frame[best] / cpu_ms_per_frame[fewest]
        text = f"--threads {best}: {speedup:.1f} times as fast as {fewest}, for {cost:.1f} times the CPU time per frame"
        text += f"; with {fewest} the board stays cooler"
    if best >= core_count:
        text += f"; only {core_count} core(s) are usable here, so none is left for the camera"
    return {"recommended_threads": best, "reason": text}
