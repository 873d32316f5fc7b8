"""A check of what a camera sees: one frame of it, in a child process, since a driver can hang."""

from __future__ import annotations

import json
from pathlib import Path

from pocketsight.device.camera.devices import find_holders, list_camera_names
from pocketsight.device.doctor.probe import run_probe
from pocketsight.device.doctor.report import Finding
from pocketsight.device.inference.shipped import DETECTOR
from pocketsight.device.system.paths import ROOT

VIEW_TIMEOUT = 120.0  # seconds; as of the other probes
VIEW_PROBE = """
import json, sys, time
from pathlib import Path
from pocketsight.device.camera import open_camera
from pocketsight.device.camera.options import CameraOptions
from pocketsight.device.camera.orientation import detect_in_turns, find_needed_rotation
from pocketsight.device.errors import PocketsightError
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.vision.turn import Turn
source, detector, settings = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3])
try:
    with open_camera(source, options=CameraOptions(Turn(settings["rotate"], settings["mirror"]))) as camera:
        frame, end = None, time.monotonic() + 3  # exposure and focus need a moment
        while time.monotonic() < end and not camera.ended:
            frame = camera.read(0.2) or frame
    faces = detect_in_turns(frame.image, load_on_cpu(detector, "detector", 1)) if frame else None
    print(json.dumps({"error": "" if frame else "it gave no frame", "needed": faces and find_needed_rotation(faces),
                      "faces": faces and len(faces[0])}))
except PocketsightError as error:
    print(json.dumps({"error": str(error)}))
"""


def check_view(source: str = "auto", rotate: int = 0, mirror: bool = False, root: Path = ROOT) -> Finding | None:
    """Are the images upright? None for a camera of this machine that is missing or in use.

    `source`, `rotate` and `mirror` are the settings of the run.
    """
    is_of_this_machine = "://" not in source and not Path(source).is_file()
    devices = [*list_camera_names(root), *sorted(root.glob("dev/media*"))]
    if is_of_this_machine and (not devices or find_holders(devices, root)):
        return None
    settings = json.dumps({"rotate": rotate, "mirror": mirror})
    result = run_probe(VIEW_PROBE, [source, DETECTOR, settings], VIEW_TIMEOUT)
    problem = result.output["error"] if result.output else result.last_line
    if problem or not result.output:
        return Finding("view", "warn", f"no image: {problem}", "pocketsight camera test")
    if needed := result.output["needed"]:
        from pocketsight.device.camera.orientation import describe_rotation

        fix = f"use --rotate {(needed + rotate) % 360}, or rotate = {(needed + rotate) % 360} under [camera]"
        return Finding("view", "warn", describe_rotation(needed), fix)
    count = result.output["faces"]
    return Finding("view", "ok", f"{count} face(s) in a frame, upright" if count else "a frame without faces")
