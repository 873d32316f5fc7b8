"""Frames that boards kept (`run --collect`) become data sets to label: one for each board and day."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_path, atomic_write
from pocketsight.device.vision.boxes import Boxes, iou_matrix
from pocketsight.train.curation.image_hash import Fingerprint, near_pairs, read_fingerprints, unpack_hashes
from pocketsight.train.curation.scan import scan_dataset
from pocketsight.train.datasets.formats.base import AnnotatedImage, Annotation
from pocketsight.train.datasets.formats.writers import labelme_document

KEPT_SUFFIX = "_kept.json"  # of the file that the board writes next to each frame
SAME_OBJECT_IOU = 0.5
FOLDER_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")  # of a board
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

Progress = Callable[[Iterable[Fingerprint], int], Iterable[Fingerprint]]


@dataclass(frozen=True)
class KeptFrame:
    """A frame of a board with what its models found."""

    image: AnnotatedImage
    board: str
    day: str  # 2026-11-28, UTC
    reasons: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Its data set, below the output."""
        return Path(self.board, self.day)


@dataclass
class CollectSummary:
    """What became of the frames."""

    out: Path
    added: dict[str, int] = field(default_factory=dict)  # new images by data set, BOARD/DAY
    reasons: dict[str, int] = field(default_factory=dict)  # new images by reason
    present: int = 0  # frames that an earlier call brought
    duplicates: int = 0
    skipped: list[str] = field(default_factory=list)  # frames that cannot be read, with the reason


class _Candidate(NamedTuple):
    """An image that a frame may repeat: the hash of its pixels, and its boxes as shares of its sides."""

    fingerprint: Fingerprint
    boxes: Boxes


def collect_frames(source: Path, out: Path, known: Sequence[Path], progress: Progress) -> CollectSummary:
    """Add the frames of a folder to the data sets in `out`, without near-duplicates of each other or of known images.

    Known are the images in `out` and in the data sets `known`. A frame repeats an image if both look the same, and each
    object in the frame has a box in the image: in front of a camera that never moves all frames look much the same.
    Raises DataError.
    """
    summary = CollectSummary(out)
    frames = [frame for frame in read_kept_frames(source, summary.skipped) if not _is_present(frame, summary)]
    if not frames:
        return summary
    earlier = [path for path in sorted(out.glob("*/*")) if (path / "images").is_dir()] if out.is_dir() else []
    images = [image for path in [*known, *earlier] for image in scan_dataset(path).images]
    paths = [image.path for image in images] + [frame.image.path for frame in frames]
    fingerprints = list(progress(read_fingerprints(paths), len(paths)))
    boxes = [[note.box for note in image.objects] for image in [*images, *(frame.image for frame in frames)]]
    candidates = [_Candidate(print_, _as_shares(own, print_)) for print_, own in zip(fingerprints, boxes, strict=True)]
    new = zip(frames, candidates[len(images) :], find_new(candidates, len(images)), strict=True)
    for frame, candidate, is_new in new:
        if error := candidate.fingerprint.error:
            summary.skipped.append(f"{frame.image.path.name}: {error}")
            continue
        if not is_new:
            summary.duplicates += 1
            continue
        _add_frame(frame, out)
        summary.added[str(frame.folder)] = summary.added.get(str(frame.folder), 0) + 1
        for reason in frame.reasons:
            summary.reasons[reason] = summary.reasons.get(reason, 0) + 1
    return summary


def find_new(candidates: Sequence[_Candidate], known: int) -> list[bool]:
    """Which of the candidates after the first `known` ones repeat neither these nor an earlier new one."""
    readable = [n for n, each in enumerate(candidates) if each.fingerprint.perceptual_hash]
    bits = unpack_hashes([candidates[n].fingerprint.perceptual_hash for n in readable])
    first = sum(n < known for n in readable)
    is_new = [n in set(readable) for n in range(known, len(candidates))]
    for row, column in near_pairs(bits[first:], bits):
        n, other = readable[first + row], readable[column]
        if other < n and is_new[n - known] and (other < known or is_new[other - known]):
            overlaps = iou_matrix(candidates[n].boxes, candidates[other].boxes).max(-1, initial=0)
            is_new[n - known] = not (overlaps >= SAME_OBJECT_IOU).all()
    return is_new


def read_kept_frames(folder: Path, skipped: list[str]) -> Iterator[KeptFrame]:
    """The frames in a folder of a board, by name. Unreadable ones are added to `skipped`. Raises DataError."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    for file in sorted(folder.glob(f"*{KEPT_SUFFIX}")):
        try:
            frame = _parse(file, json.loads(file.read_bytes()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            skipped.append(f"{file.name}: {type(error).__name__}: {error}")
            continue
        if frame.image.path.is_file():
            yield frame
        else:
            skipped.append(f"{file.name}: its image is missing")


def _parse(file: Path, content: Any) -> KeptFrame:
    """Raises ValueError, KeyError or TypeError for a file that no board writes."""
    board, day = str(content["board"]), str(content["time"])[:10]
    if not FOLDER_NAME.fullmatch(board) or not DAY.fullmatch(day):
        raise ValueError(f"the board {board!r} or the day {day!r} is not a name for a folder")
    annotations = []
    for number, face in enumerate(content["faces"]):
        left, top, right, bottom = map(float, face["box"])
        annotations.append(Annotation((left, top, right, bottom), str(face["object"]), f"{file}: face {number}"))
    size = int(content["height"]), int(content["width"])
    image = AnnotatedImage(file.with_suffix(".jpg"), annotations, size)
    return KeptFrame(image, board, day, tuple(map(str, content["reasons"])))


def _is_present(frame: KeptFrame, summary: CollectSummary) -> bool:
    is_present = (summary.out / frame.folder / "images" / frame.image.path.name).exists()
    summary.present += is_present
    return is_present


def _as_shares(boxes: Sequence[tuple[float, ...]], fingerprint: Fingerprint) -> Boxes:
    height, width = fingerprint.size
    sides = np.array(boxes, np.float32).reshape(-1, 4) / np.array([width or 1, height or 1] * 2, np.float32)
    return sides.astype(np.float32)


def _add_frame(frame: KeptFrame, out: Path) -> None:
    """Write the labels first: an image without them would count as one without objects."""
    image = out / frame.folder / "images" / frame.image.path.name
    file = out / frame.folder / "labels" / f"{image.stem}.json"
    document = labelme_document(frame.image, os.path.relpath(image, file.parent))
    atomic_write(file, json.dumps(document, indent=2))
    with atomic_path(image) as part:
        shutil.copyfile(frame.image.path, part)
