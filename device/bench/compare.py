"""Comparison of two reports of `pocketsight bench --json`: faster, slower, or no difference."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, cast

from pocketsight.device.bench.environment import is_busy
from pocketsight.device.bench.reports import (
    SCHEMA_VERSION,
    ComparisonReport,
    ComparisonRow,
    MeasuredReport,
    ModelFacts,
    ModelsReport,
    ModelTiming,
    RunReport,
    TelemetryRow,
)
from pocketsight.device.bench.statistics import Sessions, ratio_of_medians
from pocketsight.device.bench.verdicts import model_verdict, stage_verdict
from pocketsight.device.errors import DataError

KINDS = "run", "models"
MIN_SESSIONS = 5  # with fewer, the spread between sessions is hardly known
HARDWARE_KEYS = "board", "cores", "architecture"  # must be equal for a ratio to be about the software
ENVIRONMENT_KEYS = "governor", "kernel", "os", "interpreter", "python", "numpy", "opencv", "pocketsight"
MODEL_KEYS = "task", "arch", "precision", "file", "threads", "sha256"
STAGE_BY_TASK = {"detector": "detect", "classifier": "classify"}  # the stage of a run that is the model's


def read_report(path: Path) -> MeasuredReport:
    """Read a report of a run or of models. Raises DataError for a file that cannot be compared."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON; give a file written by pocketsight bench --json") from error
    fix = f"make it again with: pocketsight bench --json > {path.name}"
    if not isinstance(found, dict) or "schema_version" not in found:
        raise DataError(f"{path} is not a report of this version of pocketsight bench; {fix}")
    if found["schema_version"] != SCHEMA_VERSION:
        raise DataError(f"{path} has schema version {found['schema_version']}, not {SCHEMA_VERSION}; {fix}")
    if found.get("kind") not in KINDS:
        raise DataError(f"{path} is of kind {found.get('kind')}; only reports of a run or of MODELS can be used")
    try:
        _validate(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is incomplete or was changed ({error!r}); {fix}") from error
    return cast(MeasuredReport, found)


def _validate(report: Mapping[str, Any]) -> None:
    """Raise where `compare` could not use a report."""
    _ = [report["environment"][key] for key in HARDWARE_KEYS], report["source"], float(report["load_average_1m"])
    for model in report["models"]:
        _ = [model[key] for key in MODEL_KEYS], model["accuracy"].keys()
    for row in report.get("telemetry", ()):
        _ = [row[key] for key in TelemetryRow.__annotations__]
    for name, sessions in _iter_samples(report):
        times = [x for ms in sessions for x in ms]
        if not all(sessions) or not all(isinstance(x, int | float) and x >= 0 for x in times) or not median(times) > 0:
            raise ValueError(f"samples of {name} are not times")


def _iter_samples(report: Mapping[str, Any]) -> Iterator[tuple[str, list[list[float]]]]:
    """The samples of a report by name: stages, or model files."""
    if report["kind"] == "run":
        yield from report["samples_ms"].items()
    else:
        yield from ((model["file"], model["samples_ms"]) for model in report["models"])


def compare(old: MeasuredReport, new: MeasuredReport, force: bool = False) -> ComparisonReport:
    """Compare a new report with an old one.

    Raises DataError for reports of different kinds, and, without `force`, of different boards, threads or sources.
    """
    if old["kind"] != new["kind"]:
        raise DataError(f"one report is of kind {old['kind']}, the other {new['kind']}; measure both in the same way")
    warnings = list(_warnings(old, new))
    if warnings and not force:
        raise DataError(f"these reports cannot be compared: {'; '.join(warnings)}; --force compares them anyway")
    if old["kind"] == "run":
        rows = _compare_stages(cast(RunReport, old), cast(RunReport, new))
    else:
        rows = _compare_models(cast(ModelsReport, old), cast(ModelsReport, new))
    if not rows:
        raise DataError("the two reports have no stage and no task in common")
    if min(row["sessions"] for row in rows) < MIN_SESSIONS:
        warnings.append(
            f"measured in fewer than {MIN_SESSIONS} sessions: the spread between sessions is unknown; "
            "use an image as --camera, and --frames 500"
        )
    for name, report in (("old", old), ("new", new)):
        if is_busy(report["load_average_1m"], report["environment"]["cores"]):
            load = report["load_average_1m"]
            warnings.append(
                f"the machine had other work during the {name} measurement (load average {load:.1f}), "
                "which may explain the difference"
            )
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "comparison",
        "warnings": warnings,
        "environment_changes": _environment_changes(old, new),
        "rows": rows,
        "messages": [line for row in rows for line in row["messages"]],
    }


