"""Which checks there are, in the order of the screen."""

from __future__ import annotations

from pathlib import Path

from pocketsight.device.doctor import hardware, packages, system
from pocketsight.device.doctor.report import Check
from pocketsight.device.system.clock import clock_synced
from pocketsight.device.system.sensors import read_board_info, read_sensors


def make_checks(
    detector: Path, classifier: Path, reference_model: Path, folder: Path, port: int, check_config: Check | None = None
) -> list[tuple[str, Check]]:
    """All of them, for these models, `shipped` as one that is known to be whole, the log's folder, the page's port."""
    board, reading = read_board_info(), hardware.add_firmware_flags(read_sensors(folder))
    pi = "raspberry pi" in (board.model or "").lower()
    folder = folder.absolute()
    compiled = [path.with_name(f"{path.stem}_edgetpu.tflite") for path in (detector, classifier)]
    return [
        ("board", lambda: hardware.check_board(board)),
        ("Python", packages.check_python),
        ("interpreter", lambda: packages.check_interpreter(reference_model)),
        ("OpenCV", packages.check_opencv),
        ("models", lambda: packages.check_models(detector, classifier)),
        ("picamera2", lambda: packages.check_picamera2(pi)),
        ("camera", lambda: hardware.check_camera(pi)),
        ("rights", hardware.check_permissions),
        ("Coral", lambda: hardware.check_coral(compiled=compiled)),
        ("heat", lambda: hardware.check_temperature(reading)),
        ("power", lambda: hardware.check_power(reading)),
        ("disk", lambda: system.check_disk(reading, folder)),
        ("wear", lambda: system.check_wear(reading)),
        ("swap", system.check_swap),
        ("clock", lambda: system.check_clock(clock_synced())),
        ("settings", check_config or (lambda: None)),
        ("port", lambda: system.check_port(port)),
        ("extras", packages.check_extras),
    ]
