"""Reports for people, and their JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from pocketsight.device.bench.environment import is_busy
from pocketsight.device.bench.op_profile import METHODS
from pocketsight.device.bench.statistics import CONFIDENCE_LEVEL
from pocketsight.device.bench.sustained import sustained_verdict

Report = dict[str, Any]
COLUMNS = "n", "min", "p50", "p90", "p95", "p99", "max"
MAX_TELEMETRY_ROWS = 12  # of a sustained run; the JSON has all


def format_json(result: Report) -> str:
    """Indented, but a list of numbers on one line."""
    text = json.dumps(result, indent=2, ensure_ascii=False)
    return re.sub(r"\[[\s\d.,e+-]+\]", lambda found: re.sub(r"\s+", " ", found[0]), text)


def format_report(result: Report) -> str:
    """Any report."""
    writers = {
        "run": _format_run,
        "models": _format_models,
        "threads": _format_threads,
        "comparison": _format_comparison,
    }
    lines = [*writers[result["kind"]](result)]
    for profile in result.get("operators", ()):
        lines += ["", *_format_operators(profile)]
    return "\n".join(lines)


def chart_title(result: Report) -> str:
    """Of a chart."""
    models = ", ".join(f"{model['arch']} {model['precision']}" for model in result["models"])
    return f"{result['machine']['board']}: {models}, {result['models'][0]['threads']} thread(s)"


def _format_header(result: Report) -> list[str]:
    """What it was measured on."""
    m = result["machine"]
    governor = f", governor {m['governor']}" if m["governor"] else ""
    work = [f"the machine has other work (a load of {result['load']:.1f}): do not believe differences"]
    return [
        f"{m['board'] or 'a board without a name'}, {m['cores']} cores, {m['architecture']}{governor}",
        f"{m['os']}, kernel {m['kernel']}, Python {m['python']}, {m['interpreter']}, pocketsight {m['pocketsight']}",
        *(work if is_busy(result) else ()),
    ]


def _format_model_lines(models: Iterable[Report]) -> list[str]:
    lines = []
    for model in models:
        delegate = f"{model['delegate']} in {model['partitions']} part(s)" if model["partitions"] else "no delegate"
        lines += [
            f"{model['task']:10}{model['arch']} {model['precision']} {model['sha256'][:12]}, "
            f"{model['threads']} thread(s), {delegate}; "
            f"loads in {model['load_ms']:.1f} ms, first inference {model['first_ms']:.2f} ms{_accuracy_text(model)}"
        ]
    return lines


def _accuracy_text(model: Report) -> str:
    found = model["accuracy"]
    return f"; {found['metric']} {found['exported']:.3f} at export" if {"metric", "exported"} <= found.keys() else ""


def _warmup_text(found: Report) -> str:
    reasons = {"asked": "as asked", "settled": "until they became no faster", "not settled": "and it had not settled"}
    sittings = f"{found['sittings']} sittings, " if found["sittings"] > 1 else ""
    return sittings + f"{found['frames']} left out to warm up ({found['seconds']:.1f} s, {reasons[found['how']]})"


def _format_table(head: str, rows: dict[str, Report], columns: tuple[str, ...] = COLUMNS) -> list[str]:
    width = max(map(len, rows)) + 2
    lines = [f"{head:{width}}" + "".join(f"{name:>9}" for name in columns)]
    for name, row in rows.items():
        numbers = (f"{row[key]:9.3f}" if isinstance(row[key], float) else f"{row[key]:9}" for key in columns)
        lines.append(f"{name:{width}}" + "".join(numbers))
    return lines


def _format_run(result: Report) -> list[str]:
    first = result["first_frame_ms"]
    memory = result["memory_mb"]
    lines = [*_format_header(result), *_format_model_lines(result["models"]), ""]
    began = f"; the first frame took {first:.2f} ms" if first else ""
    lines += [
        f"{result['frames']} frames of {result['source']}, {result['faces_a_frame']} faces a frame; "
        f"{_warmup_text(result['warmup'])}{began}",
        "",
    ]
    lines += _format_table("ms", result["stages"])
    lines += [
        "",
        f"{result['frames_a_second']} frames a second, {result['cpu_ms_a_frame']} ms of CPU a frame, "
        f"{memory['peak']} MB at most, {memory['steady']} MB at the end",
    ]
    rows = result.get("over_time")
    return lines + (["", *_format_telemetry(rows)] if rows else [])


def _format_telemetry(rows: list[Report]) -> list[str]:
    chosen = rows[:: max(1, -(-len(rows) // MAX_TELEMETRY_ROWS))]
    lines = [f"{'s':>8}{'fps':>9}{'p50':>9}{'p99':>9}{'°C':>8}{'MHz':>8}  slowed  weak supply"]
    for row in chosen:
        heat = "-" if row["temperature"] is None else f"{row['temperature']:.1f}"
        mhz = "-" if row["mhz"] is None else f"{row['mhz']:.0f}"
        flags = "".join(f"{_yes_no(row[key]):>{width}}" for key, width in (("throttled", 8), ("under_voltage", 13)))
        lines += [
            f"{row['s']:8.0f}{row['frames_a_second']:9.1f}{row['p50']:9.3f}{row['p99']:9.3f}{heat:>8}{mhz:>8}{flags}"
        ]
    return [*lines, "", sustained_verdict(rows)]


def _yes_no(value: bool | None) -> str:
    return "-" if value is None else "yes" if value else "no"


def _format_models(result: Report) -> list[str]:
    lines = [*_format_header(result), *_format_model_lines(result["models"]), ""]
    lines += [f"{result['rounds']} rounds on {result['source']}; {_warmup_text(result['warmup'])}", ""]
    rows = {f"{number} {row['task']} {row['arch']}": row for number, row in enumerate(result["models"], 1)}
    table = _format_table("ms", rows, (*COLUMNS, "ratio"))
    lines += [table[0] + f"  {CONFIDENCE_LEVEL:.0%} of ratio  file"]
    for line, row in zip(table[1:], result["models"], strict=True):
        lines += [f"{line}  {_interval_text(row['interval'])}  {row['file']}"]
    return lines + ([""] + result["words"] if result["words"] else [])


def _interval_text(found: list[float]) -> str:
    return f"{found[0]:5.3f} to {found[1]:5.3f}"


def _format_threads(result: Report) -> list[str]:
    rows = {
        str(row["threads"]): {
            **row["stages"]["whole"],
            "cpu": row["cpu_ms_a_frame"],
            "detect": row["stages"]["detect"]["p50"],
        }
        for row in result["counts"]
    }
    lines = [*_format_header(result), "", f"whole frames of {result['source']}; in turn, by number of threads", ""]
    return [*lines, *_format_table("threads", rows, (*COLUMNS, "detect", "cpu")), "", result["why"]]


def _format_comparison(result: Report) -> list[str]:
    lines = [f"warning: {line}" for line in result["warnings"]] + [f"differs: {line}" for line in result["differs"]]
    width = max(len(row["name"]) for row in result["rows"]) + 2
    lines += [f"{'ms':{width}}{'old p50':>9}{'new p50':>9}{'ratio':>8}  {CONFIDENCE_LEVEL:.0%} of ratio    verdict"]
    for row in result["rows"]:
        lines += [
            f"{row['name']:{width}}{row['old_p50']:9.3f}{row['new_p50']:9.3f}{row['ratio']:8.3f}  "
            f"{_interval_text(row['interval'])}  {row['verdict']}"
        ]
    return [*lines, "", *result["words"]]


def _format_operators(profile: Report) -> list[str]:
    sums = profile["sum_of_whole"]
    lines = [
        f"operators of {profile['file']}, {profile['whole_us']:.1f} us as a whole on {profile['threads']} thread(s), "
        f"{profile['rounds']} rounds",
        f"way: {METHODS[profile['way']]}; their sum is {sums[profile['way']]:.1%} of the whole",
        *(f"     the other way ({name}) would give {sums[name]:.1%}" for name in sums if name != profile["way"]),
        f"{'':>4} {'operator':24}{'output':>16}{'us':>10}{'+-':>7}{'share':>8}{'MMAC':>9}{'GMAC/s':>9}",
    ]
    for row in profile["rows"]:
        rate = (
            f"{row['macs'] / row['us'] / 1000:9.1f}" if row["macs"] and row["us"] > 2 * row["noise_us"] else f"{'-':>9}"
        )
        shape = "x".join(map(str, row["shape"][1:]))
        lines += [
            f"{row['index']:4} {row['op']:24}{shape:>16}{row['us']:10.2f}{row['noise_us']:7.2f}"
            f"{row['share']:8.1%}{row['macs'] / 1e6:9.3f}{rate}"
        ]
    return lines
