"""What `pocketsight bench` makes of timings that were planted."""

from dataclasses import replace
from pathlib import Path
from statistics import median_high
from typing import Any

import numpy as np
import pytest

from pocketsight.device.bench import model_benchmark as models_module
from pocketsight.device.bench import thread_sweep as threads_module
from pocketsight.device.bench.benchmark import Samples, run_benchmark
from pocketsight.device.bench.environment import describe_environment, is_busy, max_cpu_mhz, source_sha256
from pocketsight.device.bench.model_benchmark import benchmark_models
from pocketsight.device.bench.reports import Recommendation
from pocketsight.device.bench.statistics import (
    MAX_SAMPLES,
    frames_per_session,
    order_statistics,
    ratio_of_medians,
    subsample,
    summarize_stages,
)
from pocketsight.device.bench.sustained import Telemetry, sustained_verdict
from pocketsight.device.bench.thread_sweep import recommend_threads, sweep_threads
from pocketsight.device.bench.warmup import Warmup, summarize_warmup
from pocketsight.device.errors import CameraError, SettingsError
from pocketsight.device.inference.interpreter import Model, TfliteModel
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.inference.shipped import EXAMPLE_IMAGE, MODELS_DIR
from pocketsight.device.results import FrameResult
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.loop import Run
from pocketsight.device.system.sensors import Sensors
from pocketsight.device.vision.image import Image
from tests.device.system.test_sensors import plant, raspberry
from tests.support.timings import noisy

CONFIG = RunConfig(str(EXAMPLE_IMAGE), (240, 320), threads=1, max_frames=6, idle_fps=0)
UNSORTED = [1.0] * 40 + [50.0] * 7 + [2.0] * 40  # the one in the middle is far from every median


def test_a_median_is_of_sorted_numbers() -> None:
    assert order_statistics(UNSORTED)["p50"] == 2.0
    assert summarize_stages({"detect": [UNSORTED[:43], UNSORTED[43:]]})["detect"]["p50"] == 2.0
    assert ratio_of_medians([UNSORTED], [[2.0] * 87]).ratio == 1.0
    assert median_high(UNSORTED) == 2.0


def test_numbers_are_order_statistics() -> None:
    shuffled = np.random.default_rng(0).permutation(1001).tolist()
    assert order_statistics(shuffled) == {
        "n": 1001,
        "min": 0,
        "p50": 500,
        "p90": 900,
        "p95": 950,
        "p99": 990,
        "max": 1000,
    }


def test_a_stage_has_the_frames_that_had_it() -> None:
    found = summarize_stages({"detect": [[9.0, 1.0], [5.0]], "crop": [[], [3.0]], "classify": [[], []]})
    assert (found["detect"]["n"], found["crop"]["n"]) == (3, 1)
    assert "classify" not in found


def test_nothing_measured_is_an_error() -> None:
    with pytest.raises(CameraError, match="lower --warmup"):
        Samples().report()


def test_samples_are_few_in_their_order_and_of_every_session() -> None:
    found = subsample([[float(n) for n in range(10_000)], [], [7.0] * 3])
    assert len(found) == 2 and sum(map(len, found)) <= MAX_SAMPLES
    assert found[0] == sorted(found[0]) and found[0][-1] == 9999 and found[1] == [7.0] * 3


@pytest.mark.parametrize("frames", [1, 19, 40, 107, 500, 5000])
def test_sessions_share_the_frames(frames: int) -> None:
    found = frames_per_session(frames)
    assert sum(found) == frames and max(found) - min(found) <= 1 and 1 <= len(found) <= 10


def variants(folder: Path, *names: str) -> list[Path]:
    """The shipped detector under several names."""
    flatbuffer, spec = read_model_file(MODELS_DIR / "detector.tflite")
    paths = [folder / f"{name}.tflite" for name in names]
    for name, path in zip(names, paths, strict=True):
        path.write_bytes(pack_model_file(flatbuffer, replace(spec, architecture=name)))
    return paths


