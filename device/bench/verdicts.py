"""Verdicts as sentences."""

from __future__ import annotations

from pocketsight.device.bench.reports import ModelFacts


def model_verdict(new: ModelFacts, old: ModelFacts, verdict: str, max_undetected: float) -> str:
    """A sentence about two models for the same task: speed, and accuracy at export. "" for two tasks."""
    if new["task"] != old["task"] or new["sha256"] == old["sha256"]:
        return ""
    a, b = _model_names(new, old)
    is_quantized = new["precision"] == "int8" != old["precision"]  # such a model is meant to be faster
    undetected = f"(a difference of up to {max_undetected:.0%} is possible)"
    if verdict == "no difference" and is_quantized:
        text = f"{a} is not faster than {b} on this board {undetected}"
    elif verdict == "no difference":
        text = f"{a} is neither faster nor slower than {b} on this board {undetected}"
    elif verdict == "slower" and is_quantized:
        text = f"{a} is not faster than {b} on this board: it is slower"
    else:
        text = f"{a} is {verdict} than {b} on this board"
    return text + _accuracy_text(new, old)


def stage_verdict(stage: str, verdict: str, ratio: float, max_undetected: float) -> str:
    """A sentence about one stage of two runs; `ratio` is new to old."""
    if verdict == "no difference":
        return f"{stage}: no difference found; one of up to {max_undetected:.0%} is possible"
    return f"{stage}: {verdict} by {abs(1 - ratio):.0%}"


def _model_names(new: ModelFacts, old: ModelFacts) -> tuple[str, str]:
    """Names that differ: the precision, the architecture with it, or the file."""
    if new["arch"] == old["arch"] and new["precision"] != old["precision"]:
        return new["precision"], old["precision"]
    if (new["arch"], new["precision"]) != (old["arch"], old["precision"]):
        return f"{new['arch']} ({new['precision']})", f"{old['arch']} ({old['precision']})"
    return new["file"], old["file"]


def _accuracy_text(new: ModelFacts, old: ModelFacts) -> str:
    """The accuracy of both at export, where they have the same metric; else ""."""
    a, b = new["accuracy"], old["accuracy"]
    if "exported" not in a or "exported" not in b or a.get("metric") != b.get("metric"):
        return ""
    return f"; {a['metric']} {a['exported']:.4f} instead of {b['exported']:.4f} (on the images of export)"
