"""A table of detection samples: a few arrays in place of a million objects, mapped by all worker processes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload
from weakref import finalize

import joblib
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.vision.boxes import Boxes
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.datasets.shards import TarImage

Integers = NDArray[np.signedinteger[Any]]


@dataclass(frozen=True)
class TextColumn:
    """Strings as one array of bytes; the n-th is `data[offsets[n] : offsets[n + 1]]`."""

    data: NDArray[np.uint8]
    offsets: Integers  # (N + 1,)

    @classmethod
    def from_strings(cls, texts: Iterable[str]) -> TextColumn:
        """File names keep bytes that are no UTF-8."""
        encoded = [os.fsencode(text) for text in texts]
        offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    def __getitem__(self, row: int) -> str:
        return os.fsdecode(self.data[self.offsets[row] : self.offsets[row + 1]].tobytes())


@dataclass(frozen=True)
class SampleColumns:
    """The fields of N samples with B boxes. The boxes of a sample follow each other: objects, then those to ignore."""

    folder: Path  # of all paths
    paths: TextColumn
    shards: tuple[str, ...]  # the .tar files of the images, if any
    spans: Integers  # (N, 3): index of the shard, offset and size of the image in it; size 0: a file of its own
    groups: TextColumn
    sources: tuple[str, ...]  # the different ones
    source_codes: Integers  # (N,): indexes of `sources`
    sizes: Integers  # (N, 2); 0: unknown
    boxes: Boxes  # (B, 4)
    mask_states: NDArray[np.int8]  # (B,)
    kinds: Integers  # (B,): indexes of the labels
    starts: Integers  # (N + 1,): the first box of a sample
    object_counts: Integers  # (N,): boxes that are objects

    @cached_property
    def file(self) -> str:
        """A temporary file with the columns, removed when this process drops them."""
        handle, name = tempfile.mkstemp(prefix="pocketsight-", suffix=".samples")
        os.close(handle)
        finalize(self, Path(name).unlink, missing_ok=True)
        joblib.dump({field.name: getattr(self, field.name) for field in fields(self)}, name)
        return name

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as the name of `file`, which the other process maps into its memory: all share the same pages."""
        return _map_columns, (self.file,)


def encode_sources(sources: Sequence[str]) -> tuple[tuple[str, ...], Integers]:
    """The different sources, and (N,) the index of each."""
    codes = {source: n for n, source in enumerate(dict.fromkeys(sources))}
    return tuple(codes), np.array([codes[source] for source in sources], np.int32)


def _encode_spans(paths: Sequence[Path]) -> tuple[tuple[str, ...], Integers]:
    """The shards of the paths, and (N, 3) where each image is in them."""
    shards: dict[str, int] = {}
    spans = np.zeros((len(paths), 3), np.int64)
    for n, path in enumerate(paths):
        if isinstance(path, TarImage):
            spans[n] = shards.setdefault(path.shard, len(shards)), path.offset, path.size
    return tuple(shards), spans


def _kinds(sample: DetectionSample) -> Iterable[int]:
    """The kinds of all boxes of a sample; boxes to ignore have none, 0 takes their place."""
    return (*(sample.kinds or (0,) * len(sample.boxes)), *(0,) * len(sample.ignored_boxes))


def _map_columns(file: str) -> SampleColumns:
    return SampleColumns(**joblib.load(file, mmap_mode="r"))


