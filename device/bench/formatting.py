"""Reports as text for people, and as JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from pocketsight.device.bench.environment import is_busy
from pocketsight.device.bench.op_profile import METHODS
from pocketsight.device.bench.reports import (
    AnyReport,
    ComparisonReport,
    Header,
    ModelEntry,
    ModelFacts,
    ModelsReport,
    OperatorProfile,
    RunReport,
    TelemetryRow,
    ThreadsReport,
    WarmupSummary,
)
from pocketsight.device.bench.statistics import CONFIDENCE_LEVEL
from pocketsight.device.bench.sustained import sustained_verdict
from pocketsight.device.runtime.sensor_monitor import describe_sensor

COLUMNS = "n", "min", "p50", "p90", "p95", "p99", "max"
MAX_TELEMETRY_ROWS = 12  # of a sustained run; the JSON has all
END_REASONS = {
    "requested": "as requested",
    "settled": "until the times settled",
    "timed_out": "without settling",
}


def format_json(report: AnyReport) -> str:
    """Indented JSON with each list of numbers on one line."""
    text = json.dumps(report, indent=2, ensure_ascii=False)
    return re.sub(r"\[[\s\d.,e+-]+\]", lambda match: re.sub(r"\s+", " ", match[0]), text)


def format_report(report: AnyReport) -> str:
    """The text of any report."""
    writers: dict[str, Callable[[Any], list[str]]] = {
        "run": _format_run,
        "models": _format_models,
        "threads": _format_threads,
        "comparison": _format_comparison,
    }
    lines = writers[report["kind"]](report)
    for profile in cast(list[OperatorProfile], report.get("operators", [])):
        lines += ["", *_format_operators(profile)]
    return "\n".join(lines)


def _format_header(report: Header) -> list[str]:
    """The machine and its software."""
    machine, load = report["environment"], report["load_average_1m"]
    governor = f", governor {machine['governor']}" if machine["governor"] else ""
    warning = [f"the machine has other work (load average {load:.1f}): differences are not reliable"]
    return [
        f"{machine['board'] or 'unknown board'}, {machine['cores']} cores, {machine['architecture']}{governor}",
        f"{machine['os']}, kernel {machine['kernel']}, Python {machine['python']}, {machine['interpreter']}, "
        f"pocketsight {machine['pocketsight']}",
        *(warning if is_busy(load, machine["cores"]) else ()),
    ]


def _format_model_lines(models: Iterable[ModelEntry]) -> list[str]:
    lines = []
    for model in models:
        delegate = f"{model['delegate']} in {model['partitions']} part(s)" if model["partitions"] else "no delegate"
        lines += [
            f"{model['task']:11}{model['arch']} {model['precision']} {model['sha256'][:12]}, "
            f"{model['threads']} thread(s), {delegate}; loads in {model['load_ms']:.1f} ms, "
            f"first inference {model['first_inference_ms']:.2f} ms{_accuracy_text(model)}"
        ]
    return lines


def _accuracy_text(model: ModelFacts) -> str:
    parity = model["accuracy"]
    return f"; {parity['metric']} {parity['exported']:.3f} at export" if {"metric", "exported"} <= parity.keys() else ""


def _warmup_text(warmup: WarmupSummary) -> str:
    sessions = f"{warmup['sessions']} sessions, " if warmup["sessions"] > 1 else ""
    reason = END_REASONS[warmup["end_reason"]]
    return f"{sessions}warm-up of {warmup['frames']} frames ({warmup['seconds']:.1f} s, {reason})"


def _format_table(head: str, rows: Mapping[str, Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> list[str]:
    width = max(map(len, rows)) + 2
    lines = [f"{head:{width}}" + "".join(f"{name:>9}" for name in columns)]
    for name, row in rows.items():
        numbers = (f"{row[key]:9.3f}" if isinstance(row[key], float) else f"{row[key]:9}" for key in columns)
        lines.append(f"{name:{width}}" + "".join(numbers))
    return lines


def _format_run(report: RunReport) -> list[str]:
    first, memory, rows = report["first_frame_ms"], report["memory_mb"], report["telemetry"]
    first_text = f"; the first frame took {first:.2f} ms" if first else ""
    return [
        *_format_header(report),
        *_format_model_lines(report["models"]),
        "",
        f"{report['frames']} frames of {report['source']}, {report['faces_per_frame']} faces per frame; "
        f"{_warmup_text(report['warmup'])}{first_text}",
        "",
        *_format_table("ms", report["stages"]),
        "",
        f"{report['fps']} frames per second, {report['cpu_ms_per_frame']} ms of CPU time per frame, "
        f"{memory['peak']} MB at most, {memory['final']} MB at the end",
        *([describe_sensor(report["accelerator"])] if report["accelerator"] else []),
        *(["", *_format_telemetry(rows)] if rows else []),
    ]


def _format_telemetry(rows: Sequence[TelemetryRow]) -> list[str]:
    lines = [f"{'s':>8}{'fps':>9}{'p50':>9}{'p99':>9}{'°C':>8}{'MHz':>8}  throttled  under-voltage"]
    for row in rows[:: max(1, -(-len(rows) // MAX_TELEMETRY_ROWS))]:
        celsius = "-" if row["temperature_c"] is None else f"{row['temperature_c']:.1f}"
        mhz = "-" if row["cpu_mhz"] is None else f"{row['cpu_mhz']:.0f}"
        flags = f"{_yes_no(row['throttled']):>11}{_yes_no(row['under_voltage']):>15}"
        lines += [
            f"{row['elapsed_s']:8.0f}{row['fps']:9.1f}{row['p50']:9.3f}{row['p99']:9.3f}{celsius:>8}{mhz:>8}{flags}"
        ]
    return [*lines, "", sustained_verdict(rows)]


def _yes_no(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"


def _format_models(report: ModelsReport) -> list[str]:
    lines = [*_format_header(report), *_format_model_lines(report["models"]), ""]
    lines += [f"{report['rounds']} rounds on {report['source']}; {_warmup_text(report['warmup'])}", ""]
    rows = {f"{number} {row['task']} {row['arch']}": row for number, row in enumerate(report["models"], 1)}
    table = _format_table("ms", cast(Mapping[str, Mapping[str, Any]], rows), (*COLUMNS, "ratio"))
    lines += [table[0] + f"  {CONFIDENCE_LEVEL:.0%} of ratio  file"]
    for line, row in zip(table[1:], report["models"], strict=True):
        lines += [f"{line}  {_interval_text(row['confidence_interval'])}  {row['file']}"]
    return lines + (["", *report["messages"]] if report["messages"] else [])


def _interval_text(interval: Sequence[float]) -> str:
    return f"{interval[0]:5.3f} to {interval[1]:5.3f}"


def _format_threads(report: ThreadsReport) -> list[str]:
    rows = {
        str(row["threads"]): {
            **row["stages"]["total"],
            "cpu": row["cpu_ms_per_frame"],
            "detect": row["stages"]["detect"]["p50"],
        }
        for row in report["thread_counts"]
    }
    title = f"total ms per frame of {report['source']}, by number of threads, measured interleaved"
    table = _format_table("threads", cast(Mapping[str, Mapping[str, Any]], rows), (*COLUMNS, "detect", "cpu"))
    return [*_format_header(report), "", title, "", *table, "", report["reason"]]


def _format_comparison(report: ComparisonReport) -> list[str]:
    lines = [f"warning: {line}" for line in report["warnings"]]
    lines += [f"changed: {line}" for line in report["environment_changes"]]
    width = max(len(row["name"]) for row in report["rows"]) + 2
    lines += [f"{'ms':{width}}{'old p50':>9}{'new p50':>9}{'ratio':>8}  {CONFIDENCE_LEVEL:.0%} of ratio    verdict"]
    for row in report["rows"]:
        lines += [
            f"{row['name']:{width}}{row['old_p50_ms']:9.3f}{row['new_p50_ms']:9.3f}{row['ratio']:8.3f}  "
            f"{_interval_text(row['confidence_interval'])}  {row['verdict']}"
        ]
    return [*lines, "", *report["messages"]]


def _format_operators(profile: OperatorProfile) -> list[str]:
    sums, method = profile["sum_ratio"], profile["method"]
    lines = [
        f"operators of {profile['file']}: {profile['total_us']:.1f} us in total on {profile['threads']} thread(s), "
        f"{profile['rounds']} rounds",
        f"method: {METHODS[method]}; their sum is {sums[method]:.1%} of the total",
        *(f"        the other method ({name}) gives {sums[name]:.1%}" for name in sums if name != method),
        f"{'':>4} {'operator':24}{'output':>16}{'us':>10}{'+-':>7}{'share':>8}{'MMAC':>9}{'GMAC/s':>9}",
    ]
    for row in profile["rows"]:
        is_significant = row["macs"] and row["us"] > 2 * row["standard_error_us"]
        rate = f"{row['macs'] / row['us'] / 1000:9.1f}" if is_significant else f"{'-':>9}"
        shape = "x".join(map(str, row["shape"][1:]))
        lines += [
            f"{row['index']:4} {row['op']:24}{shape:>16}{row['us']:10.2f}{row['standard_error_us']:7.2f}"
            f"{row['share']:8.1%}{row['macs'] / 1e6:9.3f}{rate}"
        ]
    return lines
