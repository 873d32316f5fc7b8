"""Read the labels of other people's models, in the forms that their tools write."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from pocketsight.device.errors import DataError

NUMBERED = re.compile(r"(\d+)\s*[:,]?\s+(\S.*)")  # "0 happy" of Teachable Machine, "16  cat" of Coral
BACKGROUND = "???", "background", "__background__"
ITEM = re.compile(r"item\s*\{(.*?)\}", re.DOTALL)
FIELD = re.compile(r"""(\w+)\s*:\s*(?:"([^"]*)"|'([^']*)'|(\d+))""")


def parse_labels(text: str, origin: str) -> dict[int, str]:
    """The labels of a text by their number, from 0.

    A text has one label on each line, with its number or without, or is a label map of TensorFlow, whose numbers begin
    at 1. A background in the first place is left out where the numbers begin after it: see `drop_background`.
    Raises DataError, naming `origin`, when it has none, or two with the same number.
    """
    if items := ITEM.findall(text):
        return _parse_label_map(items, origin)
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{origin} has no labels; it must have one on each line")
    matches = [NUMBERED.fullmatch(line) for line in lines]
    if not all(matches):
        return dict(enumerate(lines))
    numbers = [int(match[1]) for match in matches if match]
    if len(set(numbers)) < len(numbers):
        raise DataError(f"{origin} has two labels with the same number")
    return {number: match[2].strip() for number, match in zip(numbers, matches, strict=True) if match}


def _parse_label_map(items: list[str], origin: str) -> dict[int, str]:
    labels = {}
    for item in items:
        values = {name: text or other or number for name, text, other, number in FIELD.findall(item)}
        if "id" not in values or not (values.get("display_name") or values.get("name")):
            raise DataError(f"{origin} has an item without an id or a name")
        labels[int(values["id"]) - 1] = values.get("display_name") or values["name"]
    return {number: label for number, label in labels.items() if number >= 0}  # an id of 0 is the background


def drop_background(labels: Mapping[int, str]) -> dict[int, str]:
    """The labels without a background in the first place, and numbers from 0 again."""
    if labels.get(0, "").lower() not in BACKGROUND:
        return dict(labels)
    return {number - 1: label for number, label in labels.items() if number}


def fill_gaps(labels: Mapping[int, str], count: int) -> tuple[str, ...]:
    """`count` labels in order. Those without a name, and all but the first of equal names, become "unnamed N"."""
    names: dict[str, None] = {}
    for number in range(count):
        label = labels.get(number, "")
        names[f"unnamed {number}" if label in names or label in ("", *BACKGROUND[:1]) else label] = None
    return tuple(names)


def find_labels(entries: Mapping[str, bytes]) -> tuple[str, dict[int, str]]:
    """The name of the file behind a flatbuffer that has labels, and the labels; "" and {} where there is none."""
    if names := read_facts(entries).get("names"):
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return "its metadata", {int(number): str(label) for number, label in pairs}
    for name, data in sorted(entries.items()):
        if "label" in name.lower() and name.lower().endswith((".txt", ".pbtxt")):
            return name, parse_labels(data.decode(errors="replace"), name)
    return "", {}


def read_facts(entries: Mapping[str, bytes]) -> dict[str, Any]:
    """What Ultralytics writes behind a flatbuffer: task, names, imgsz, end2end, license; {}: it is not theirs."""
    for name, data in entries.items():
        if name.endswith((".json", "meta.txt")):
            try:
                text = data.decode()
                facts = json.loads(text) if name.endswith(".json") else ast.literal_eval(text)
            except (ValueError, SyntaxError):
                continue
            if isinstance(facts, dict) and {"task", "names", "stride"} <= facts.keys():
                return facts
    return {}
