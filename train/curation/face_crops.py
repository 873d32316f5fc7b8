"""`pocketsight data crops`: crops faces or labeled boxes out of photographs, with the classifier's own crop."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pocketsight.device.annotators.labels import GRAY
from pocketsight.device.errors import DataError
from pocketsight.device.inference.classifier import FACE_CROP_MARGIN
from pocketsight.device.inference.detector import Detection, detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import Image, read_image, write_jpeg
from pocketsight.device.vision.image_kinds import describe_unread
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.console import ProgressFn, log_message
from pocketsight.train.contact_sheet import write_contact_sheet
from pocketsight.train.curation.scan import DatasetScan, ScannedImage
from pocketsight.train.datasets.formats.writers import next_free_path, require_disjoint

MAX_CROP_SIDE = 256  # px; larger crops are scaled down: no classifier here has a larger input
CROPS_TABLE, CROPS_SHEET = "crops.csv", "crops.png"
TABLE_COLUMNS = "picture", "crop", "left", "top", "right", "bottom", "score"
MAX_TILES, TILE_SIZE, SHEET_COLUMNS = 96, (96, 96), 12


@dataclass
class CropSummary:
    """Results of a run."""

    crops_by_class: Counter[str] = field(default_factory=Counter)
    without_face: list[Path] = field(default_factory=list)  # images in which no face was found
    unreadable: list[str] = field(default_factory=list)  # errors


def crop_faces(
    scan: DatasetScan,
    detector: Model,
    out: Path,
    all_faces: bool,
    progress: ProgressFn,
) -> CropSummary:
    """Write the largest face of each image, or all faces, to OUT/[SPLIT/]CLASS/NAME.jpg, with a table and a sheet.

    A crop is square, with FACE_CROP_MARGIN around the box, as `read_classification_dataset` expects. Raises DataError.
    """
    summary = CropSummary()
    _write_crops(scan, out, _iter_crops(scan, detector, out, all_faces, progress, summary), summary)
    return summary


def crop_boxes(scan: DatasetScan, out: Path, progress: ProgressFn) -> CropSummary:
    """As `crop_faces`, with the labeled boxes of the images; the class of a crop is the label of its box."""
    if not any(image.objects for image in scan.images):
        raise DataError(f"{scan.root} has no labeled boxes; leave out --from-boxes to crop the faces of photographs")
    summary = CropSummary()
    _write_crops(scan, out, _iter_labeled_crops(scan, out, progress, summary), summary)
    return summary


# Image, target file, detection or labeled box, and crop (side, side, 3).
Crops = Iterator[tuple[ScannedImage, Path, Detection, Image]]


def _write_crops(scan: DatasetScan, out: Path, crops: Crops, summary: CropSummary) -> None:
    if scan.unread_images:
        log_message(describe_unread(scan.unread_images))
    require_disjoint(out, scan.root.parent if scan.layout == "coco" else scan.root)
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty; choose another --out, or move it away")
    tiles: list[Image] = []
    rows: list[list[object]] = []
    try:
        for scanned, target, face, crop in crops:
            write_jpeg(target, crop)
            summary.crops_by_class[target.parent.name if scanned.objects else scanned.class_name] += 1
            box = (round(side, 1) for side in face.box)
            rows.append([scanned.path, target.relative_to(out), *box, round(face.score, 3)])
            if len(tiles) < MAX_TILES:
                tiles.append(letterbox(crop, TILE_SIZE)[0])
        if tiles:
            write_contact_sheet(tiles, SHEET_COLUMNS, out / CROPS_SHEET, [("as they were cropped", GRAY)])
            _write_table(out / CROPS_TABLE, rows)
    except OSError as error:
        raise DataError(f"{error.filename or out} cannot be written: {error.strerror}") from error


def _iter_images(scan: DatasetScan, progress: ProgressFn, summary: CropSummary) -> Iterator[tuple[ScannedImage, Image]]:
    """The images that can be read; the others are added to `summary`."""
    for scanned in progress(scan.images):
        try:
            yield scanned, read_image(scanned.path)
        except DataError as error:
            summary.unreadable.append(str(error))


def _iter_crops(
    scan: DatasetScan,
    detector: Model,
    out: Path,
    all_faces: bool,
    progress: ProgressFn,
    summary: CropSummary,
) -> Crops:
    """The faces that the detector finds. Images without a crop are added to `summary`."""
    for scanned, image in _iter_images(scan, progress, summary):
        faces = sorted(detect(image, detector), key=lambda face: face.box.area, reverse=True)
        if not faces:
            summary.without_face.append(scanned.path)
        for number, face in enumerate(faces if all_faces else faces[:1], start=1):
            name = scan.relative_path(scanned).with_suffix(".jpg")
            if number > 1:
                name = name.with_stem(f"{name.stem}_{number}")
            target = next_free_path(out / scanned.split / scanned.class_name / name)
            yield scanned, target, face, crop_face(image, face.box, FACE_CROP_MARGIN, _crop_size(face.box))


def _iter_labeled_crops(scan: DatasetScan, out: Path, progress: ProgressFn, summary: CropSummary) -> Crops:
    """The labeled boxes, into folders named like their labels. Raises DataError for a label that no folder can have."""
    for scanned, image in _iter_images(scan, progress, summary):
        for annotation in scanned.objects:
            if annotation.label in (".", "..") or "/" in annotation.label:
                raise DataError(
                    f"{annotation.location}: a folder cannot be named {annotation.label!r}; rename the label"
                )
            box = Box(*annotation.box).clip(image.shape[1], image.shape[0])
            if box.left >= box.right or box.top >= box.bottom:
                continue  # `pocketsight data check` names it
            name = Path("_".join(scan.relative_path(scanned).with_suffix(".jpg").parts))
            target = next_free_path(out / scanned.split / annotation.label / name)
            crop = crop_face(image, box, FACE_CROP_MARGIN, _crop_size(box))
            yield scanned, target, Detection(box, 1.0, annotation.label), crop


def _crop_size(box: Box) -> tuple[int, int]:
    """Height and width of the crop: the resolution of the photograph, up to MAX_CROP_SIDE."""
    side = min(MAX_CROP_SIDE, max(1, round(box.longer_side * (1 + 2 * FACE_CROP_MARGIN))))
    return side, side


def _write_table(path: Path, rows: list[list[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = csv.writer(file)
        table.writerow(TABLE_COLUMNS)
        table.writerows(rows)