def test_timings_of_two_models_are_never_pooled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, planted = np.random.default_rng(0), {"quick": 2.0, "slow": 8.0}

    def timed(model: Model, image: Image) -> float:
        return planted[model.spec.architecture] + float(rng.uniform(0, 0.1))

    monkeypatch.setattr(models_module, "_time_model", timed)
    found = benchmark_models(variants(tmp_path, "quick", "slow"), str(EXAMPLE_IMAGE), (240, 320), 1, 100, 2)
    for row in found["models"]:
        own = planted[row["arch"]]
        assert row["n"] == 100 and own <= row["min"] <= row["p50"] <= row["max"] <= own + 0.1
        assert all(own <= ms <= own + 0.1 for session in row["samples_ms"] for ms in session)
    assert found["models"][1]["ratio"] == pytest.approx(4.0, abs=0.1)
    assert [row["verdict"] for row in found["models"]] == ["no difference", "slower"]


def test_timings_of_two_numbers_of_threads_are_never_pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    def planted(run: Run, tally: Samples, frames: float, **rest: Any) -> None:
        assert isinstance(run.pipeline.detector.infer, TfliteModel)
        ms = 10.0 / run.pipeline.detector.infer.threads
        tally.begin_session()
        tally.seconds, tally.cpu_seconds = tally.seconds + 1.0, tally.cpu_seconds + 1.0
        for _ in range(int(frames)):
            tally.add(FrameResult(0.0, 0.0, 0, None, [], {"detect": ms, "total": ms}))

    monkeypatch.setattr(threads_module, "record_session", planted)
    found = sweep_threads(replace(CONFIG, max_frames=60), (1, 2), 1)
    assert [(row["threads"], row["frames"]) for row in found["thread_counts"]] == [(1, 60), (2, 60)]
    for row, own in zip(found["thread_counts"], (10, 5), strict=True):
        assert row["stages"]["total"]["min"] == row["stages"]["total"]["max"] == own
    assert found["recommended_threads"] == 2


def recommended(ms: dict[int, float], cores: int) -> Recommendation:
    return recommend_threads(ms, {n: n * x for n, x in ms.items()}, cores)


def test_threads_are_recommended_in_words() -> None:
    one = recommended({1: 10.0, 2: 9.5, 4: 9.2}, 4)
    assert one["recommended_threads"] == 1 and one["reason"].startswith("--threads 1: more would save less than 10%")
    two = recommended({1: 10.0, 2: 6.0, 4: 5.8}, 8)
    assert two["recommended_threads"] == 2
    assert two["reason"].startswith("--threads 2: 1.7 times as fast as 1, for 1.2 times the CPU time")
    assert "so none is left for the camera" in recommended({1: 10.0, 2: 5.0}, 2)["reason"]


def test_a_sweep_needs_a_picture() -> None:
    with pytest.raises(SettingsError, match="need an image"):
        sweep_threads(replace(CONFIG, camera="synthetic:fast"), (1, 2), None)


def warm_after(times: list[float]) -> int:
    """How many frames the rule leaves out, in a run that takes no time between frames."""
    warm, now = Warmup(), 0.0
    for ms in times:
        if warm.done:
            return warm.frames
        now += ms / 1000
        warm.add(ms, now)
    return len(times)


def test_warming_up_ends_when_frames_become_no_faster() -> None:
    steady = noisy(0, 10.0, 1, 3000)[0]
    falling = [ms * (1 + 2 * 0.98**n) for n, ms in enumerate(steady)]  # three times as long, then less and less
    left_out = warm_after(falling)
    assert 1 + 2 * 0.98**left_out < 1.05
    assert warm_after(steady) < left_out < 600
    assert 60 <= warm_after(steady) <= 200


@pytest.mark.parametrize("seed", range(5))
def test_a_clock_that_rises_late_is_waited_for(seed: int) -> None:
    """A governor raises the clock after 0.2 s, which is 200 frames of a quick board."""
    slow, quick = noisy(seed, 1.0, 1, 200)[0], noisy(seed + 10, 0.4, 1, 5000)[0]
    assert warm_after(slow + quick) > 200


def test_a_board_that_becomes_hot_is_warm() -> None:
    rising = [ms * (1 + n / 2000) for n, ms in enumerate(noisy(0, 10.0, 1, 3000)[0])]
    assert warm_after(rising) < 200


