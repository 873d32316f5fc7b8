"""Verdicts in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def model_verdict(new: Mapping[str, Any], old: Mapping[str, Any], verdict: str, max_undetected: float) -> str:
    """One model against another for the same task: speed, and what it costs in accuracy. "" for two tasks."""
    if new["task"] != old["task"] or new["sha256"] == old["sha256"]:
        return ""
    a, b = _model_names(new, old)
    if verdict == "no difference":
        text = (
            f"{a} is neither faster nor slower than {b} on this board (a difference of {max_undetected:.0%} could hide)"
        )
        if _is_quantized_variant(new, old):
            text = f"{a} is not faster than {b} on this board (a difference of {max_undetected:.0%} could hide)"
    elif verdict == "slower" and _is_quantized_variant(new, old):
        text = f"{a} is not faster than {b} on this board: it is slower"
    else:
        text = f"{a} is {verdict} than {b} on this board"
    return text + _accuracy_text(new, old)


def stage_verdict(stage: str, verdict: str, ratio: float, max_undetected: float) -> str:
    """One stage of two runs, new to old."""
    if verdict == "no difference":
        return f"{stage}: no difference found; one of {max_undetected:.0%} could hide"
    change = abs(1 - ratio)
    return f"{stage}: {verdict} by {change:.0%}"


def _model_names(new: Mapping[str, Any], old: Mapping[str, Any]) -> tuple[str, str]:
    """What tells two models apart."""
    if new["arch"] == old["arch"] and new["precision"] != old["precision"]:
        return new["precision"], old["precision"]
    if (new["arch"], new["precision"]) != (old["arch"], old["precision"]):
        return f"{new['arch']} ({new['precision']})", f"{old['arch']} ({old['precision']})"
    return new["file"], old["file"]


def _is_quantized_variant(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether the new one was made to be faster: whole numbers instead of float."""
    return bool(new["precision"] == "int8" != old["precision"])


def _accuracy_text(new: Mapping[str, Any], old: Mapping[str, Any]) -> str:
    """What export measured of both, where it is the same figure; else ""."""
    a, b = new["accuracy"], old["accuracy"]
    if "exported" not in a or "exported" not in b or a.get("metric") != b.get("metric"):
        return ""
    return f"; {a['metric']} {a['exported']:.4f} instead of {b['exported']:.4f} (export's pictures)"
