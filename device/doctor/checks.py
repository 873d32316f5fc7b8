"""The list of all checks, in the order of the report."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from pocketsight.device.doctor import hardware, packages, system
from pocketsight.device.doctor.report import Check
from pocketsight.device.doctor.view import check_view
from pocketsight.device.inference.imx500_file import camera_file
from pocketsight.device.inference.shipped import CLASSIFIER
from pocketsight.device.system.clock import clock_synced
from pocketsight.device.system.sensors import read_board_info, read_sensors

ENTRY_POINT_GROUP = "pocketsight.checks"


def make_checks(
    detector: Path,
    classifier: Path | None,
    reference_model: Path,
    folder: Path,
    port: int,
    check_config: Check | None = None,
    check_view_of_run: Check = check_view,
) -> list[tuple[str, Check]]:
    """All checks for these models, the folder of the log, and the port of the web page.

    `reference_model` is a shipped model, which tests the interpreter even where `detector` is damaged. Checks of a
    workstation come through entry points, so nothing in device/ imports them.
    """
    folder = folder.absolute()
    board, reading = read_board_info(), hardware.add_firmware_flags(read_sensors(folder))
    is_pi = "raspberry pi" in (board.model or "").lower()
    compiled = [path.with_name(f"{path.stem}_edgetpu.tflite") for path in (detector, classifier or CLASSIFIER)]
    return [
        ("board", lambda: hardware.check_board(board)),
        ("Python", packages.check_python),
        ("interpreter", lambda: packages.check_interpreter(reference_model)),
        ("OpenCV", packages.check_opencv),
        ("models", lambda: packages.check_models(detector, classifier)),
        ("picamera2", lambda: packages.check_picamera2(is_pi)),
        ("camera", lambda: hardware.check_camera(is_pi)),
        ("permissions", hardware.check_permissions),
        ("view", check_view_of_run),
        ("Coral", lambda: hardware.check_coral(compiled=compiled)),
        ("AI Camera", lambda: hardware.check_ai_camera(files=[camera_file(detector)])),
        ("temperature", lambda: hardware.check_temperature(reading)),
        ("power", lambda: hardware.check_power(reading)),
        ("disk", lambda: system.check_disk(reading, folder)),
        ("wear", lambda: system.check_wear(reading)),
        ("swap", system.check_swap),
        ("clock", lambda: system.check_clock(clock_synced())),
        ("settings", check_config or (lambda: None)),
        ("port", lambda: system.check_port(port)),
        ("extras", packages.check_extras),
        *((entry.name, lambda entry=entry: entry.load()()) for entry in entry_points(group=ENTRY_POINT_GROUP)),
    ]
