"""`pocketsight bench compare`: what is flagged, what is not, and what cannot be compared."""

import json
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.bench.compare import compare, read_report
from pocketsight.device.bench.statistics import ratio_of_medians
from pocketsight.device.errors import DataError
from tests.device.cli.test_cli import error, pocketsight
from tests.support.timings import ENVIRONMENT, model, models_report, noisy, run_report

STAGES = {"preprocess": 1.0, "detect": 10.0, "classify": 4.0, "total": 16.0}
SEEDS = range(6)


def a_run(seed: int, times: float = 1.0, **more: Any) -> Any:
    """All stages `times` as slow as usual, under a noise of `seed`."""
    return run_report({name: noisy(97 * seed + n, times * ms) for n, (name, ms) in enumerate(STAGES.items())}, **more)


def verdicts(found: Any) -> dict[str, str]:
    return {row["name"]: row["verdict"] for row in found["rows"]}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slow_down_of_5_percent_is_flagged_and_so_is_what_became_faster(seed: int) -> None:
    old, new = a_run(seed), a_run(seed + 100, 1.05)
    assert set(verdicts(compare(old, new)).values()) == {"slower"}
    assert set(verdicts(compare(new, old)).values()) == {"faster"}


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_is_not_flagged(seed: int) -> None:
    assert set(verdicts(compare(a_run(seed), a_run(seed + 100))).values()) == {"no difference"}


@pytest.mark.parametrize("seed", SEEDS)
def test_something_else_that_took_the_processor_for_a_session_is_not_flagged(seed: int) -> None:
    new = a_run(seed + 100)
    for sessions in new["samples_ms"].values():
        sessions[seed] = [1.6 * ms for ms in sessions[seed]]
    assert set(verdicts(compare(a_run(seed), new)).values()) == {"no difference"}


def test_only_the_stage_that_became_slower_is_flagged() -> None:
    old, new = a_run(1), a_run(101)
    new["samples_ms"]["detect"] = noisy(5, 11.0)
    assert [name for name, text in verdicts(compare(old, new)).items() if text == "slower"] == ["detect"]


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(60):
        found = ratio_of_medians(noisy(seed, 10.5), noisy(seed + 1000, 10.0))
        held += found.low <= 1.05 <= found.high
    assert held >= 52


def test_a_single_session_is_cut_into_blocks() -> None:
    """Taken one by one, frames that follow each other alike would make the interval far too narrow."""
    slow, quick = [12.0] * 30, [10.0] * 30  # a machine that is slow for 30 frames, and then quick, in turn
    found = ratio_of_medians([(slow + quick) * 5 + quick], [(quick + slow) * 5 + quick])
    assert found.low < 0.9 and found.high > 1.1 and found.verdict == "no difference"


def test_the_same_reports_give_the_same_answer() -> None:
    assert compare(a_run(1), a_run(2)) == compare(a_run(1), a_run(2))


def test_what_was_timed_in_turn_shares_its_disturbances() -> None:
    old = noisy(3, 10.0)
    new = [[1.05 * ms for ms in session] for session in old]
    for disturbed in (2, 5, 8):
        for sessions in (old, new):
            sessions[disturbed] = [3 * ms for ms in sessions[disturbed]]
    together, apart = ratio_of_medians(new, old, paired=True), ratio_of_medians(new, old)
    assert together.verdict == "slower" and together.high - together.low < apart.high - apart.low


def test_plain_words_about_int8() -> None:
    floats = model(precision="float32", samples_ms=noisy(1, 10.0), accuracy={"metric": "ap50", "exported": 0.9048})
    for ms, text in (
        (10.0, "int8 is not faster than float32 on this board (a difference of"),
        (12.0, "int8 is not faster than float32 on this board: it is slower"),
        (7.0, "int8 is faster than float32 on this board"),
    ):
        whole = model(samples_ms=noisy(2, ms), accuracy={"metric": "ap50", "exported": 0.9046})
        found = compare(models_report(floats), models_report(whole))
        assert found["messages"][0].startswith(text)
        assert found["messages"][0].endswith("; ap50 0.9046 instead of 0.9048 (on the images of export)")
        assert found["rows"][0]["accuracy"]["new"]["exported"] == 0.9046


def test_a_run_with_another_model_says_what_the_model_changed() -> None:
    old = a_run(1, models=[model(precision="float32"), model("classifier")])
    new = a_run(2, models=[model(), model("classifier")])
    words = compare(old, new)["messages"]
    assert sum("int8 is not faster than float32" in line for line in words) == 1


