"""What error messages of the libraries around us mean here, and the fix. They are matched as they are printed."""

from __future__ import annotations

import re

from pocketsight.device.inference.coral_devices import INSTALL_COMMAND

SYSTEM_SITE_FIX = "python3 -m venv --system-site-packages YOUR_VENV (over the old one), and run: pocketsight doctor"
NUMPY_1_FIX = "pip uninstall tflite-runtime; pip install 'pocketsight[board]' (or, on 32 bits: pip install 'numpy<2')"
APT_NUMPY_FIX = (
    "pip uninstall numpy in this environment, so that apt's numpy is seen, for which apt's picamera2 was built"
)
OLD_INTERPRETER_FIX = "the model is newer than the interpreter: pip install --upgrade ai-edge-litert"
LIBEDGETPU_FIX = (
    f"{INSTALL_COMMAND}, from Coral's packages; on newer systems a build that fits (see device/inference/README.md)"
)
CAMERA_BUSY_FIX = (
    "another program holds the camera; pocketsight doctor names it; the service: sudo systemctl stop pocketsight"
)
RIBBON_FIX = "switch off, seat both ends of the ribbon, then: rpicam-hello --list-cameras"
HEADLESS_FIX = "pip uninstall opencv-python, pip install opencv-python-headless; it needs no screen"
VIDEO_GROUP_FIX = "sudo usermod -aG video $USER, then log in again"
USB_PORT_FIX = "plug it into another USB port, a blue one, with a short cable; then: lsusb"

KNOWN_ERRORS: tuple[tuple[str, str], ...] = (  # (part of the message, as a regular expression; cure), first hit wins
    # Python packages that do not fit together
    (r"compiled using NumPy 1\.x cannot be run in", NUMPY_1_FIX),
    (r"_ARRAY_API not found|numpy\.core\.multiarray failed to import", NUMPY_1_FIX),
    (r"numpy\.(dtype|ndarray) size changed, may indicate binary incompatibility", APT_NUMPY_FIX),
    (r"No module named '(picamera2|libcamera)'", f"sudo apt install python3-picamera2; then {SYSTEM_SITE_FIX}"),
    (r"No module named '(ai_edge_litert|tflite_runtime)'", "pip install 'pocketsight[board]'"),
    (r"No module named 'cv2'", "pip install 'pocketsight[opencv]', or on a Pi: sudo apt install python3-opencv"),
    (r"No module named 'numpy'", "pip install numpy, or on a Pi: sudo apt install python3-numpy"),
    (r"No module named 'paho", "pip install 'pocketsight[mqtt]'"),
    (r"No module named '(starlette|uvicorn|prometheus_client)", "pip install 'pocketsight[web]'"),
    (
        r"No matching distribution found for tflite[-_]runtime",
        "there is no tflite-runtime for this Python; pip install 'pocketsight[board]' takes its successor",
    ),
    (r"externally-managed-environment", "make an environment first: python3 -m venv --system-site-packages .venv"),
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
        "start with LD_PRELOAD=libgomp.so.1, so that it is loaded before the others",
    ),
    (r"version `GLIBC_[\d.]+' not found", "this system is too old for the package; upgrade it to the next release"),
    (
        r"Unsupported system page size",
        "the program was built for pages of 4 KB: put kernel=kernel8.img into /boot/firmware/config.txt and reboot",
    ),
    (r"Illegal instruction|SIGILL", "the package was built for a newer processor; take apt's, or an older version"),
    # models
    (
        r"Didn't find op for builtin opcode|Op builtin_code out of range|old TFLite binary with newer model",
        OLD_INTERPRETER_FIX,
    ),
    (
        r"Regular TensorFlow ops are not supported|Flex delegate|Flex\w+ failed to prepare",
        "the model holds TensorFlow operators; export it with: pocketsight export tflite",
    ),
    (
        r"unresolved custom op: edgetpu-custom-op",
        f"the model was compiled for a Coral; plug one in and {LIBEDGETPU_FIX}",
    ),
    (
        r"More than one subgraph is not supported",
        "the Coral compiler needs one graph; export with: pocketsight export tflite",
    ),
    (
        r"Failed to load delegate from libedgetpu",
        f"sudo usermod -aG plugdev $USER, log in again, and replug the Coral; is it seen? {USB_PORT_FIX}",
    ),
    # cameras
    (r"Could not open any (dmaHeap device|dma-buf provider)", VIDEO_GROUP_FIX),
    (
        r"Camera frontend has timed out",
        f"the Pi camera stopped; leave a core free for it (--threads auto), and if it comes again: {RIBBON_FIX}",
    ),
    (r"Camera __init__ sequence did not complete|Pipeline handler in use by another process", CAMERA_BUSY_FIX),
    (r"[Ff]ailed to acquire camera|Device or resource busy", CAMERA_BUSY_FIX),
    (r"no cameras available", RIBBON_FIX),
    (
        r"VIDIOC_STREAMON: No space left on device",
        "too many cameras for one USB bus; plug one elsewhere or ask for a smaller --resolution",
    ),
    (r"select\(\) timeout|can't open camera by index", f"the camera gives no pictures; {USB_PORT_FIX}"),
    (r"Permission denied: '?/dev/(video|media|dma_heap)", VIDEO_GROUP_FIX),
    # disks
    (
        r"Read-only file system",
        "the card is full of errors or was mounted so: sudo dmesg | grep -i mmc; save what is on it and take a new one",
    ),
    (
        r"No space left on device|database or disk is full",
        "make room: du -xh / | sort -h | tail; and cap the log: see pocketsight run --help",
    ),
    (
        r"database disk image is malformed",
        "a power cut broke the database; pocketsight sets it aside and begins anew; sqlite3 FILE .recover saves the rest",
    ),
    (r"database is locked", "two programs write to one database; give each run a --log of its own"),
)


def find_fix(message: str) -> str | None:
    """The cure for an error message, or None where it is not known. It may be long, and hold more than one."""
    return next((words for pattern, words in KNOWN_ERRORS if re.search(pattern, message)), None)