def test_warming_up_is_not_for_ever() -> None:
    falling = [1000 * 0.998**n for n in range(3000)]
    warm, now = Warmup(), 0.0
    for ms in falling:
        if warm.done:
            break
        now += ms / 1000
        warm.add(ms, now)
    assert warm.end_reason == "timed_out" and 30 <= now < 32
    assert Warmup(0).done and not Warmup(1).done and Warmup(max_frames=0).done
    assert summarize_warmup([Warmup(0), warm])["end_reason"] == "timed_out"


def test_the_run_itself_is_measured(tmp_path: Path) -> None:
    found = run_benchmark(replace(CONFIG, max_frames=41), 1)
    assert (found["schema_version"], found["kind"], found["frames"], found["faces_per_frame"]) == (2, "run", 41, 1.0)
    warm = found["warmup"]
    assert (warm["sessions"], warm["frames"], warm["end_reason"]) == (2, 2, "requested")
    assert [len(session) for session in found["samples_ms"]["total"]] == [21, 20]
    joined = [ms for session in found["samples_ms"]["detect"] for ms in session]
    assert found["stages"]["detect"]["p50"] == pytest.approx(np.median(joined), abs=1e-4)
    assert (
        found["stages"]["detect"]["n"] == 41 and (found["first_frame_ms"] or 0) > 0 and found["memory_mb"]["final"] > 20
    )
    for model in found["models"]:
        assert (
            model["load_ms"] > 0
            and model["first_inference_ms"] > 0
            and model["threads"] == 1
            and len(model["sha256"]) == 64
        )
    assert found["models"][0]["accuracy"]["metric"] == "ap50" and found["source_sha256"] == source_sha256(
        str(EXAMPLE_IMAGE)
    )


def test_a_run_of_seconds_is_looked_at_over_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gauges = Sensors(root=raspberry(tmp_path, heat="71000", bits="50005"))
    looks = Telemetry(240.0, gauges, lambda: 1500.0)
    for n in range(101):
        looks.add_frame(10.0 + n / 100, n / 10)
    assert [row["elapsed_s"] for row in looks.rows] == [2.0, 4.0, 6.0, 8.0, 10.0]
    assert looks.rows[0] == {
        "elapsed_s": 2.0,
        "fps": 10.5,
        "p50": 10.1,
        "p99": 10.198,
        "temperature_c": 71.0,
        "cpu_mhz": 1500.0,
        "throttled": True,
        "under_voltage": True,
        "throttled_bits": "50005",
    }
    words = sustained_verdict(looks.rows)
    assert "became 8% slower" in words and "71 °C" in words
    assert "throttled in 5 of 5 samples" in words and "under-voltage in 5 of 5" in words


def test_a_machine_that_tells_nothing_is_looked_at_all_the_same(tmp_path: Path) -> None:
    looks = Telemetry(3.0, Sensors(root=tmp_path), lambda: None)
    for n in range(31):
        looks.add_frame(5.0, n / 10)
    last = looks.rows[-1]
    assert [last["temperature_c"], last["throttled_bits"], last["throttled"]] == [None] * 3
    assert sustained_verdict(looks.rows) == "its speed did not change; this machine does not report its temperature"


def test_the_machine_is_read_from_the_kernels_files(tmp_path: Path) -> None:
    plant(
        raspberry(tmp_path),
        **{
            "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"',
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "600000",
            "sys/devices/system/cpu/cpu3/cpufreq/scaling_cur_freq": "1800000",
        },
    )
    found = describe_environment(tmp_path)
    assert found["board"] == "Raspberry Pi 4 Model B Rev 1.4" and found["governor"] == "ondemand"
    assert found["os"] == "Debian GNU/Linux 13 (trixie)" and found["interpreter"].split()[0].startswith(
        ("ai", "tflite")
    )
    assert max_cpu_mhz(tmp_path) == 1800.0


def test_a_machine_with_other_work_is_told() -> None:
    assert not is_busy(1.4, 2) and is_busy(1.6, 2)


def test_a_pc_has_a_processor_for_a_board(tmp_path: Path) -> None:
    plant(
        tmp_path,
        **{"proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast 9000\ncpu MHz\t\t: 2595.1\ncpu MHz\t\t: 1000.0"},
    )
    assert describe_environment(tmp_path)["board"] == "Fast 9000" and max_cpu_mhz(tmp_path) == 2595.1
    assert max_cpu_mhz(tmp_path / "nothing") is None
