"""Which checks there are, in the order of the screen."""

from __future__ import annotations

from pathlib import Path

from pocketsight.device.doctor import hardware, packages, system
from pocketsight.device.doctor.finding import Check
from pocketsight.device.health.board import machine, read_board
from pocketsight.device.health.clock import synced


def checks(
    detector: Path, sentiment: Path, shipped: Path, folder: Path, port: int, config: Path | None = None
) -> list[tuple[str, Check]]:
    """All of them, for these models, `shipped` as one that is known to be whole, the log's folder, the page's port."""
    here, board = machine(), hardware.told_by_firmware(read_board(folder))
    pi = "raspberry pi" in (here.model or "").lower()
    folder = folder.absolute()
    compiled = [path.with_name(f"{path.stem}_edgetpu.tflite") for path in (detector, sentiment)]
    return [
        ("board", lambda: hardware.board(here)),
        ("Python", packages.python),
        ("interpreter", lambda: packages.interpreter(shipped)),
        ("OpenCV", packages.opencv),
        ("models", lambda: packages.models(detector, sentiment)),
        ("picamera2", lambda: packages.picamera2(pi)),
        ("camera", lambda: hardware.camera(pi)),
        ("rights", hardware.groups),
        ("Coral", lambda: hardware.coral(compiled=compiled)),
        ("heat", lambda: hardware.heat(board)),
        ("power", lambda: hardware.power(board)),
        ("disk", lambda: system.disk(board, folder)),
        ("wear", lambda: system.wear(board)),
        ("swap", system.swap),
        ("clock", lambda: system.clock(synced())),
        ("settings", lambda: system.config(config) if config else None),
        ("port", lambda: system.port(port)),
        ("extras", packages.extras),
    ]
