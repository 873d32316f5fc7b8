"""pocketsight: find faces with a camera on a Raspberry Pi or Coral board, follow them and classify them.

    from pocketsight import Pipeline, load_model, open_camera

    pipeline = Pipeline(load_model("detector"), load_model("classifier"))
    with open_camera("0") as camera:
        for frame in camera:
            for face in pipeline(frame).faces:
                print(face.track_id, face.box, face.label, face.score)

Images are NumPy arrays (height, width, 3), RGB, uint8. Boxes are in pixels of the frame, scores 0..1, times in seconds.
Every error that pocketsight raises on purpose is a PocketsightError. scripts/examples/ has more examples.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pocketsight.device.annotators.blur import blur_faces
    from pocketsight.device.annotators.labels import annotate
    from pocketsight.device.camera.base import Camera, Frame
    from pocketsight.device.camera.factory import open_camera
    from pocketsight.device.errors import PocketsightError
    from pocketsight.device.inference.classifier import Classification, classify
    from pocketsight.device.inference.detector import Detection, detect
    from pocketsight.device.inference.interpreter import Model
    from pocketsight.device.inference.manifest import ModelSpec
    from pocketsight.device.inference.model_loader import load_model
    from pocketsight.device.results import FaceResult, FrameResult
    from pocketsight.device.runtime.config import RunConfig
    from pocketsight.device.runtime.loop import run
    from pocketsight.device.runtime.pipeline import Pipeline
    from pocketsight.device.tracking.tracker import Track, Tracker, TrackerConfig
    from pocketsight.device.tracking.zones import Zone
    from pocketsight.device.vision.boxes import Box

__all__ = [
    "Box",
    "Camera",
    "Classification",
    "Detection",
    "FaceResult",
    "Frame",
    "FrameResult",
    "Model",
    "ModelSpec",
    "Pipeline",
    "PocketsightError",
    "RunConfig",
    "Track",
    "Tracker",
    "TrackerConfig",
    "Zone",
    "annotate",
    "blur_faces",
    "classify",
    "detect",
    "load_model",
    "open_camera",
    "run",
]

# The module of each name, below pocketsight.device. They are imported on first use, so that importing pocketsight is
# fast and needs neither NumPy nor OpenCV.
_MODULES = {
    "Box": "vision.boxes",
    "Camera": "camera.base",
    "Classification": "inference.classifier",
    "Detection": "inference.detector",
    "FaceResult": "results",
    "Frame": "camera.base",
    "FrameResult": "results",
    "Model": "inference.interpreter",
    "ModelSpec": "inference.manifest",
    "Pipeline": "runtime.pipeline",
    "PocketsightError": "errors",
    "RunConfig": "runtime.config",
    "Track": "tracking.tracker",
    "Tracker": "tracking.tracker",
    "TrackerConfig": "tracking.tracker",
    "Zone": "tracking.zones",
    "annotate": "annotators.labels",
    "blur_faces": "annotators.blur",
    "classify": "inference.classifier",
    "detect": "inference.detector",
    "load_model": "inference.model_loader",
    "open_camera": "camera.factory",
    "run": "runtime.loop",
}


def __getattr__(name: str) -> Any:
    """Import a public name, or read the version, on its first use (PEP 562)."""
    if name == "__version__":
        value: Any = import_module(f"{__name__}.device.system.install_hint").installed_version()
    elif name in _MODULES:
        value = getattr(import_module(f"{__name__}.device.{_MODULES[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