def _warnings(old: MeasuredReport, new: MeasuredReport) -> Iterator[str]:
    """Differences that a ratio would show in place of the software's."""
    before, after = cast(dict[str, Any], old["environment"]), cast(dict[str, Any], new["environment"])
    for key in HARDWARE_KEYS:
        if before[key] != after[key]:
            yield f"another machine ({key} {before[key]!r}, then {after[key]!r})"
    a, b = _threads_by_task(old["models"]), _threads_by_task(new["models"])
    for task in sorted(a.keys() & b.keys()):
        if a[task] != b[task]:
            yield f"another number of threads for {task} ({a[task]}, then {b[task]}; --threads sets it)"
    sums = old.get("source_sha256"), new.get("source_sha256")
    if sums[0] != sums[1] or (sums[0] is None and old["source"] != new["source"]):
        yield f"another source ({old['source']}, then {new['source']})"


def _threads_by_task(models: Sequence[ModelFacts]) -> dict[str, int]:
    """Threads of each task; the largest number where models of a task differ, as measured defaults can."""
    counts: dict[str, int] = {}
    for model in models:
        counts[model["task"]] = max(model["threads"], counts.get(model["task"], 0))
    return counts


def _environment_changes(old: MeasuredReport, new: MeasuredReport) -> list[str]:
    """Other differences, which may explain a ratio."""
    before, after = cast(dict[str, Any], old["environment"]), cast(dict[str, Any], new["environment"])
    pairs = ((key, before.get(key), after.get(key)) for key in ENVIRONMENT_KEYS)
    return [f"{key}: {a or 'unknown'}, then {b or 'unknown'}" for key, a, b in pairs if a != b]


def _compare_stages(old: RunReport, new: RunReport) -> list[ComparisonRow]:
    rows = []
    before, after = ({STAGE_BY_TASK[model["task"]]: model for model in report["models"]} for report in (old, new))
    for stage, ms in new["samples_ms"].items():
        if stage in old["samples_ms"]:
            row = _compare_row(stage, old["samples_ms"][stage], ms)
            verdict, undetected = row["verdict"], row["max_undetected"]
            row["messages"] = [stage_verdict(stage, verdict, row["ratio"], undetected)]
            if stage in before.keys() & after.keys():
                line = model_verdict(after[stage], before[stage], verdict, undetected)
                row["messages"] += [line] if line else []
            rows.append(row)
    return rows


def _compare_models(old: ModelsReport, new: ModelsReport) -> list[ComparisonRow]:
    rows = []
    for a, b in _match_models(old["models"], new["models"]):
        name = f"{b['task']} {b['arch']}"
        row = _compare_row(name, a["samples_ms"], b["samples_ms"])
        line = model_verdict(b, a, row["verdict"], row["max_undetected"])
        row["messages"] = [line or stage_verdict(name, row["verdict"], row["ratio"], row["max_undetected"])]
        row["accuracy"] = {"old": a["accuracy"], "new": b["accuracy"]}
        rows.append(row)
    return rows


def _match_models(old: list[ModelTiming], new: list[ModelTiming]) -> Iterator[tuple[ModelTiming, ModelTiming]]:
    """Pairs of equal models; of the remaining ones, the first of each task with the first, and so on."""
    unmatched, rest = list(old), []
    for model in new:
        same = next((one for one in unmatched if one["sha256"] == model["sha256"]), None)
        if same:
            unmatched.remove(same)
            yield same, model
        else:
            rest.append(model)
    for model in rest:
        other = next((one for one in unmatched if one["task"] == model["task"]), None)
        if other:
            unmatched.remove(other)
            yield other, model


def _compare_row(name: str, old: Sessions, new: Sessions) -> ComparisonRow:
    a, b = (median([x for ms in sessions for x in ms]) for sessions in (old, new))
    return {
        "name": name,
        "old_p50_ms": round(a, 4),
        "new_p50_ms": round(b, 4),
        "sessions": min(len(old), len(new)),
        **ratio_of_medians(new, old).to_dict(),
        "messages": [],
        "accuracy": {},
    }
