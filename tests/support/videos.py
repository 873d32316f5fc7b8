"""Videos for tests, written by PyAV: any codec, any time stamps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.vision.image import Image

INTERLACED = {  # by codec: its options
    "libx264": {"x264-params": "tff=1", "preset": "ultrafast"},
    "mpeg2video": {"flags": "+ildct+ilme", "qscale": "2"},
}


def corner_scene(size: tuple[int, int] = (96, 128)) -> Image:
    """Gray, with a red upper left corner and a blue upper right one: it shows every turn."""
    image = np.full((*size, 3), 128, np.uint8)
    image[: size[0] // 3, : size[1] // 3] = 220, 30, 30
    image[: size[0] // 3, -size[1] // 3 :] = 30, 30, 220
    return image


def corners(image: Image) -> str:
    """The colors of the corners: upper left, upper right, lower right, lower left; r, b or - each."""
    height, width = image.shape[:2]
    points = [(0.15, 0.15), (0.15, 0.85), (0.85, 0.85), (0.85, 0.15)]
    colors = [image[int(y * height), int(x * width)].astype(int) for y, x in points]
    return "".join("r" if c[0] > c[2] + 60 else "b" if c[2] > c[0] + 60 else "-" for c in colors)


def write_video(
    path: Path,
    images: Sequence[Image],
    stamps: Iterable[float] | None = None,
    codec: str = "libx264",
    rate: int = 25,
    options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    matrix: Sequence[int] | None = None,
    pixel_format: str = "yuv420p",
    **more: Any,
) -> Path:
    """Encode images, shown from the times `stamps` (seconds) on; `matrix` is a display matrix, `aspect` of a pixel."""
    import av

    with av.open(str(path), "w", **more) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixel_format
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if matrix is not None:
            stream.set_display_matrix(matrix)
        times = list(stamps) if stamps is not None else None
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24").reformat(format=pixel_format)
            if times is not None:
                frame.pts, frame.time_base = round(1000 * times[number]), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
