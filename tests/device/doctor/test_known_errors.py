"""Error messages as people have posted them, and the fixes that they lead to."""

import re

import pytest

from pocketsight.device.doctor import known_errors
from pocketsight.device.runtime.config import OPTIONS
from pocketsight.device.system.install_hint import install_command

# Messages of libraries; each is what people have posted

MESSAGES = {
    "A module that was compiled using NumPy 1.x cannot be run in\nNumPy 2.1.3 as it may crash.": "tflite-runtime",
    "AttributeError: _ARRAY_API not found": "uninstall tflite-runtime",
    "ImportError: numpy.core.multiarray failed to import": "uninstall tflite-runtime",
    "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96 from C header, got 88 from "
    "PyObject": "pip uninstall numpy",
    "ModuleNotFoundError: No module named 'picamera2'": "--system-site-packages",
    "ModuleNotFoundError: No module named 'libcamera'": "--system-site-packages",
    "ERROR: No matching distribution found for tflite-runtime": install_command("board"),
    "error: externally-managed-environment": "venv",
    "ValueError: Didn't find op for builtin opcode 'CONV_2D' version '5'. An older version of this builtin might be "
    "supported. Are you using an old TFLite binary with a newer model?": "--upgrade ai-edge-litert",
    "Op builtin_code out of range: 150. Are you using old TFLite binary with newer model?": "--upgrade ai-edge-litert",
    "RuntimeError: Regular TensorFlow ops are not supported by this interpreter. Make sure you apply/link the Flex "
    "delegate before inference.": "export tflite",
    "RuntimeError: Encountered unresolved custom op: edgetpu-custom-op.": "libedgetpu1-std",
    "ValueError: Failed to load delegate from libedgetpu.so.1": "plugdev",
    "OSError: libedgetpu.so.1: cannot open shared object file: No such file or directory": "libedgetpu1-std",
    "More than one subgraph is not supported": "export tflite",
    "<jemalloc>: Unsupported system page size": "kernel8.img",
    "ImportError: libGL.so.1: cannot open shared object file: No such file or directory": "headless",
    "OSError: libgomp.so.1: cannot allocate memory in static TLS block": "LD_PRELOAD",
    "ImportError: /lib/aarch64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found": "upgrade",
    "RuntimeError: Camera __init__ sequence did not complete.": "uses the camera",
    "Pipeline handler in use by another process": "uses the camera",
    "OSError: [Errno 16] Device or resource busy": "uses the camera",
    "Camera frontend has timed out!": "ribbon",
    "ERROR: *** no cameras available ***": "ribbon",
    "[0:24:11.019] ERROR RPI dma_heaps.cpp:53 Could not open any dmaHeap device": "usermod -aG video",
    "[ WARN:0@10.0] global cap_v4l.cpp:1136 tryIoctl VIDEOIO(V4L2:/dev/video0): select() timeout.": "no images",
    "VIDIOC_STREAMON: No space left on device": "USB bus",
    "PermissionError: [Errno 13] Permission denied: '/dev/video0'": "usermod -aG video",
    "sqlite3.DatabaseError: database disk image is malformed": "renames it",
    "sqlite3.OperationalError: database is locked": "two programs",
    "OSError: [Errno 28] No space left on device": "free some space",
    "OSError: [Errno 30] Read-only file system": "dmesg",
}


@pytest.mark.parametrize(("message", "fix"), MESSAGES.items(), ids=lambda text: text[:40])
def test_known_messages_lead_to_their_fix(message: str, fix: str) -> None:
    assert fix in (known_errors.find_fix(f"Traceback (most recent call last):\n{message}\n") or "")


def test_every_pattern_stands_for_a_message_in_these_tests() -> None:
    used = {known_errors.find_fix(message) for message in MESSAGES}
    extra = "No module named 'cv2'", "No module named 'numpy'", "No module named 'paho'", "No module named 'uvicorn'"
    used |= {known_errors.find_fix(message) for message in (*extra, "No module named 'tflite_runtime'", "SIGILL")}
    used |= {
        known_errors.find_fix(f"{name}: cannot open shared object file") for name in ("libcblas.so.3", "libgomp.so.1")
    }
    assert {fix for _, fix in known_errors.KNOWN_ERRORS} <= used


def test_other_messages_are_not_known() -> None:
    assert known_errors.find_fix("ZeroDivisionError: division by zero") is None


def test_no_fix_names_an_option_that_does_not_exist_or_gives_our_name_to_pip() -> None:
    options = {spec.flag for spec in OPTIONS.values()}
    for _, fix in known_errors.KNOWN_ERRORS:
        for word in re.findall(r"--(?:log|threads|resolution|camera|max)[a-z-]*", fix):
            assert word in options, fix
        assert "--threads auto" not in fix and not re.search(r"pip install\s+'?pocketsight", fix)
