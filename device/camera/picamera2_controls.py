"""Controls of a Pi camera: names and values of libcamera, as texts of the command line."""

from __future__ import annotations

from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from pocketsight.device.errors import CameraError

CONTINUOUS_FOCUS = 2  # AfModeEnum.Continuous
ENUM_SUFFIX = "Enum"


def make_controls(available: dict[str, Any], wanted: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """The values for picamera2's set_controls; lenses that can focus do so, unless `wanted` says otherwise.

    `available` is its camera_controls: name -> (minimum, maximum, default). Raises CameraError for a control that the
    camera does not have, and for a value out of range.
    """
    controls = {name: _parse(name, text, available) for name, text in wanted}
    if "AfMode" in available and not controls.keys() & {"AfMode", "LensPosition"}:
        controls["AfMode"] = CONTINUOUS_FOCUS
    return controls


def _parse(name: str, text: str, available: dict[str, Any]) -> Any:
    if name not in available:
        near = get_close_matches(name, available, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise CameraError(f"the Pi camera has no control {name!r}; {hint}it has {', '.join(sorted(available))}")
    lowest, highest, *_ = available[name] if isinstance(available[name], tuple) else (None, None)
    values = [_parse_value(name, part.strip()) for part in text.split(",")]
    for value in values:
        if value is None:
            raise CameraError(f"{name}={text}: the value must be a number, true, false or a name of libcamera")
        with suppress(TypeError):  # controls of arrays have no comparable limits
            if (lowest is not None and value < lowest) or (highest is not None and value > highest):
                raise CameraError(f"{name}={text} is out of range: this camera takes {lowest} to {highest}")
    if isinstance(lowest, bool):
        values = [bool(value) for value in values]
    return values[0] if len(values) == 1 else tuple(values)


def _parse_value(name: str, text: str) -> Any:
    """A bool, a number or the number of an enumerated name; None if it is none of them."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    with suppress(Exception):  # no libcamera, or no enumeration of this name
        from libcamera import controls

        members = getattr(controls, name + ENUM_SUFFIX)
        return int(getattr(members, text))
    return None
