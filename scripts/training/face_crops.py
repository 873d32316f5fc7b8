"""Face crops from images with labeled boxes, as more data for the classifier of expressions.

    python scripts/training/face_crops.py FACES.json OUT

OUT/classes/_masked holds the faces with a mask, a reject class. OUT/unlabeled holds all other faces; their expression
has no label. Each crop has a margin around its box, because training detects the face again.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click
import numpy as np

from pocketsight.device.errors import DataError, PocketsightError
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import write_jpeg
from pocketsight.train.console import progress_bar
from pocketsight.train.datasets.detection import read_detection_dataset

MASKED, UNLABELED = "classes/_masked", "unlabeled"
CROP_MARGIN = 0.3  # around the box, as a share of its longer side
MIN_FACE_PX = 20.0  # longer side of the smallest face
MAX_CROP_PX = 144  # larger crops are scaled down


@click.command()
@click.argument("faces", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--masked-every", default=1, show_default=True, help="Keep one of every N masked faces.")
def main(faces: Path, out: Path, masked_every: int) -> None:
    """Crop every face of a COCO file or a labelme folder."""
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} is not empty; choose another folder")
    candidates, written = Counter[str](), Counter[str]()
    samples = [sample for split in read_detection_dataset(faces).splits.values() for sample in split]
    for sample in progress_bar(samples, description="cropping"):
        sides = (sample.boxes[:, 2:] - sample.boxes[:, :2]).max(1, initial=0)
        if not (sides >= MIN_FACE_PX).any():
            continue
        image = sample.read()
        masked = sample.mask_states or (-1,) * len(sides)
        for number in np.flatnonzero(sides >= MIN_FACE_PX).tolist():
            kind = MASKED if masked[number] == 1 else UNLABELED
            candidates[kind] += 1
            if kind == MASKED and candidates[kind] % masked_every:
                continue
            (out / kind).mkdir(parents=True, exist_ok=True)
            side = min(MAX_CROP_PX, round(float(sides[number]) * (1 + 2 * CROP_MARGIN)))
            face = crop_face(image, Box(*sample.boxes[number].tolist()), CROP_MARGIN, (side, side))
            write_jpeg(out / kind / f"{sample.path.stem}_{number}.jpg", face)
            written[kind] += 1
    click.echo(", ".join(f"{n} {kind}" for kind, n in sorted(written.items())))


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except PocketsightError as error:
        raise SystemExit(f"Error: {error}") from None
