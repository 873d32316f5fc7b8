"""An AI Camera for tests: picamera2's IMX500 with metadata as libcamera packs them, of a network that really runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pocketsight.device.inference.checksum import compute_checksum
from pocketsight.device.inference.imx500_file import PACKED_NETWORK
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.inference.shipped import DETECTOR, EXAMPLE_IMAGE
from pocketsight.device.vision.image import Image, read_image
from tests.support.cameras import LIBCAMERA, PICAMERA2

SCALES = {"score": 1 / 256, "box": 1 / 32}  # of the outputs of the shipped detectors, as Sony's tools choose them
SHRINK = 4  # pixels of the sensor for one of a scene

CAMERA = (
    PICAMERA2.replace("(3280, 2464)", "(4056, 3040)").replace('"Model": "imx219"', '"Model": "imx500"')
    + '''
import cv2, struct
state |= {"scenes": [], "network": None, "input_size": (384, 288), "sent": lambda number, metadata: metadata,
          "scaled": None,  # the network's input from a frame; None: from the sensor's own pixels, as a camera does it
          "exposed": None}  # waits for the exposure of a frame, and returns its time; None: now
def resized(scene, crop, size):
    left, top, width, height = (round(side / 4) for side in crop)
    return cv2.resize(scene[top : top + height, left : left + width], size, interpolation=cv2.INTER_AREA)
class AiRequest(Request):
    def __init__(self, size, form, number):
        exposed = state["exposed"](number) if state["exposed"] else None
        super().__init__(size, form, number)
        self.stamp = exposed or self.stamp
        self.number, self.scene = number, state["scenes"][number % len(state["scenes"])]
        width = min(4056, round(3040 * size[0] / size[1]))
        height = min(3040, round(4056 * size[1] / size[0]))
        self.crop = (4056 - width) // 2, (3040 - height) // 2, width, height  # the middle, in the shape of the stream
    def make_array(self, name): return resized(self.scene, self.crop, self.size)
    def get_metadata(self):
        from picamera2.devices.imx500 import chosen
        metadata = {"SensorTimestamp": self.stamp, "ScalerCrop": self.crop}
        if chosen: metadata |= pack(state["network"](self.network_input(chosen[-1].config["roi"])))
        return state["sent"](self.number, metadata)
    def network_input(self, roi):
        if state["scaled"]: return state["scaled"](self.make_array("main"))
        return resized(self.scene, (roi.x, roi.y, roi.width, roi.height), state["input_size"])
def pack(tensors):
    """As libcamera packs them: numbers of all tensors in a row, each with its first dimension running fastest."""
    info = b"network".ljust(64, b"\\0") + struct.pack("<I", len(tensors))
    for tensor in tensors:
        size = (*tensor.shape, *[0] * (16 - tensor.ndim))
        info += struct.pack("<II16H", tensor.size, tensor.ndim, *size)
    info += bytes((16 - len(tensors)) * 40)
    numbers = numpy.concatenate([tensor.ravel(order="F") for tensor in tensors])
    return {"CnnOutputTensor": tuple(numbers.tolist()), "CnnOutputTensorInfo": info, "CnnKpiInfo": (8250, 500)}
Request = AiRequest
'''
)

IMX500 = '''"""What of picamera2.devices.imx500 we call."""
import pathlib, struct, numpy
from picamera2 import calls, mode, state
chosen = []
class Rectangle:
    def __init__(self, x, y, width, height): self.x, self.y, self.width, self.height = x, y, width, height
class IMX500:
    camera_num = 0
    def __init__(self, network_file, camera_id=""):
        if mode() == "no progress": raise PermissionError(13, "Permission denied", "/sys/kernel/debug/imx500-fw")
        if mode() == "another camera": raise RuntimeError("IMX500: Requested camera dev-node not found")
        if pathlib.Path(network_file).read_bytes()[:3] != b"rpk":
            raise RuntimeError(f"No matching footer found in firmware file {network_file}")
        calls.append(("network", network_file))
        self.config = {"input_tensor_size": state.get("claims", state["input_size"]),
                       "roi": Rectangle(0, 0, 4056, 3040),
                       "input_tensor": {"input_format": state.get("format", "RGB")}}
        chosen.append(self)
    def set_auto_aspect_ratio(self):
        width, height = self.config["input_tensor_size"]
        wide = min(4056, round(3040 * width / height))
        high = min(3040, round(4056 * height / width))
        self.config["roi"] = Rectangle((4056 - wide) // 2, (3040 - high) // 2, wide, high)
    def get_fw_upload_progress(self, stage): return (50_000, 100_000) if stage == 2 else (0, 0)
    def get_outputs(self, metadata):
        numbers = metadata.get("CnnOutputTensor")
        if not numbers: return None
        info, offset, outputs = metadata["CnnOutputTensorInfo"], 0, []
        if len(info) != 64 + 4 + 16 * 40: raise ValueError("tensor info length does not match expected size")
        numbers = numpy.fromiter(numbers, numpy.float32)
        for number in range(struct.unpack_from("<I", info, 64)[0]):
            size, dimensions, *shape = struct.unpack_from("<II16H", info, 68 + 40 * number)
            outputs.append(numbers[offset : offset + size].reshape(shape[:dimensions], order="F"))
            offset += size
        return outputs
    @staticmethod
    def get_kpi_info(metadata):
        times = metadata.get("CnnKpiInfo")
        return times and (times[0] / 1000, times[1] / 1000)
'''


def stand_in_for_ai_camera(folder: Path, monkeypatch: Any, **state: Any) -> Any:
    """picamera2 with an AI Camera; `state` may have scenes, the network and `sent`, which changes the metadata."""
    devices = folder / "picamera2" / "devices"
    devices.mkdir(parents=True, exist_ok=True)
    (devices.parent / "__init__.py").write_text(CAMERA)
    (devices / "__init__.py").touch()
    (devices / "imx500.py").write_text(IMX500)
    (folder / "libcamera.py").write_text(LIBCAMERA)
    monkeypatch.syspath_prepend(folder)
    for name in "libcamera", "picamera2", "picamera2.devices", "picamera2.devices.imx500":
        monkeypatch.setitem(sys.modules, name, None)  # so that the test leaves none behind
        del sys.modules[name]
    import picamera2

    picamera2.state.update({"scenes": moving_scenes(), "network": sensor_network(), **state})
    return picamera2


def moving_scenes(count: int = 8) -> list[Image]:
    """What a sensor of 4056x3040 sees, a quarter as wide: a face that moves by 12 pixels from frame to frame."""
    picture = cv2.resize(read_image(EXAMPLE_IMAGE), (4056 // SHRINK, 3040 // SHRINK), interpolation=cv2.INTER_LINEAR)
    return [np.roll(picture, 12 * number, axis=1) for number in range(count)]


def sensor_network(path: Path = DETECTOR, order: Callable[[str], Any] = str) -> Callable[[Image], list[Any]]:
    """The outputs of a shipped detector in steps as in the sensor, for its inputs, sorted by name with `order`."""
    model = load_on_cpu(path, threads=1)

    def run(image: Image) -> list[Any]:
        outputs = model.infer(image)
        names: Sequence[str] = sorted(outputs, key=order)
        return [_in_steps(name, outputs[name].dequantize()) for name in names]

    return run


def _in_steps(name: str, values: Any) -> Any:
    scale = SCALES[name.partition("_")[0]]
    return np.clip(np.round(values / scale), 0, 255).astype(np.float32) * np.float32(scale)


def write_camera_file(path: Path, model: Path = DETECTOR, facts: dict[str, Any] | None = None) -> Path:
    """A file for the camera with the manifest of a model file, and a packed network that only its checksum knows.

    `facts` are those of the network; None: in the steps of `sensor_network`.
    """
    spec = read_model_file(model)[1]
    height, width = spec.input_size
    outputs = {
        f"{kind}_{stride}": {
            "shape": [height // stride, width // stride, channels],
            "type": "uint8",
            "scale": SCALES[kind],
            "shift": 0,
        }
        for stride in spec.strides
        for kind, channels in (("score", len(spec.labels)), ("box", 4))
    }
    packed = b"packed"
    spec = replace(
        spec, sha256=compute_checksum(packed), imx500=facts or {"memory": "1 MB of 8 MB", "outputs": outputs}
    )
    path.write_bytes(pack_model_file(b"", spec, {PACKED_NETWORK: packed}))
    return path


def install_packager(
    folder: Path, monkeypatch: Any, script: str = 'mkdir -p "$4"; (printf rpk; cat "$2") > "$4/network.rpk"'
) -> None:
    """Raspberry Pi's packager, which comes by apt, as a script that is called in its place."""
    folder.mkdir(exist_ok=True)
    program = folder / "imx500-package"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
