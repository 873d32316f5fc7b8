"""Find the Corals that are plugged in, and what prevents their use. Nothing here opens a device.

`root` is the root of the file system; tests pass a folder with the files of another machine.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pocketsight.device.system.paths import ROOT
from pocketsight.device.system.sensors import read_kernel_file

# Vendor and product before and after the first use: the device changes its ids then.
USB_IDS = ("1a6e", "089a"), ("18d1", "9302")
PCIE_ID = "0x1ac1", "0x089a"
LIBEDGETPU = "libedgetpu.so.1"
LIBRARY_DIRS = "usr/lib/*/", "usr/lib/", "usr/local/lib/", "lib/*/"
UDEV_RULE_DIRS = "etc/udev/rules.d", "run/udev/rules.d", "lib/udev/rules.d", "usr/lib/udev/rules.d"

INSTALL_COMMAND = "sudo apt install libedgetpu1-std"
PLUG_IN_HINT = "plug it into a blue USB port, not into a hub, with a short cable; lsusb shows 1a6e:089a or 18d1:9302"
UDEV_RULE_COMMAND = (
    f'for id in {" ".join(vendor for vendor, _ in USB_IDS)}; do echo \'SUBSYSTEM=="usb", '
    'ATTRS{idVendor}=="\'$id\'", GROUP="plugdev", MODE="0660"\'; done | sudo tee /etc/udev/rules.d/60-coral.rules, '
    "then replug it"
)

AccessCheck = Callable[[Path], bool]


@dataclass(frozen=True)
class CoralDevice:
    """A Coral that is plugged in: its bus, "USB" or "PCIe", and the device file that programs open."""

    bus: str
    device: Path


def find_corals(root: Path = ROOT) -> list[CoralDevice]:
    """The Corals that are plugged in, those on USB first."""
    found = []
    for folder in sorted(root.glob("sys/bus/usb/devices/*")):
        if (read_kernel_file(folder / "idVendor"), read_kernel_file(folder / "idProduct")) in USB_IDS:
            bus, number = int(read_kernel_file(folder / "busnum") or 0), int(read_kernel_file(folder / "devnum") or 0)
            found.append(CoralDevice("USB", root / f"dev/bus/usb/{bus:03}/{number:03}"))
    for folder in sorted(root.glob("sys/bus/pci/devices/*")):
        if (read_kernel_file(folder / "vendor"), read_kernel_file(folder / "device")) == PCIE_ID:
            number = sum(coral.bus == "PCIe" for coral in found)
            found.append(CoralDevice("PCIe", root / f"dev/apex_{number}"))
    return found


def is_libedgetpu_installed(root: Path = ROOT) -> bool:
    """Whether libedgetpu is in a folder where the system looks for libraries."""
    return any(path for place in LIBRARY_DIRS for path in root.glob(place + LIBEDGETPU))


def can_access(path: Path) -> bool:
    """Whether this user may read and write a device file."""
    return os.access(path, os.R_OK | os.W_OK)


def find_access_problem(
    coral: CoralDevice, root: Path = ROOT, can_access: AccessCheck = can_access
) -> tuple[str, str] | None:
    """The problem that prevents access to a Coral, and a fix; None if there is none that shows from outside."""
    device = coral.device
    if not device.exists():
        fix = "load its driver: sudo apt install gasket-dkms" if coral.bus == "PCIe" else "replug it; then: lsusb"
        return f"/{device.relative_to(root)} does not exist", fix
    if can_access(device):
        return None
    if coral.bus == "USB" and not _has_udev_rules(root, *(vendor for vendor, _ in USB_IDS)):
        return "no udev rule lets a group use it under both of its USB ids", UDEV_RULE_COMMAND
    group = "plugdev" if coral.bus == "USB" else "apex"
    return "this user may not use it", f"sudo usermod -aG {group} $USER, log in again, and replug it"


def _has_udev_rules(root: Path, *words: str) -> bool:
    """Whether the udev rules contain each of these words."""
    rules = "\n".join(
        read_kernel_file(path) for place in UDEV_RULE_DIRS for path in sorted(root.glob(f"{place}/*.rules"))
    )
    return all(word in rules for word in words)
