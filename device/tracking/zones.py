"""Zones: the parts of the frame in which faces count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pocketsight.device.errors import SettingsError
from pocketsight.device.vision.boxes import Box


class Zone(NamedTuple):
    """A polygon. Its points are x, y as fractions (0..1) of the width and height of the frame."""

    points: tuple[tuple[float, float], ...]

    def contains(self, x: float, y: float) -> bool:
        """Whether a point (fractions of the frame) is inside.

        A ray from a point inside to the right crosses the border an odd number of times.
        """
        inside = False
        previous_x, previous_y = self.points[-1]
        for px, py in self.points:
            if (py > y) != (previous_y > y) and x < px + (y - py) / (previous_y - py) * (previous_x - px):
                inside = not inside
            previous_x, previous_y = px, py
        return inside


def parse_zone(text: str) -> Zone:
    """Parse `x,y x,y ...` in fractions of the frame: two points are opposite corners, more points are a polygon.

    Raises SettingsError when the text is not such a list, or has no area.
    """
    try:
        points = [tuple(map(float, point.split(","))) for point in text.split()]
    except ValueError:
        points = []
    if len(points) < 2 or not all(len(p) == 2 and all(0 <= number <= 1 for number in p) for p in points):
        raise SettingsError(
            f"zone {text!r} is not two or more points x,y in fractions of the frame, such as '0,0.5 1,1'"
        )
    if len({x for x, _ in points}) < 2 or len({y for _, y in points}) < 2:
        raise SettingsError(f"zone {text!r} has no area, so it would ignore every face")
    if len(points) == 2:
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return Zone(tuple((x, y) for x, y in points))


def in_zones(box: Box, size: Sequence[int], zones: Sequence[Zone]) -> bool:
    """Whether the center of a box, in pixels of a frame of `size` (height, width, ...), is in one of the zones.

    Always true without zones.
    """
    x, y = box.center
    return not zones or any(zone.contains(x / size[1], y / size[0]) for zone in zones)
