"""Error messages of other libraries, as they print them, and their fixes."""

from __future__ import annotations

import re

from pocketsight.device.inference.coral_devices import INSTALL_COMMAND
from pocketsight.device.system.install_hint import install_command

BOARD_FIX = install_command("board")
OPENCV_FIX = f"{install_command('opencv')}, or on a Raspberry Pi: sudo apt install python3-opencv"
SYSTEM_SITE_FIX = "python3 -m venv --system-site-packages YOUR_VENV (over the old one), and run: pocketsight doctor"
NUMPY_1_FIX = f"pip uninstall tflite-runtime; {BOARD_FIX} (or, on 32 bits: pip install 'numpy<2')"
APT_NUMPY_FIX = "pip uninstall numpy in this environment; apt's picamera2 needs the numpy of apt"
OLD_INTERPRETER_FIX = "the model is newer than the interpreter: pip install --upgrade ai-edge-litert"
LIBEDGETPU_FIX = (
    f"{INSTALL_COMMAND}, from Coral's packages; newer systems need a newer build (see device/inference/README.md)"
)
CAMERA_BUSY_FIX = (
    "another program uses the camera; pocketsight doctor names it; the service: sudo systemctl stop pocketsight"
)
RIBBON_FIX = "switch off, seat both ends of the ribbon, then: rpicam-hello --list-cameras"
HEADLESS_FIX = "pip uninstall opencv-python, pip install opencv-python-headless; it needs no screen"
VIDEO_GROUP_FIX = "sudo usermod -aG video $USER, then log in again"
USB_PORT_FIX = "plug it into another USB port, a blue one, with a short cable; then: lsusb"
DISK_FULL_FIX = "free some space: du -xh / | sort -h | tail; and limit the log with --log-max-total"
KERNEL_FIX = "put kernel=kernel8.img into /boot/firmware/config.txt and reboot"

# (regular expression for a part of the message, fix); the first match counts.
KNOWN_ERRORS: tuple[tuple[str, str], ...] = (
    # Python packages that do not fit together
    (r"compiled using NumPy 1\.x cannot be run in", NUMPY_1_FIX),
    (r"_ARRAY_API not found|numpy\.core\.multiarray failed to import", NUMPY_1_FIX),
    (r"numpy\.(dtype|ndarray) size changed, may indicate binary incompatibility", APT_NUMPY_FIX),
    (r"No module named '(picamera2|libcamera)'", f"sudo apt install python3-picamera2; then {SYSTEM_SITE_FIX}"),
    (r"No module named '(ai_edge_litert|tflite_runtime)'", BOARD_FIX),
    (r"No module named 'cv2'", OPENCV_FIX),
    (r"No module named 'numpy'", "pip install numpy, or on a Raspberry Pi: sudo apt install python3-numpy"),
    (r"No module named 'paho", install_command("mqtt")),
    (r"No module named '(starlette|uvicorn|prometheus_client)", install_command("web")),
    (
        r"No matching distribution found for tflite[-_]runtime",
        f"tflite-runtime does not support this Python; its successor does: {BOARD_FIX}",
    ),
    (r"externally-managed-environment", "create an environment first: python3 -m venv --system-site-packages .venv"),
    # libraries of the system
    (r"libGL\.so\.1: cannot open shared object|libgthread-2\.0\.so\.0: cannot open shared object", HEADLESS_FIX),
    (
        r"lib(cblas|atlas|f77blas|openblas)\S*: cannot open shared object",
        "sudo apt install libatlas3-base libopenblas0",
    ),
    (r"libgomp\.so\.1: cannot open shared object", "sudo apt install libgomp1"),
    (r"libedgetpu\.so\.1: cannot open shared object", LIBEDGETPU_FIX),
    (
        r"cannot allocate memory in static TLS block",
        "start with LD_PRELOAD=libgomp.so.1, so that it is loaded before other libraries",
    ),
    (r"version `GLIBC_[\d.]+' not found", "this system is too old for the package; upgrade it to the next release"),
    (r"Unsupported system page size", f"the program was built for 4 KB pages: {KERNEL_FIX}"),
    (
        r"Illegal instruction|SIGILL",
        "the package was built for a newer processor; use the package of apt, or an older version",
    ),
    # models
    (
        r"Didn't find op for builtin opcode|Op builtin_code out of range|old TFLite binary with newer model",
        OLD_INTERPRETER_FIX,
    ),
    (
        r"Regular TensorFlow ops are not supported|Flex delegate|Flex\w+ failed to prepare",
        "the model contains TensorFlow operators; export it with: pocketsight export tflite",
    ),
    (
        r"unresolved custom op: edgetpu-custom-op",
        f"the model was compiled for a Coral; plug one in and {LIBEDGETPU_FIX}",
    ),
    (
        r"More than one subgraph is not supported",
        "the Coral compiler needs a model with one graph; export it with: pocketsight export tflite",
    ),
    (
        r"Failed to load delegate from libedgetpu",
        f"sudo usermod -aG plugdev $USER, log in again, replug the Coral; if lsusb does not show it: {USB_PORT_FIX}",
    ),
    # cameras
    (r"Could not open any (dmaHeap device|dma-buf provider)", VIDEO_GROUP_FIX),
    (
        r"Camera frontend has timed out",
        f"the Pi camera stopped; leave a core free for it (fewer --threads); if it happens again: {RIBBON_FIX}",
    ),
    (r"Camera __init__ sequence did not complete|Pipeline handler in use by another process", CAMERA_BUSY_FIX),
    (r"[Ff]ailed to acquire camera|Device or resource busy", CAMERA_BUSY_FIX),
    (r"no cameras available", RIBBON_FIX),
    (
        r"VIDIOC_STREAMON: No space left on device",
        "too many cameras for one USB bus; use another port for one, or a smaller --resolution",
    ),
    (r"select\(\) timeout|can't open camera by index", f"the camera gives no images; {USB_PORT_FIX}"),
    (r"Permission denied: '?/dev/(video|media|dma_heap)", VIDEO_GROUP_FIX),
    # disks
    (
        r"Read-only file system",
        "the card has errors or was mounted read-only: sudo dmesg | grep -i mmc; back it up and replace it",
    ),
    (r"No space left on device|database or disk is full", DISK_FULL_FIX),
    (
        r"database disk image is malformed",
        "a power cut damaged it; pocketsight renames it and starts a new one; sqlite3 FILE .recover saves data",
    ),
    (r"database is locked", "two programs write to one database; give each run its own --log"),
)


def find_fix(message: str) -> str | None:
    """The fix for an error message, which may be long and contain several; None if it is not known."""
    return next((fix for pattern, fix in KNOWN_ERRORS if re.search(pattern, message)), None)