def test_models_are_compared_with_themselves_and_else_with_the_one_in_their_place() -> None:
    a, b, c = (
        model(arch=name, samples_ms=noisy(n, ms)) for n, (name, ms) in enumerate([("a", 5), ("b", 10), ("c", 20)])
    )
    other = model("classifier", "d", samples_ms=noisy(9, 1.0))
    found = compare(models_report(a, b, other), models_report(c, a))
    assert verdicts(found) == {"detector a": "no difference", "detector c": "slower"}
    assert [row["old_p50_ms"] for row in found["rows"]] == pytest.approx([5, 10], rel=0.05)
    with pytest.raises(DataError, match="no stage and no task in common"):
        compare(models_report(a), models_report(other))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"environment": {**ENVIRONMENT, "board": "Raspberry Pi 4"}}, "another machine"),
        ({"environment": {**ENVIRONMENT, "cores": 2}}, "another machine"),
        ({"environment": {**ENVIRONMENT, "architecture": "armv7l"}}, "another machine"),
        ({"models": [model(threads=2), model("classifier")]}, "another number of threads for detector (1, then 2"),
        ({"source_sha256": "def", "source": "other.jpg"}, "another source"),
        ({"source_sha256": None, "source": "synthetic"}, "another source"),
    ],
)
def test_what_is_not_comparable_is_refused_unless_told_otherwise(change: dict[str, Any], text: str) -> None:
    old, new = a_run(1), a_run(2, **change)
    with pytest.raises(DataError) as caught:
        compare(old, new)
    assert text in str(caught.value) and "--force" in str(caught.value)
    assert text in compare(old, new, force=True)["warnings"][0]


def test_the_same_picture_may_lie_elsewhere() -> None:
    assert compare(a_run(1, source="/a/face.jpg"), a_run(2, source="/b/face.jpg"))["warnings"] == []


def test_what_may_be_the_reason_is_told() -> None:
    new = a_run(2, environment={**ENVIRONMENT, "governor": "performance", "kernel": "6.18"}, load_average_1m=3.5)
    found = compare(a_run(1), new)
    assert found["environment_changes"] == ["governor: ondemand, then performance", "kernel: 6.12, then 6.18"]
    assert "had other work during the new measurement" in found["warnings"][0]
    single = run_report({name: noisy(1, ms, 1) for name, ms in STAGES.items()})
    assert "fewer than 5 sessions" in compare(single, a_run(1))["warnings"][0]


def test_a_run_is_not_compared_with_models() -> None:
    with pytest.raises(DataError, match="measure both in the same way"):
        compare(a_run(1), models_report(model(samples_ms=noisy(1, 1.0))))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a report of this version"),
        ('{"stages": {}}', "is not a report of this version"),
        ('{"v": 1, "kind": "run"}', "is not a report of this version"),
        ('{"schema_version": 3, "kind": "run"}', "has schema version 3, not 2"),
        ('{"schema_version": 2, "kind": "threads"}', "is of kind threads"),
        ('{"schema_version": 2, "kind": "run"}', "is incomplete or was changed"),
        (json.dumps(a_run(1) | {"samples_ms": {"total": [[1.0], []]}}), "is incomplete or was changed"),
        (json.dumps(a_run(1) | {"samples_ms": {"total": [["a"]]}}), "is incomplete or was changed"),
        (json.dumps(a_run(1) | {"samples_ms": {"total": []}}), "is incomplete or was changed"),
        (json.dumps(a_run(1) | {"models": [{"task": "detector"}]}), "is incomplete or was changed"),
        (json.dumps(a_run(1) | {"environment": []}), "is incomplete or was changed"),
    ],
)
def test_a_file_that_is_no_report_is_one_line(tmp_path: Path, content: str, text: str) -> None:
    (tmp_path / "a.json").write_text(content)
    (tmp_path / "b.json").write_text(json.dumps(a_run(1)))
    assert text in error("bench", "compare", tmp_path / "a.json", tmp_path / "b.json")
    assert text in error("bench", "compare", tmp_path / "b.json", tmp_path / "a.json")


def test_the_command_compares_files(tmp_path: Path) -> None:
    paths = tmp_path / "a.json", tmp_path / "b.json"
    for path, content in zip(paths, (a_run(1), a_run(2, 1.1, load_average_1m=9.0)), strict=True):
        path.write_text(json.dumps(content))
    text = pocketsight("bench", "compare", *paths)
    assert text.exit_code == 0 and "total: slower by " in text.output and "warning: the machine had" in text.output
    found = json.loads(pocketsight("bench", "compare", *paths, "--json").output)
    assert (found["schema_version"], found["kind"]) == (2, "comparison") and verdicts(found)["total"] == "slower"
    assert found["rows"][0] | {"name": "preprocess"} == found["rows"][0]
    assert "cannot be read" in error("bench", "compare", tmp_path / "no.json", paths[0])
    assert read_report(paths[0])["kind"] == "run"
    assert "OLD NEW" in pocketsight("bench", "compare", "--help").output
