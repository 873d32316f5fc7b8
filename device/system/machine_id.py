"""A name for this machine that no other machine has."""

from __future__ import annotations

import hmac
import socket
from contextlib import suppress

from pocketsight.device.system import paths

# Made at the installation of the system; that of the board is needed too, because cards are copied.
ID_FILES = "etc/machine-id", "sys/firmware/devicetree/base/serial-number"


def machine_id() -> str:
    """12 hexadecimal digits, the same at every start.

    A hash of the machine id, the serial number of the board and the host name, because the machine id itself should
    not be published (man machine-id).
    """
    parts = [socket.gethostname()]
    for name in ID_FILES:
        with suppress(OSError):
            parts.append((paths.ROOT / name).read_bytes().strip(b"\0\n ").decode("ascii", "replace"))
    return hmac.new(b"pocketsight", "\n".join(parts).encode(), "sha256").hexdigest()[:12]
