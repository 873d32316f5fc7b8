"""What a board is: architecture, Python, C library, packages, hardware, rights."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, fields

from pocketsight.device.errors import BoardError
from pocketsight.device.inference.imx500_file import PACKAGERS
from pocketsight.export.deploy.ssh import Board

MACHINES = {"aarch64": 64, "x86_64": 64, "armv7l": 32}
MIN_PYTHON = 3, 11
MIN_GLIBC = 2, 28  # the wheels of the interpreter; that of tflite-runtime for 32-bit needs more
MIN_GLIBC_32 = 2, 34

PYTHON_PROBE = """
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
print("python=%d.%d" % sys.version_info[:2])
print("bits=%d" % (64 if sys.maxsize > 2**32 else 32))
for name in "cv2", "picamera2":
    print(f"{name}={'yes' if find_spec(name) else ''}")
try:
    print("numpy=" + version("numpy"))
except PackageNotFoundError:
    pass
"""
# A kernel of 64 bits can have programs of 32 bits, so Python says which. Lines that a board cannot answer are left out.
PROBE = """
echo machine=$(uname -m)
echo glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)
(. /etc/os-release && echo "system=$PRETTY_NAME")
[ -r /proc/device-tree/model ] && echo "board=$(tr -d '\\0' </proc/device-tree/model)"
[ -d /run/systemd/system ] && echo systemd=yes
[ "$(ls /dev/video* /dev/media* 2>/dev/null)" ] && echo camera=yes
grep -qsE '^(1a6e|18d1)' /sys/bus/usb/devices/*/idVendor && echo coral=yes
[ -e /dev/apex_0 ] && echo coral=yes
command -v apt-get >/dev/null && echo apt=yes
for each in PACKAGERS; do command -v $each >/dev/null && echo imx500=yes; done
if [ "$(id -u)" = 0 ]; then echo rights=root
elif sudo -n true 2>/dev/null; then echo rights=sudo
elif command -v sudo >/dev/null; then echo rights=password
fi
PYTHON -I -c CODE 2>/dev/null
true
"""


@dataclass(frozen=True)
class BoardFacts:
    """Answers of a board; "" where it has none."""

    machine: str = ""
    bits: str = ""
    glibc: str = ""
    system: str = ""
    board: str = ""
    python: str = ""  # such as "3.13"
    numpy: str = ""  # its version
    cv2: str = ""
    picamera2: str = ""
    systemd: str = ""
    camera: str = ""
    coral: str = ""
    imx500: str = ""  # the packager for the AI Camera is installed
    apt: str = ""
    rights: str = ""  # root, sudo (without a password), password (sudo asks for one) or ""

    @property
    def is_pi(self) -> bool:
        """Whether it is a Raspberry Pi."""
        return "raspberry pi" in self.board.lower()

    @property
    def architecture(self) -> str:
        """That of its programs; the kernel may have more bits."""
        return "armv7l" if self.machine in ("aarch64", "armv8l") and self.bits == "32" else self.machine

    def __str__(self) -> str:
        camera = "a camera" if self.camera else "no camera"
        parts = [self.board or "a board", self.system, self.architecture, f"Python {self.python}", camera]
        return ", ".join(part for part in [*parts, "a Coral" if self.coral else ""] if part)


def read_facts(board: Board, python: str = "python3") -> BoardFacts:
    """Ask a board. `python` is its Python. Raises BoardError if it cannot be reached."""
    script = PROBE.replace("CODE", shlex.quote(PYTHON_PROBE)).replace("PYTHON", shlex.quote(python))
    script = script.replace("PACKAGERS", " ".join(PACKAGERS))
    known = {field.name for field in fields(BoardFacts)}
    pairs = (line.partition("=") for line in board.run(f"sh -c {shlex.quote(script)}").splitlines())
    return BoardFacts(**{key: value.strip() for key, _, value in pairs if key in known})


def require_supported(facts: BoardFacts, host: str) -> None:
    """Raise BoardError, in words, if pocketsight cannot run there."""
    if facts.machine not in MACHINES and facts.machine != "armv8l":
        raise BoardError(
            f"{host}: there are no packages of the interpreter for {facts.machine or 'this machine'}; pocketsight runs "
            f"on aarch64 (Raspberry Pi 3 or later, or Zero 2 W, with a 64-bit system), x86_64 and armv7l"
        )
    if not facts.python:
        raise BoardError(f"{host}: it has no Python; install it there: sudo apt install python3")
    if _numbers(facts.python) < MIN_PYTHON:
        raise BoardError(
            f"{host}: its Python is {facts.python}, and pocketsight needs 3.11 or later; use "
            "Debian 12 (bookworm) or later"
        )
    is_32_bit = facts.architecture == "armv7l"
    if is_32_bit and facts.python != "3.11":
        raise BoardError(
            f"{host}: its system is a 32-bit one with Python {facts.python}, for which there is no interpreter; use a "
            "64-bit system, or 32-bit bookworm with Python 3.11"
        )
    lowest = MIN_GLIBC_32 if is_32_bit else MIN_GLIBC
    if not facts.glibc or _numbers(facts.glibc) < lowest:
        raise BoardError(
            f"{host}: its C library is {f'glibc {facts.glibc}' if facts.glibc else 'not glibc'}, and the interpreter "
            f"needs glibc {lowest[0]}.{lowest[1]} or later; use Debian 12 (bookworm) or later"
        )


def wheel_platforms(facts: BoardFacts) -> list[str]:
    """The platform tags of wheels that a board can use, newest first (PEP 600)."""
    major, minor = _numbers(facts.glibc)[:2]
    tags = [f"manylinux_{major}_{number}_{facts.architecture}" for number in range(minor, 16, -1)]
    return [*tags, f"manylinux2014_{facts.architecture}", f"linux_{facts.architecture}"]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(word) for word in re.findall(r"\d+", version))
