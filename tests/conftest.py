"""Tests that need programs from apt are skipped without them, with the command to install them. Shared fixtures."""

import os
import shutil
from pathlib import Path

import pytest

PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))  # Debian puts servers there
GST = "gstreamer1.0-tools gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
# Packages whose name differs from the program.
PACKAGES = {
    "Xvfb": "xvfb",
    "nginx": "nginx-light",
    "ssh": "openssh-client",
    "sshd": "openssh-server",
    "promtool": "prometheus",
    "unshare": "util-linux",
    "systemd-analyze": "systemd",
    "gst-launch-1.0": GST,
    "qemu-aarch64": "qemu-user",
    "qemu-arm": "qemu-user",
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Act on `@pytest.mark.debian("Xvfb", "xdotool")` and on `@pytest.mark.imx500`."""
    if item.get_closest_marker("imx500") and os.environ.get("POCKETSIGHT_IMX500") != "yes":
        pytest.skip("runs Sony's tools for the AI Camera, 2.3 GB: POCKETSIGHT_IMX500=yes")
    programs = {str(program) for mark in item.iter_markers("debian") for program in mark.args}
    if missing := sorted(program for program in programs if shutil.which(program, path=PATH) is None):
        packages = " ".join(dict.fromkeys(PACKAGES.get(program, program) for program in missing))
        pytest.skip(f"needs {', '.join(missing)}: sudo apt install {packages}")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with both models, for the CPU and compiled for the Edge TPU."""
    from tests.support.corals import write_pairs

    return write_pairs(tmp_path / "models")


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the simulated Coral, with the device plugged in: see edgetpu.c."""
    from tests.support.corals import plug_in

    return plug_in(tmp_path / "device", monkeypatch)