class SampleTable(Sequence[DetectionSample]):
    """Some rows of the columns, as a sequence of samples that are made when they are asked for.

    A pickle of it is small, and valid only as long as this process has the table.
    """

    def __init__(self, columns: SampleColumns, rows: Integers) -> None:
        self.columns, self.rows = columns, rows

    @classmethod
    def from_samples(cls, samples: Sequence[DetectionSample]) -> SampleTable:
        """The table of any samples."""
        if isinstance(samples, SampleTable):
            return samples
        boxes = [box for sample in samples for box in (sample.boxes, sample.ignored_boxes)]
        states = [
            (*(sample.mask_states or (-1,) * len(sample.boxes)), *(-1,) * len(sample.ignored_boxes))
            for sample in samples
        ]
        columns = SampleColumns(
            Path(),
            TextColumn.from_strings(str(sample.path) for sample in samples),
            *_encode_spans([sample.path for sample in samples]),
            TextColumn.from_strings(sample.group for sample in samples),
            *encode_sources([sample.source for sample in samples]),
            np.array([sample.size or (0, 0) for sample in samples], np.int32).reshape(-1, 2),
            np.concatenate([np.empty((0, 4), np.float32), *boxes]).astype(np.float32),
            np.array([state for own in states for state in own], np.int8),
            np.array([kind for each in samples for kind in _kinds(each)], np.int16),
            np.cumsum([0, *map(len, states)], dtype=np.int64),
            np.array([len(sample.boxes) for sample in samples], np.int32),
        )
        return cls(columns, np.arange(len(samples), dtype=np.int32))

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> DetectionSample: ...
    @overload
    def __getitem__(self, index: slice) -> SampleTable: ...
    def __getitem__(self, index: int | slice) -> DetectionSample | SampleTable:
        if isinstance(index, slice):
            return self.select(index)
        row, columns = int(self.rows[index]), self.columns
        first, count = int(columns.starts[row]), int(columns.object_counts[row])
        middle, end = first + count, int(columns.starts[row + 1])
        height, width = columns.sizes[row].tolist()
        path: Path = columns.folder / columns.paths[row]
        shard, offset, size = columns.spans[row].tolist()
        return DetectionSample(
            TarImage.at(path, columns.shards[shard], offset, size) if size else path,
            np.array(columns.boxes[first:middle]),
            np.array(columns.boxes[middle:end]),
            columns.groups[row],
            (height, width) if height else None,
            columns.sources[columns.source_codes[row]],
            tuple(columns.mask_states[first:middle].tolist()),
            tuple(columns.kinds[first:middle].tolist()),
            row,
        )

    def select(self, which: slice | NDArray[Any]) -> SampleTable:
        """The rows of a slice, a mask (N,) or indexes, without a copy of the columns."""
        return SampleTable(self.columns, self.rows[which])

    def relabel(self, new_kinds: Integers) -> SampleTable:
        """The same rows with other kinds: kind k becomes `new_kinds[k]`, and boxes that become -1 are left out."""
        columns = self.columns
        kinds = new_kinds[columns.kinds] if len(new_kinds) else columns.kinds
        sample = np.repeat(np.arange(self.number_count), np.diff(columns.starts))
        is_object = np.arange(len(sample)) - columns.starts[sample] < columns.object_counts[sample]
        kept = (kinds >= 0) | ~is_object
        kinds = np.maximum(kinds, 0)  # of boxes to ignore
        changed = replace(
            columns,
            boxes=columns.boxes[kept],
            mask_states=columns.mask_states[kept],
            kinds=kinds[kept].astype(np.int16),
            starts=np.append(0, np.cumsum(np.bincount(sample[kept], minlength=self.number_count))),
            object_counts=np.bincount(sample[kept & is_object], minlength=self.number_count).astype(np.int32),
        )
        return SampleTable(changed, self.rows)

    @property
    def number_count(self) -> int:
        """The `number` of every sample is lower."""
        return len(self.columns.object_counts)

    def group_keys(self) -> Iterator[str]:
        """For each sample its group, or the name of its file."""
        groups, paths = self.columns.groups, self.columns.paths
        return (groups[row] or os.path.basename(paths[row]) for row in self.rows.tolist())

    @property
    def source_codes(self) -> Integers:
        """(N,): a number for the source of each image."""
        return self.columns.source_codes[self.rows]

    @property
    def object_counts(self) -> Integers:
        """(N,): how many objects each image has."""
        return self.columns.object_counts[self.rows]

    @property
    def ignored_counts(self) -> Integers:
        """(N,): how many boxes to ignore each image has."""
        return np.diff(self.columns.starts)[self.rows] - self.object_counts

    def object_facts(self) -> tuple[Integers, Integers, Integers]:
        """(O,) the mask state and the kind of each object of these samples, and (O,) the index of its sample."""
        counts = self.object_counts
        owners = np.repeat(np.arange(len(self)), counts)
        positions = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
        boxes = self.columns.starts[self.rows][owners] + positions
        return self.columns.mask_states[boxes], self.columns.kinds[boxes], owners


def count_boxes(samples: Sequence[DetectionSample], labels: Sequence[str]) -> str:
    """How many objects of each label the samples have, as text."""
    _, kinds, _ = SampleTable.from_samples(samples).object_facts()
    counts = np.bincount(kinds, minlength=len(labels)).tolist()
    return ", ".join(f"{label} {count:,}" for label, count in zip(labels, counts, strict=True))
