"""A Coral as the kernel sees it: whether one is plugged in, and what keeps us from using it.

`root` is where the kernel's files stand, so that tests can plant a machine. Nothing here opens the device.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pocketsight.device.health.board import ROOT, text

USB = ("1a6e", "089a"), ("18d1", "9302")  # before, and after, its first use: it takes another name then
PCIE = "0x1ac1", "0x089a"
LIBRARY = "libedgetpu.so.1"
LIBRARIES = "usr/lib/*/", "usr/lib/", "usr/local/lib/", "lib/*/"
RULES = "etc/udev/rules.d", "run/udev/rules.d", "lib/udev/rules.d", "usr/lib/udev/rules.d"

INSTALL = "sudo apt install libedgetpu1-std"
PLUG = "plug it into a blue USB port with a short cable of its own, not a hub; lsusb shows 1a6e:089a or 18d1:9302"
RULE = (
    f'for id in {" ".join(vendor for vendor, _ in USB)}; do echo \'SUBSYSTEM=="usb", '
    'ATTRS{idVendor}=="\'$id\'", GROUP="plugdev", MODE="0660"\'; done | sudo tee /etc/udev/rules.d/60-coral.rules, '
    "then replug it"
)

Allowed = Callable[[Path], bool]


@dataclass(frozen=True)
class Coral:
    """One that is plugged in."""

    bus: str  # "USB" or "PCIe"
    device: Path  # what a program opens


def corals(root: Path = ROOT) -> list[Coral]:
    """Those that are plugged in, USB first."""
    found = []
    for folder in sorted(root.glob("sys/bus/usb/devices/*")):
        if (text(folder / "idVendor"), text(folder / "idProduct")) in USB:
            bus, number = int(text(folder / "busnum") or 0), int(text(folder / "devnum") or 0)
            found.append(Coral("USB", root / f"dev/bus/usb/{bus:03}/{number:03}"))
    for folder in sorted(root.glob("sys/bus/pci/devices/*")):
        if (text(folder / "vendor"), text(folder / "device")) == PCIE:
            number = sum(coral.bus == "PCIe" for coral in found)
            found.append(Coral("PCIe", root / f"dev/apex_{number}"))
    return found


def installed(root: Path = ROOT) -> bool:
    """Whether libedgetpu is where the system looks for libraries."""
    return any(path for place in LIBRARIES for path in root.glob(place + LIBRARY))


def may_write(path: Path) -> bool:
    """Whether this user may use a device."""
    return os.access(path, os.R_OK | os.W_OK)


def trouble(coral: Coral, root: Path = ROOT, allowed: Allowed = may_write) -> tuple[str, str] | None:
    """What keeps us from it, and the cure; None: nothing that can be seen from here."""
    device = coral.device
    if not device.exists():
        cure = "load its driver: sudo apt install gasket-dkms" if coral.bus == "PCIe" else "replug it; then: lsusb"
        return f"/{device.relative_to(root)} is not there", cure
    if allowed(device):
        return None
    if coral.bus == "USB" and not _ruled(root, *(vendor for vendor, _ in USB)):
        return "no udev rule gives it to a group, under both of its names", RULE
    group = "plugdev" if coral.bus == "USB" else "apex"
    return "this user may not use it", f"sudo usermod -aG {group} $USER, log in again, and replug it"


def _ruled(root: Path, *words: str) -> bool:
    """Whether udev's rules hold each of these words."""
    rules = "\n".join(text(path) for place in RULES for path in sorted(root.glob(f"{place}/*.rules")))
    return all(word in rules for word in words)
