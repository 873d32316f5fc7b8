"""errors.html of detector and classifier together: photographs with a wrong label, without a face, or unsure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pocketsight.device.errors import DataError
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.vision.crop import crop_face
from pocketsight.device.vision.image import read_image
from pocketsight.device.vision.letterbox import letterbox
from pocketsight.train.contact_sheet import BLUE, draw_boxes
from pocketsight.train.evaluation.error_page import Section, Tile, write_error_page
from pocketsight.train.evaluation.pipeline import PipelineResult, is_known
from pocketsight.train.html_page import jpeg_base64, shrink

MAX_TILES = 24  # tiles of one kind
TILE_SIZE = 140  # px, longer side of a photograph
FACE_TILE_SIZE = 80, 80  # px, its face
NOTES = {
    "wrong": "Highest scores first.",
    "no face": "Check whether there is a face to detect: turned away, hidden, small, cut off.",
    "unsure": "Highest scores first.",
}


def write_pipeline_errors(
    results: Sequence[PipelineResult], spec: ModelSpec, frame_size: tuple[int, int], target: Path
) -> None:
    """Write the page. `spec` is that of the classifier. Raises DataError when it cannot be written."""
    shown = [r for r in results if is_known(r, spec.reported_labels) or r.outcome == "wrong"]
    sections = []
    for outcome, note in NOTES.items():
        chosen = sorted((r for r in shown if r.outcome == outcome), key=lambda result: -_score(result))
        tiles = [_tile(result, spec, frame_size) for result in chosen[:MAX_TILES]]
        sections.append(Section(f"{outcome}: {len(chosen)}", note, tiles))
    summary = f"{len(results)} photographs. The largest face of each counts."
    write_error_page(target, "Detector and classifier on whole photographs: errors", summary, [], sections)


def _score(result: PipelineResult) -> float:
    return result.classification.score if result.classification else 0.0


def _tile(result: PipelineResult, spec: ModelSpec, frame_size: tuple[int, int]) -> Tile:
    """The photograph with the box of its largest face, and the face as the classifier gets it."""
    path, found = result.sample.path, result.classification
    name = f"{path.parent.name}/{path.name}"
    caption = [f"{spec.labels[found.best_index]} {found.score:.2f}", name] if found else [name]
    try:
        image = read_image(path)
    except DataError:
        return Tile([("", name)], caption)
    tile, scale = shrink(image, TILE_SIZE)
    if not result.box:
        return Tile([(jpeg_base64(tile), name)], caption)
    frame, to_frame = letterbox(image, frame_size)
    box = np.array(result.box, np.float32) * (scale / to_frame)
    face = crop_face(frame, result.box, spec.crop_margin, FACE_TILE_SIZE)
    images = [(jpeg_base64(draw_boxes(tile, [(box, BLUE)])), name), (jpeg_base64(face), f"the face in {name}")]
    return Tile(images, caption)
