"""Wrong values in the JSON of other tools."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.errors import DataError
from pocketsight.train.datasets.formats.convert import READERS
from tests.support.images import picture
from tests.support.sources import NOTE


def documents() -> dict[str, Any]:
    """A small document of each JSON format."""
    area = {"original_width": 80, "original_height": 60, "id": "r", "from_name": "label"}
    studio = [
        {"type": "rectanglelabels", "value": {"x": 1, "y": 2, "width": 9, "height": 9, "rectanglelabels": ["face"]}},
        {"type": "polygonlabels", "value": {"points": [[1, 2], [3, 4]], "polygonlabels": ["face"]}},
    ]
    rectangle = {"name": "rect", "x": 1, "y": 2, "width": 30, "height": 40}
    outline = {"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 20]}
    regions = [
        {"shape_attributes": shape, "region_attributes": {"n": {"face": True}}} for shape in (rectangle, outline)
    ]
    row = {"id": 7, "file_name": "a.png", "width": 80, "height": 60}
    mask = {"size": [60, 80], "counts": [100, 5, 4695]}
    notes = [NOTE, {"id": 2, "image_id": 7, "category_id": 1, "segmentation": mask, "attributes": {"rotation": 3}}]
    shape = {"label": "face", "points": [[1, 1], [9, 9]], "shape_type": "rectangle", "flags": {"difficult": True}}
    box = {"label": "face", "coordinates": {"x": 1, "y": 2, "width": 3, "height": 4}}
    return {
        "coco": {"images": [row], "annotations": notes, "categories": [{"id": 1, "name": "face"}]},
        "createml": [{"image": "a.png", "annotations": [box]}],
        "labelme": {"shapes": [shape], "imagePath": "a.png", "imageWidth": 80, "imageHeight": 60},
        "labelstudio": [{"data": {"image": "a.png"}, "annotations": [{"result": [area | item for item in studio]}]}],
        "via": {"a": {"filename": "a.png", "regions": regions}},
    }


def places(node: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of every value in a document."""
    for key in list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield node, key
        yield from places(node[key])


@pytest.mark.parametrize("name", documents())
def test_a_wrong_value_anywhere_is_an_error_in_words(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png")
    file = tmp_path / "a.json"
    numbers = itertools.count()
    for bad in (None, "x", 1e999, {"a": 1}):
        document = documents()[name]
        for holder, key in list(places(document)):
            if next(numbers) % 3:  # a third of them is quick
                continue
            kept, holder[key] = holder[key], bad
            file.write_text(json.dumps(document))
            holder[key] = kept
            try:
                READERS[name](tmp_path if name == "labelme" else file, None)
            except DataError as error:
                assert "object" not in str(error).replace("'object'", ""), (key, bad)
