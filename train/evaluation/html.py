"""The look of our HTML pages: one file each, pictures within it, nothing from a network."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from html import escape

import cv2

from pocketsight.device.vision.image import Image, to_rgb
from pocketsight.device.vision.resize import resize

STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #3a7bd5 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin: 2rem 0 .2rem } p { margin: .2rem 0 .8rem }
table { border-collapse: collapse } td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
td.n { text-align: right; font-variant-numeric: tabular-nums }
.bar { display: inline-block; height: .7rem; background: var(--bar) }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: .8rem }
figure { margin: 0; border: 1px solid var(--line); padding: .4rem; border-radius: .4rem; overflow-wrap: anywhere }
figure > div { display: flex; gap: .3rem; justify-content: center; margin-bottom: .3rem }
figure img { min-width: 0; object-fit: contain } figcaption { font-size: .8rem }
.none { height: 80px; display: grid; place-items: center; color: #888 } .tag { opacity: .7; font-size: .85rem }
"""


def page_header(title: str) -> str:
    """The page as far as its headline."""
    name = escape(title)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><h1>{name}</h1>'
    )


def jpeg_base64(image: Image) -> str:
    """An RGB image (H, W, 3) as a JPEG in base64."""
    _, data = cv2.imencode(".jpg", to_rgb(image), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return base64.b64encode(data.tobytes()).decode()


def shrink(image: Image, max_side: int) -> tuple[Image, float]:
    """The image, scaled down until its longer side is `most` px or less, and the scale."""
    scale = min(1.0, max_side / max(image.shape[:2]))
    return resize(image, (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))), scale


def img_tag(data: str, alt: str) -> str:
    """An <img> of a JPEG in base64, or a gap where there is none."""
    if not data:
        return '<div class="none">no picture</div>'
    return f'<img src="data:image/jpeg;base64,{data}" alt="{escape(alt)}" loading="lazy">'


def bar_table(counts: Mapping[str, int]) -> Iterator[str]:
    """A table of counts, as bars."""
    most = max(counts.values(), default=1) or 1
    yield "<table>"
    for what, count in counts.items():
        width = round(260 * count / most)
        yield f'<tr><td>{escape(what)}</td><td class="n">{count}</td><td>{bar_span(width)}</td></tr>'
    yield "</table>"


def bar_span(width: int) -> str:
    return f'<span class="bar" style="width:{width}px"></span>'
