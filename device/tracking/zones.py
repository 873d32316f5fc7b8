"""Where in the frame faces count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pocketsight.device.errors import SettingsError
from pocketsight.device.vision.boxes import Box


class Zone(NamedTuple):
    """A polygon; its points are x, y in shares of the frame's width and height."""

    points: tuple[tuple[float, float], ...]

    def contains(self, x: float, y: float) -> bool:
        """Whether a point lies within: a ray from it to the right crosses the border an odd number of times."""
        inside = False
        before_x, before_y = self.points[-1]
        for px, py in self.points:
            if (py > y) != (before_y > y) and x < px + (y - py) / (before_y - py) * (before_x - px):
                inside = not inside
            before_x, before_y = px, py
        return inside


def parse_zone(text: str) -> Zone:
    """`x,y x,y …` in shares of the frame: two points are opposite corners, more are a polygon. Raises SettingsError."""
    try:
        points = [tuple(map(float, point.split(","))) for point in text.split()]
    except ValueError:
        points = []
    if len(points) < 2 or not all(len(p) == 2 and all(0 <= number <= 1 for number in p) for p in points):
        raise SettingsError(
            f"zone {text!r} is not two or more points x,y in shares of the frame, 0 to 1, as '0,0.5 1,1'"
        )
    if len({x for x, _ in points}) < 2 or len({y for _, y in points}) < 2:
        raise SettingsError(f"zone {text!r} has no area: no face could ever lie within")
    if len(points) == 2:
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return Zone(tuple((x, y) for x, y in points))


def in_zones(box: Box, size: Sequence[int], zones: Sequence[Zone]) -> bool:
    """Whether the middle of a box, in pixels of a frame of `size` = (height, width, ...), lies in a zone.

    Without zones everything counts.
    """
    x, y = (box.left + box.right) / 2 / size[1], (box.top + box.bottom) / 2 / size[0]
    return not zones or any(zone.contains(x, y) for zone in zones)
