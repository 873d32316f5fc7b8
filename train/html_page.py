"""HTML reports: one file each, images embedded, no network access. Templates escape every value (jinja2 autoescape)."""

from __future__ import annotations

import base64
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pocketsight.device.system.surrogates import replace_surrogates
from pocketsight.device.vision.image import Image, encode_jpeg
from pocketsight.device.vision.resize import resize

JPEG_QUALITY = 80


@cache
def _environment() -> Environment:
    """Templates are named by their path below train/, for example "curation/templates/check.html.j2"."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_page(template: str, **values: Any) -> str:
    """The page that a template makes of the values. `template` is a path below train/."""
    return replace_surrogates(_environment().get_template(template).render(values))


def jpeg_base64(image: Image) -> str:
    """An RGB image (H, W, 3) as a JPEG in base64, for the macro `image` of templates/macros.html.j2."""
    return base64.b64encode(encode_jpeg(image, JPEG_QUALITY)).decode()


def shrink(image: Image, max_side: int) -> tuple[Image, float]:
    """The image, scaled down until its longer side is at most `max_side` px, and the scale (1 or less)."""
    scale = min(1.0, max_side / max(image.shape[:2]))
    return resize(image, (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))), scale
