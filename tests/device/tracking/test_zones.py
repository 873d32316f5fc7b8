import pytest
from hypothesis import given
from hypothesis import strategies as st

from pocketsight.device.errors import SettingsError
from pocketsight.device.tracking.zones import in_zones, parse_zone
from pocketsight.device.vision.boxes import Box

FRAME = 100, 200, 3


def at(x: float, y: float) -> Box:
    return Box(x - 5, y - 5, x + 5, y + 5)


def test_two_points_are_a_rectangle_and_a_face_counts_by_its_middle() -> None:
    zones = [parse_zone("0,0.5 1,1")]
    assert in_zones(at(100, 60), FRAME, zones)
    assert not in_zones(at(100, 40), FRAME, zones)


def test_without_zones_everything_counts() -> None:
    assert in_zones(at(1, 1), FRAME, [])


def test_a_face_in_any_zone_counts() -> None:
    zones = [parse_zone("0,0 0.2,0.2"), parse_zone("0.8,0.8 1,1")]
    assert in_zones(at(10, 5), FRAME, zones) and in_zones(at(190, 95), FRAME, zones)
    assert not in_zones(at(100, 50), FRAME, zones)


def test_a_polygon_with_a_dent() -> None:
    zone = parse_zone("0,0 1,0 1,1 0.5,0.2 0,1")
    assert zone.contains(0.1, 0.5) and zone.contains(0.9, 0.5)
    assert not zone.contains(0.5, 0.5)


@given(x=st.floats(0.01, 0.99), y=st.floats(0.01, 0.99))
def test_a_triangle_is_what_lies_below_its_diagonal(x: float, y: float) -> None:
    if abs(x - y) > 1e-6:
        assert parse_zone("0,0 1,1 0,1").contains(x, y) == (y > x)


def test_a_zone_without_area_is_refused() -> None:
    for text in ("0,0 0,0", "0.5,0 0.5,1", "0,0.3 0.5,0.3 1,0.3"):
        with pytest.raises(SettingsError, match="has no area"):
            parse_zone(text)


@pytest.mark.parametrize("text", ["", "0,0", "a,b c,d", "0,0 1", "0,0 2,1", "0,0 1,nan", "0;0 1;1"])
def test_what_is_no_zone_is_told(text: str) -> None:
    with pytest.raises(SettingsError, match="points x,y in fractions of the frame"):
        parse_zone(text)
