"""The labels of an adopted model: from a file, from behind its flatbuffer, or known from its family."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pocketsight.device.errors import DataError
from pocketsight.device.inference import ssd, yolo
from pocketsight.device.inference.manifest import FACE_ONLY
from pocketsight.export.graph import Graph
from pocketsight.export.label_files import drop_background, fill_gaps, find_labels, parse_labels
from pocketsight.export.recognize import Kind


def choose_labels(
    kind: Kind, path: Path | None, entries: Mapping[str, bytes], graph: Graph, size: tuple[int, int]
) -> tuple[tuple[str, ...], str, list[str]]:
    """The labels in the order of the outputs, where they come from, and warnings.

    `entries` are the files behind the flatbuffer, `size` is the (height, width) of the input. Raises DataError when
    there are none, or when their number is not that of the outputs.
    """
    embedded_source, embedded = find_labels(entries)
    if path:
        source, labels = path.name, parse_labels(_read_text(path), str(path))
    elif embedded:
        source, labels = embedded_source, embedded
    elif kind.family == "blazeface":
        source, labels = "its family", dict(enumerate(FACE_ONLY))
    else:
        raise DataError("the file has no labels; give --labels FILE with one on each line, in the order of the outputs")
    labels = drop_background(labels) if kind.family == "ssd" else labels
    count = count_outputs(kind, graph, size)
    names, warnings = _fit_labels(labels, count, source)
    if path and embedded and sorted(embedded.values()) == sorted(names) and embedded != labels:
        warnings.append(f"the order of {path.name} is not that of {embedded_source}, which came with the network")
    if hidden := [name for name in names if name.startswith("_")]:
        raise DataError(f"the label {hidden[0]} of {source} begins with _, as reject classes do; rename it")
    return names, source, warnings


def count_outputs(kind: Kind, graph: Graph, size: tuple[int, int]) -> int | None:
    """How many labels a model distinguishes; None: unknown."""
    if kind.family == "ssd":
        operator = next(each for each in graph.operators if each.name == ssd.OPERATOR)
        count = operator.options.get("num_classes")
        return None if count is None else int(count)
    if kind.family == "yolo":
        shape, counts = graph.outputs[0].shape, yolo.cell_counts(size)
        return (shape[1] if shape[2] in counts else shape[2]) - yolo.BOX_ROWS
    if kind.family == "blazeface":
        return 1
    return 2 if "score" in kind.outputs else max(graph.outputs[0].shape)


def _fit_labels(labels: Mapping[int, str], count: int | None, source: str) -> tuple[tuple[str, ...], list[str]]:
    """The labels of all outputs. Gaps are filled where the file has numbers. Raises DataError."""
    has_gaps = set(labels) != set(range(len(labels)))
    total = count if count is not None else max(labels, default=-1) + 1
    if max(labels, default=0) >= total or (len(labels) < total and not has_gaps):
        hint = "; their numbers begin at 0" if has_gaps else ""
        raise DataError(f"{source} has {len(labels)} labels, but the network has {total}{hint}")
    names = fill_gaps(labels, total)
    unnamed = sum(name.startswith("unnamed ") for name in names)
    return names, [f"{unnamed} of {total} outputs have no label in {source}"] if unnamed else []


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text in UTF-8") from error
