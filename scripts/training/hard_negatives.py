"""Regions without a face in which a detector finds one, as images without a face for the next training.

    python scripts/training/hard_negatives.py models/detector.tflite FACES.json OUT

OUT/train.json has all images of FACES.json and the regions, with the source `hard_negatives`. By default only images
without any label give regions. OUT/regions.png shows those with the highest scores: look at it, since a face without a
label would be learned as background.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.errors import DataError, PocketsightError
from pocketsight.device.inference.detector import detect
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.device.vision.boxes import Boxes, coverage_matrix
from pocketsight.device.vision.crop import crop_window
from pocketsight.device.vision.image import Image, write_jpeg
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.console import progress_bar
from pocketsight.train.contact_sheet import RED, write_contact_sheet
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.datasets.detection_sample import DetectionSample
from pocketsight.train.evaluation.detector import DETECTOR_FRAME_SIZE
from pocketsight.train.evaluation.evaluate import open_model

SOURCE = "hard_negatives"
SIDES = 8.0, 5.0, 3.0, 2.0  # width of a region, relative to the detection; the first that is free of labels is taken
LABEL_MARGIN = 0.5  # around a label, relative to its sides: no region touches it
TILE = 120, 160  # height, width, px, of the contact sheet
MAX_TILES = 96


class Region(NamedTuple):
    """A part of an image without a label, around a detection."""

    sample: DetectionSample
    window: list[int]  # left, top, right, bottom, px of the image
    score: float


def find_regions(model: Model, sample: DetectionSample, image: Image, threshold: float) -> Iterator[Region]:
    """The regions around the detections that are far from every label, best first; none lies in another one."""
    labels = np.concatenate([sample.boxes, sample.ignored_boxes])
    half = (labels[:, 2:] - labels[:, :2]) * np.float32(LABEL_MARGIN)
    obstacles = labels + np.concatenate([-half, half], axis=1)
    frame, scale = letterbox(image, DETECTOR_FRAME_SIZE)
    taken = np.empty((0, 4), np.float32)
    for face in detect(frame, model, score_threshold=threshold):
        box = np.array([face.box], np.float32) / np.float32(scale)
        if coverage_matrix(box, taken).max(initial=0) > 0.5:
            continue
        window = free_window(box[0], obstacles, image.shape[:2])
        if window:
            taken = np.concatenate([taken, np.array([window], np.float32)])
            yield Region(sample, window, face.score)


def free_window(box: NDArray[np.float32], obstacles: Boxes, size: tuple[int, ...]) -> list[int] | None:
    """The largest window of 4:3 around the box that touches no obstacle, clipped to the image; None without one."""
    center = (box[:2] + box[2:]) / 2
    for factor in SIDES:
        half = np.array([4, 3]) / 4 * (box[2:] - box[:2]).max() * factor / 2
        left, top = np.maximum(center - half, 0).round().astype(int).tolist()
        right, bottom = np.minimum(center + half, (size[1], size[0])).round().astype(int).tolist()
        is_free = (
            (obstacles[:, 2] <= left)
            | (obstacles[:, 0] >= right)
            | (obstacles[:, 3] <= top)
            | (obstacles[:, 1] >= bottom)
        )
        if is_free.all() and right - left >= 16 and bottom - top >= 16:
            return [left, top, right, bottom]
    return None


def add_regions(faces: Path, regions: list[Region], names: list[str], out: Path) -> None:
    """Write OUT/train.json: the COCO file `faces` with absolute paths, and the regions as images without a label."""
    coco = json.loads(faces.read_text())
    folder = faces.parent.absolute()
    groups = {str(folder / image["file_name"]): image.get("group") for image in coco["images"]}
    images = [image | {"file_name": str(folder / image["file_name"])} for image in coco["images"]]
    first = 1 + max(image["id"] for image in images)
    for number, (region, name) in enumerate(zip(regions, names, strict=True), first):
        left, top, right, bottom = region.window
        image = {"id": number, "file_name": name, "width": right - left, "height": bottom - top, "source": SOURCE}
        group = groups.get(str(region.sample.path.absolute())) or region.sample.path.stem
        images.append(image | {"group": group})
    atomic_write(out / "train.json", json.dumps(coco | {"images": images}).encode())


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("faces", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--threshold", default=0.25, show_default=True, help="Lowest score of a detection.")
@click.option("--labeled", is_flag=True, help="Also use images with labels, far from the labels.")
def main(model: Path, faces: Path, out: Path, threshold: float, labeled: bool) -> None:
    """Collect the false positives of MODEL, a run folder or a .tflite file, on the images of a COCO file."""
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty; choose another folder")
    detector = open_model(model)
    samples = [sample for split in read_detection_dataset(faces).splits.values() for sample in split]
    samples = [s for s in samples if labeled or not (len(s.boxes) or len(s.ignored_boxes))]
    regions: list[Region] = []
    tiles: list[tuple[float, Image]] = []
    names: list[str] = []
    (out / "images").mkdir(parents=True, exist_ok=True)
    for sample in progress_bar(samples, description="detecting"):
        image = sample.read()
        for region in find_regions(detector, sample, image, threshold):
            regions.append(region)
            names.append(f"images/{len(regions):05d}_{sample.path.stem}.jpg")
            crop = crop_window(image, *region.window)
            write_jpeg(out / names[-1], crop)
            tiles.append((region.score, letterbox(crop, TILE)[0]))
    add_regions(faces, regions, names, out)
    if tiles:
        tiles.sort(key=lambda tile: -tile[0])
        sheet = [tile for _, tile in tiles[:MAX_TILES]]
        write_contact_sheet(sheet, 8, out / "regions.png", [("detected, without a label", RED)])
    click.echo(f"{len(regions)} regions in {len({r.sample.path for r in regions})} of {len(samples)} images; {out}")


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except PocketsightError as error:
        raise SystemExit(f"Error: {error}") from None
