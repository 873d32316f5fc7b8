"""Two reports of `pocketsight bench --json`: what became faster, what slower, and what cannot be told apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from pocketsight.device.bench.environment import REPORT_VERSION, is_busy
from pocketsight.device.bench.statistics import ratio_of_medians
from pocketsight.device.bench.verdicts import model_verdict, stage_verdict
from pocketsight.device.errors import DataError

Report = Mapping[str, Any]

KINDS = "run", "models"
MIN_SESSIONS = 5  # sittings; with fewer their spread is hardly known
HARDWARE_KEYS = "board", "cores", "architecture"  # what must be the same for a ratio to speak of the software
ENVIRONMENT_KEYS = (
    "governor",
    "kernel",
    "os",
    "interpreter",
    "python",
    "numpy",
    "opencv",
    "pocketsight",
)  # what may explain one
STAGE_BY_TASK = {"detector": "detect", "classifier": "classify"}  # where a model's time is, in a run


def read_report(path: Path) -> dict[str, Any]:
    """A report of a run or of models. Raises DataError when it is none that can be compared."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON; compare takes what pocketsight bench --json wrote") from error
    cure = f"make it again with: pocketsight bench --json > {path.name}"
    if not isinstance(found, dict) or "v" not in found:
        raise DataError(f"{path} is no report of pocketsight bench; {cure}")
    if found["v"] != REPORT_VERSION:
        raise DataError(f"{path} has the form {found['v']}, this pocketsight compares {REPORT_VERSION}; {cure}")
    if found.get("kind") not in KINDS:
        raise DataError(f"{path} is about {found.get('kind')}; compare takes what bench measured of a run or of MODELS")
    try:
        _validate(found)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path} lacks what bench writes, or was changed ({error!r}); {cure}") from error
    return found


def _validate(report: Report) -> None:
    """Raise on what `compare` could not use."""
    _ = [report["machine"][key] for key in HARDWARE_KEYS], report["source"], float(report["load"])
    for model in report["models"]:
        _ = [model[key] for key in ("task", "arch", "precision", "file", "threads", "sha256")], model["accuracy"].keys()
    for name, sittings in _samples_by_name(report).items():
        times = [x for ms in sittings for x in ms]
        if not all(sittings) or not all(isinstance(x, int | float) and x >= 0 for x in times) or not median(times) > 0:
            raise ValueError(f"samples of {name} are no times")


def compare(old: Report, new: Report, force: bool = False) -> dict[str, Any]:
    """What the new report says against the old one; the report "comparison" of bench/README.md.

    Raises DataError when they are of different kinds, machines, threads or sources, the last three unless `anyway`.
    """
    if old["kind"] != new["kind"]:
        raise DataError(f"one report is of a {old['kind']}, the other of {new['kind']}: measure both in the same way")
    warnings = list(_warnings(old, new))
    if warnings and not force:
        raise DataError(f"these cannot be compared: {'; '.join(warnings)}; --force compares them all the same")
    rows = _compare_stages(old, new) if old["kind"] == "run" else _compare_models(old, new)
    if not rows:
        raise DataError("the two reports have no stage and no task in common")
    if min(row["sittings"] for row in rows) < MIN_SESSIONS:
        warnings.append(
            f"measured in fewer than {MIN_SESSIONS} sittings: how a start differs from the next is not known; "
            "a picture as --camera and --frames 500 make it known"
        )
    words = [line for row in rows for line in row["words"]]
    for name, report in (("old", old), ("new", new)):
        if is_busy(report):
            warnings.append(
                f"the machine had other work at the {name} one (a load of {report['load']:.1f}), which may be all"
            )
    return {
        "v": REPORT_VERSION,
        "kind": "comparison",
        "warnings": warnings,
        "differs": _environment_changes(old, new),
        "rows": rows,
        "words": words,
    }


def _warnings(old: Report, new: Report) -> Iterator[str]:
    """What makes a ratio speak of something else than the software."""
    for key in HARDWARE_KEYS:
        a, b = old["machine"][key], new["machine"][key]
        if a != b:
            yield f"another machine ({key} {a!r}, then {b!r})"
    a, b = _threads_by_task(old), _threads_by_task(new)
    for task in sorted(a.keys() & b.keys()):
        if a[task] != b[task]:
            yield f"another number of threads for {task} ({a[task]}, then {b[task]}; --threads sets it)"
    sums = old.get("source_sha256"), new.get("source_sha256")
    if sums[0] != sums[1] or (sums[0] is None and old["source"] != new["source"]):
        yield f"another source ({old['source']}, then {new['source']})"


def _threads_by_task(report: Report) -> dict[str, int]:
    """By task; in one report all models of a task run on as many, unless they were left to choose: then the most."""
    counts: dict[str, int] = {}
    for model in report["models"]:
        counts[model["task"]] = max(model["threads"], counts.get(model["task"], 0))
    return counts


def _environment_changes(old: Report, new: Report) -> list[str]:
    """What else is not the same, and may be the reason."""
    pairs = ((key, old["machine"].get(key), new["machine"].get(key)) for key in ENVIRONMENT_KEYS)
    return [f"{key}: {a or 'unknown'}, then {b or 'unknown'}" for key, a, b in pairs if a != b]


def _samples_by_name(report: Report) -> dict[str, list[list[float]]]:
    """What was timed, by name: stages, or model files."""
    if report["kind"] == "run":
        return dict(report["samples"])
    return {f"{place} {model['file']}": model["samples"] for place, model in enumerate(report["models"])}


def _compare_stages(old: Report, new: Report) -> list[dict[str, Any]]:
    rows = []
    before, after = ({STAGE_BY_TASK[model["task"]]: model for model in report["models"]} for report in (old, new))
    for stage, ms in new["samples"].items():
        if stage in old["samples"]:
            row = _compare_row(stage, old["samples"][stage], ms)
            words = [stage_verdict(stage, row["verdict"], row["ratio"], row["hidden"])]
            if stage in before.keys() & after.keys():
                words += [
                    line for line in [model_verdict(after[stage], before[stage], row["verdict"], row["hidden"])] if line
                ]
            rows.append(row | {"words": words})
    return rows


def _compare_models(old: Report, new: Report) -> list[dict[str, Any]]:
    rows = []
    for a, b in _match_models(old["models"], new["models"]):
        row = _compare_row(f"{b['task']} {b['arch']}", a["samples"], b["samples"])
        line = model_verdict(b, a, row["verdict"], row["hidden"])
        line = line or stage_verdict(f"{b['task']} {b['arch']}", row["verdict"], row["ratio"], row["hidden"])
        rows.append(row | {"words": [line], "accuracy": {"old": a["accuracy"], "new": b["accuracy"]}})
    return rows


def _match_models(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The same model in both; of what is left, for each task the first with the first, and so on."""
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


def _compare_row(name: str, old: list[list[float]], new: list[list[float]]) -> dict[str, Any]:
    found = ratio_of_medians(new, old)
    a, b = (median([x for ms in sittings for x in ms]) for sittings in (old, new))
    return {
        "name": name,
        "old_p50": round(a, 4),
        "new_p50": round(b, 4),
        "sittings": min(len(old), len(new)),
        "ratio": round(found.ratio, 4),
        "interval": [round(found.low, 4), round(found.high, 4)],
        "verdict": found.verdict,
        "hidden": round(found.max_undetected, 4),
    }
