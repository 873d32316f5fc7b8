"""Faces cut from pictures with labelled boxes, as more data for the classifier of expressions.

    python scripts/training/face_crops.py FACES.json OUT

OUT/classes/_masked holds those that wear a mask, which the classifier should be unsure about; OUT/others all others,
whose expression nobody labelled. Each is cut with room around its box, since training finds the face again.
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

MASKED, OTHERS = "classes/_masked", "others"
CROP_MARGIN = 0.3  # around the box, in its longer sides
MIN_FACE_PX = 20.0  # px: longer side of the smallest face that is cut
MAX_CROP_PX = 144  # px: larger crops are scaled down


@click.command()
@click.argument("faces", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--masked-every", default=1, show_default=True, help="Of the masked faces, one in so many.")
def main(faces: Path, out: Path, masked_every: int) -> None:
    """Cut every face of a COCO file, or of a labelme folder."""
    if out.exists() and any(out.iterdir()):
        raise DataError(f"{out} holds files already; choose another folder")
    seen, cut = Counter[str](), Counter[str]()
    for example in progress_bar(
        [e for part in read_detection_dataset(faces).splits.values() for e in part], description="cutting"
    ):
        sides = (example.boxes[:, 2:] - example.boxes[:, :2]).max(1, initial=0)
        if not (sides >= MIN_FACE_PX).any():
            continue
        image = example.read()
        masked = example.mask_states or (-1,) * len(sides)
        for number in np.flatnonzero(sides >= MIN_FACE_PX).tolist():
            kind = MASKED if masked[number] == 1 else OTHERS
            seen[kind] += 1
            if kind == MASKED and seen[kind] % masked_every:
                continue
            (out / kind).mkdir(parents=True, exist_ok=True)
            side = min(MAX_CROP_PX, round(float(sides[number]) * (1 + 2 * CROP_MARGIN)))
            face = crop_face(image, Box(*example.boxes[number].tolist()), CROP_MARGIN, (side, side))
            write_jpeg(out / kind / f"{example.path.stem}_{number}.jpg", face)
            cut[kind] += 1
    click.echo(", ".join(f"{n} {kind}" for kind, n in sorted(cut.items())))


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except PocketsightError as error:
        raise SystemExit(f"Error: {error}") from None
