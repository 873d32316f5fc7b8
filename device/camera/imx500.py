"""The network in the sensor of a Raspberry Pi AI Camera, the IMX500, through picamera2.

The camera loads the network before it starts, which may take minutes. Then each frame comes with the outputs of the
network for that frame. Where they are missing or are not those of the manifest, the frame comes alone, and the board's
processor runs its own network.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from pocketsight.device.errors import ModelError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.inference.imx500_file import INSTALL_COMMAND
from pocketsight.device.inference.manifest import ModelSpec
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.inference.sensor import (
    Rectangle,
    SensorOutputs,
    Tensor,
    input_in_frame,
    name_outputs,
    require_steps,
)
from pocketsight.device.system.sd_notify import notify

logger = logging.getLogger(__name__)

FAULT_NAME = "imx500 lost"
UPLOAD_TIMEOUT = 600.0  # seconds
UPLOAD_STAGE = 2  # of the firmware: the network, after the loader and the main program
PROGRESS_INTERVAL = 1.0  # seconds
MAX_SILENCE = 3.0  # seconds without outputs, after which the board's processor takes over
# picamera2 before the spring of 2026 must read the progress of the upload there.
DEBUGFS_HINT = "update python3-picamera2, or let a user in the group sudo run this: it needs /sys/kernel/debug"
OUTPUTS_KEY, CROP_KEY = "CnnOutputTensor", "ScalerCrop"  # of libcamera's metadata


class SensorNetwork:
    """The network that a camera shall run: `rpk` is its file, `spec` the manifest.

    The thread of the camera calls it. Faults are reported once when they begin and once when they end.
    """

    def __init__(self, rpk: Path, spec: ModelSpec, report_fault: FaultReporter) -> None:
        self.rpk, self.spec, self.report_fault = rpk, spec, report_fault
        self.device: Any = None  # picamera2's IMX500
        self.problem = ""  # why the board's processor runs the detector
        self.is_checked = False  # whether the numbers of this camera were compared with the manifest
        self.last_outputs = -math.inf  # monotonic seconds

    def load(self, number: int) -> None:
        """Choose the network for the Pi camera `number`, before Picamera2 opens it. A failure becomes a fault."""
        self.device, self.is_checked, self.last_outputs = None, False, time.monotonic()
        try:
            device = self._open(number)
            self._require_input(device.config)
        except Exception as error:  # no such module, no such camera, a refused file, ...
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._lost(f"{reason}; {DEBUGFS_HINT}" if isinstance(error, PermissionError) else reason)
            return
        self.device = device

    def _open(self, number: int) -> Any:
        try:
            from picamera2.devices.imx500 import IMX500
        except ImportError as error:
            raise ModelError(f"picamera2 has no IMX500 ({error}): {INSTALL_COMMAND}") from error
        device = IMX500(str(self.rpk))
        if getattr(device, "camera_num", number) != number:
            raise ModelError(f"the AI Camera is pi:{device.camera_num}, not pi:{number}")
        device.set_auto_aspect_ratio()  # else the sensor distorts its picture to the shape of the input
        return device

    def _require_input(self, config: Mapping[str, Any]) -> None:
        height, width = self.spec.input_size
        found = tuple(config["input_tensor_size"])
        order = config["input_tensor"].get("input_format", "RGB")
        if found != (width, height) or order != "RGB":
            raise ModelError(
                f"{self.rpk.name} takes {order} of {found[0]}x{found[1]}, the manifest has RGB of {width}x{height}"
            )

    @contextmanager
    def show_progress(self) -> Iterator[None]:
        """Log the progress of the upload while the camera starts, and ask systemd for patience."""
        stop = threading.Event()
        if self.device is not None:
            logger.info("the AI Camera loads %s, which may take minutes the first time", self.rpk.name)
            threading.Thread(target=self._log_progress, args=(stop,), name="imx500", daemon=True).start()
        try:
            yield
        finally:
            stop.set()
            self.last_outputs = time.monotonic()

    def _log_progress(self, stop: threading.Event) -> None:
        logged = 0
        while not stop.wait(PROGRESS_INTERVAL):
            notify(f"EXTEND_TIMEOUT_USEC={int(10e6 * PROGRESS_INTERVAL)}")
            with suppress(Exception):  # the files of the driver appear and vanish
                done, total = self.device.get_fw_upload_progress(UPLOAD_STAGE)
                percent = 100 * done // total if total else 0
                if percent >= logged + 10:
                    logged = percent
                    logger.info("the AI Camera has loaded %d %% of %.1f MB", percent, total / 1e6)

    def awaits(self, metadata: Mapping[str, Any]) -> bool:
        """Whether a frame came without outputs, while the next ones may have them: it can be left out."""
        if self.device is None or metadata.get(OUTPUTS_KEY):
            return False
        return not self.problem and time.monotonic() - self.last_outputs < MAX_SILENCE

    def read(self, metadata: Mapping[str, Any], frame_size: tuple[int, int]) -> SensorOutputs | None:
        """The outputs for a frame of this size (height, width), from its own metadata; None where there are none."""
        if self.device is None:
            return None
        try:
            outputs = self._read(metadata, frame_size)
        except Exception as error:  # also what picamera2 raises for metadata of another version
            self._lost(str(error))
            return None
        self.last_outputs = time.monotonic()
        if self.problem:
            self.problem = ""
            self.report_fault(FAULT_NAME, False, "the camera runs the detector again")
        return outputs

    def _read(self, metadata: Mapping[str, Any], frame_size: tuple[int, int]) -> SensorOutputs:
        arrays: list[Tensor] | None = self.device.get_outputs(metadata)
        if not arrays or CROP_KEY not in metadata:
            missing = CROP_KEY if arrays else OUTPUTS_KEY
            raise ModelError(
                f"its frames have no {missing}; is the firmware of the sensor installed? {INSTALL_COMMAND}"
            )
        expected = self.spec.imx500["outputs"]
        named = name_outputs(arrays, expected)
        if not self.is_checked:
            require_steps(named, expected)
            self.is_checked = True
        scale, offset = input_in_frame(
            _sides(self.device.config["roi"]), metadata[CROP_KEY], self.spec.input_size, frame_size
        )
        times = self.device.get_kpi_info(metadata)
        return SensorOutputs(
            {name: QuantizedTensor(np.ascontiguousarray(values)) for name, values in named.items()},
            self.spec,
            scale,
            offset,
            times and float(times[0]),
        )

    def _lost(self, reason: str) -> None:
        if not self.problem:
            self.report_fault(FAULT_NAME, True, f"{reason}; the board's processor runs the detector")
        self.problem = reason
        self.is_checked = False


def _sides(rectangle: Any) -> Rectangle:
    """Left, top, width and height of libcamera's Rectangle."""
    return rectangle.x, rectangle.y, rectangle.width, rectangle.height
