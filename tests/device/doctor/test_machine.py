"""The doctor on planted machines: cameras, Coral, heat, power, disk, swap, clock, port."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pocketsight.device.camera.devices import find_holders
from pocketsight.device.doctor import hardware, system
from pocketsight.device.doctor.report import Finding
from pocketsight.device.system.sensors import BoardInfo, SensorReading
from tests.device.doctor.test_doctor import DOCTOR, found
from tests.device.system.test_sensors import plant
from tests.support.ai_camera import install_packager, write_camera_file
from tests.support.processes import running

# Cameras, Coral, heat and power, on planted machines


def camera(root: Path, number: int, name: str) -> None:
    plant(root, **{f"sys/class/video4linux/video{number}/name": name, f"dev/video{number}": ""})


def test_no_camera(tmp_path: Path) -> None:
    usb, pi = hardware.check_camera(False, tmp_path), hardware.check_camera(True, tmp_path)
    assert (usb.level, pi.level) == ("warn", "warn")
    assert "ribbon" in pi.fix and "ribbon" not in usb.fix


def test_the_codecs_of_a_pi_are_no_cameras(tmp_path: Path) -> None:
    for number, name in [(10, "bcm2835-codec-decode"), (13, "bcm2835-isp-output0"), (19, "rpi-hevc-dec")]:
        camera(tmp_path, number, name)
    assert hardware.check_camera(True, tmp_path).message.startswith("no camera")
    camera(tmp_path, 0, "unicam-image")
    camera(tmp_path, 2, "HD Webcam: HD Webcam")
    camera(tmp_path, 3, "HD Webcam: HD Webcam")  # its metadata
    assert hardware.check_camera(True, tmp_path).message == "video0 (unicam-image), video2 (HD Webcam: HD Webcam), free"


def test_who_holds_the_camera_is_named(tmp_path: Path) -> None:
    camera(tmp_path, 0, "HD Webcam")
    plant(tmp_path, **{"proc/4711/comm": "cheese", "proc/4712/comm": "sh"})
    for number, target in (("4711", "/dev/video0"), ("4712", "/dev/null")):
        (tmp_path / "proc" / number / "fd").mkdir()
        (tmp_path / "proc" / number / "fd" / "3").symlink_to(target)
    finding = hardware.check_camera(False, tmp_path)
    assert (finding.level, finding.message) == ("warn", "video0 (HD Webcam), used by cheese (pid 4711)")
    plant(tmp_path, **{"proc/4711/comm": "pocketsight"})
    assert hardware.check_camera(False, tmp_path).level == "ok"  # it is meant to


def test_an_ai_camera_and_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "detector.imx500.zip"

    def check() -> Finding | None:
        return hardware.check_ai_camera(tmp_path, [file])

    assert check() is None
    write_camera_file(file)
    assert (without := check()) and without.message.startswith(
        "no AI Camera is connected, although detector.imx500.zip"
    )
    assert without.fix.endswith("sudo apt install imx500-all imx500-tools")
    plant(tmp_path, **{"sys/class/video4linux/v4l-subdev0/name": "imx500 10-001a"})
    assert (bare := check()) and bare.message.endswith("needs its firmware and imx500-package")
    assert bare.fix == "sudo apt install imx500-all imx500-tools"
    plant(tmp_path, **{"lib/firmware/imx500_firmware.fpk": ""})
    install_packager(tmp_path / "bin", monkeypatch, "echo no memory left >&2; exit 1")
    assert (bad := check()) and bad.level == "fail" and "no memory left" in bad.message
    install_packager(tmp_path / "bin", monkeypatch)
    assert (good := check()) and good.level == "ok" and list(tmp_path.glob("detector-*.rpk"))


def test_a_real_holder_of_a_real_file_is_found(tmp_path: Path) -> None:
    with open(tmp_path / "video0", "w") as file, running(["sleep", "60"], stdin=file) as other:  # ours does not count
        assert [(each.name, each.pid) for each in find_holders([tmp_path / "video0"]) if each.pid != os.getpid()] == [
            ("sleep", other.pid)
        ]


def test_a_camera_that_this_user_may_not_use(tmp_path: Path) -> None:
    assert hardware.check_permissions(tmp_path) is None
    camera(tmp_path, 0, "HD Webcam")
    allowed = hardware.check_permissions(tmp_path)
    refused = hardware.check_permissions(tmp_path, can_access=lambda path: False)
    assert allowed and allowed.level == "ok"
    assert refused and refused.level == "fail"
    assert refused.message == "this user may not open /dev/video0"
    assert "usermod -aG" in refused.fix or "log out" in refused.fix


def test_a_coral(tmp_path: Path) -> None:
    assert hardware.check_coral(tmp_path) is None
    plant(
        tmp_path,
        **{
            "sys/bus/usb/devices/2-1/idVendor": "1a6e",
            "sys/bus/usb/devices/2-1/idProduct": "089a",
            "sys/bus/usb/devices/2-1/busnum": "2",
            "sys/bus/usb/devices/2-1/devnum": "7",
        },
    )
    steps = []
    for path in ("usr/lib/aarch64-linux-gnu/libedgetpu.so.1", "dev/bus/usb/002/007", None):
        finding = hardware.check_coral(tmp_path)
        assert finding
        steps.append((finding.level, finding.fix.split(";")[0]))
        if path:
            plant(tmp_path, **{path: ""})
    assert [(level, fix.split(",")[0]) for level, fix in steps] == [
        ("warn", "sudo apt install libedgetpu1-std"),
        ("warn", "replug it"),
        ("ok", ""),
    ]


def test_a_coral_that_this_user_may_not_use(tmp_path: Path) -> None:
    plant(
        tmp_path,
        **{
            "sys/bus/usb/devices/2-1/idVendor": "18d1",
            "sys/bus/usb/devices/2-1/idProduct": "9302",
            "sys/bus/usb/devices/2-1/busnum": "2",
            "sys/bus/usb/devices/2-1/devnum": "11",
            "dev/bus/usb/002/011": "",
            "usr/lib/libedgetpu.so.1": "",
            "lib/udev/rules.d/60-libedgetpu1-std.rules": 'ATTRS{idVendor}=="1a6e",GROUP="plugdev"',
        },
    )
    half = hardware.check_coral(tmp_path, lambda path: False)
    assert half and half.message == "Coral on USB, but no udev rule lets a group use it under both of its USB ids"
    assert "18d1" in half.fix and "60-coral.rules" in half.fix
    plant(tmp_path, **{"etc/udev/rules.d/60-coral.rules": 'ATTRS{idVendor}=="18d1",GROUP="plugdev"'})
    ruled = hardware.check_coral(tmp_path, lambda path: False)
    assert ruled and (ruled.level, ruled.message) == ("warn", "Coral on USB, but this user may not use it")
    assert ruled.fix.startswith("sudo usermod -aG plugdev $USER")


def test_a_coral_on_pcie(tmp_path: Path) -> None:
    plant(
        tmp_path,
        **{
            "sys/bus/pci/devices/0000:01:00.0/vendor": "0x1ac1",
            "sys/bus/pci/devices/0000:01:00.0/device": "0x089a",
            "usr/local/lib/libedgetpu.so.1": "",
        },
    )
    driverless = hardware.check_coral(tmp_path)
    assert driverless and driverless.fix == "load its driver: sudo apt install gasket-dkms"
    plant(tmp_path, **{"dev/apex_0": ""})
    refused, fine = hardware.check_coral(tmp_path, lambda path: False), hardware.check_coral(tmp_path)
    assert refused and "-aG apex" in refused.fix
    assert fine and (fine.level, fine.message) == ("ok", "Coral on PCIe, libedgetpu installed, this user may use it")


def test_a_coral_that_is_awaited_and_not_plugged_in(tmp_path: Path) -> None:
    compiled = tmp_path / "detector_edgetpu.tflite"
    assert hardware.check_coral(tmp_path, compiled=[compiled]) is None
    plant(tmp_path, **{"usr/lib/x86_64-linux-gnu/libedgetpu.so.1": ""})
    library = hardware.check_coral(tmp_path, compiled=[compiled])
    assert library and library.message == "no Coral is connected, although libedgetpu.so.1 exists; the CPU is used"
    compiled.touch()
    awaited = hardware.check_coral(tmp_path, compiled=[compiled])
    assert awaited and (awaited.level, "detector_edgetpu.tflite exists" in awaited.message) == ("warn", True)
    assert "1a6e:089a or 18d1:9302" in awaited.fix


QUIET = SensorReading(temperature=48.0, throttled=False, under_voltage=False)


@pytest.mark.parametrize(
    ("check", "board", "level"),
    [
        (hardware.check_temperature, replace(QUIET, since_boot=(False, True)), "ok"),
        (hardware.check_temperature, replace(QUIET, since_boot=(True, False)), "warn"),
        (hardware.check_temperature, SensorReading(temperature=81.0), "warn"),
        (hardware.check_temperature, replace(QUIET, throttled=True), "warn"),
        (hardware.check_power, replace(QUIET, since_boot=(True, False)), "ok"),
        (hardware.check_power, replace(QUIET, since_boot=(False, True)), "warn"),
        (hardware.check_power, SensorReading(under_voltage=True), "warn"),
    ],
)
def test_temperature_and_power(
    check: Callable[[SensorReading], Finding | None], board: SensorReading, level: str
) -> None:
    finding = check(board)
    assert finding and finding.level == level
    assert bool(finding.fix) == (level == "warn")
    assert check(SensorReading()) is None


def test_the_firmware_is_asked_where_the_kernel_does_not_tell(tmp_path: Path) -> None:
    program = tmp_path / "vcgencmd"
    program.write_text("#!/bin/sh\necho throttled=0x50001\n")
    program.chmod(0o755)
    asked = hardware.add_firmware_flags(SensorReading(temperature=50.0), str(program))
    assert asked == SensorReading(temperature=50.0, throttled=False, under_voltage=True, since_boot=(True, True))
    told = replace(QUIET, since_boot=(False, False))
    assert hardware.add_firmware_flags(told, str(program)) == told
    assert hardware.add_firmware_flags(QUIET, str(tmp_path / "none")) == QUIET
    program.write_text("#!/bin/sh\necho VCHI initialization failed\n")
    assert hardware.add_firmware_flags(QUIET, str(program)) == QUIET


def test_large_pages_are_named() -> None:
    assert "kernel8.img" in hardware.check_board(BoardInfo("Raspberry Pi 5 Model B Rev 1.0", 4, 16384)).fix
    assert hardware.check_board(BoardInfo(None, 2, 4096)).fix == ""


# Disk, swap, clock, port


@pytest.mark.debian("unshare")
def test_a_full_and_a_read_only_disk(tmp_path: Path) -> None:
    """Real ones: a tmpfs in a name space of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*unshare, "mount", "-t", "tmpfs", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("this machine allows no mount in a name space of its own")
    begin = 'mount -t tmpfs -o size=64k none "$1"; '
    full = begin + 'head -c 100000 /dev/zero > "$1/zero" 2>/dev/null; '
    for script, message, fix in (
        (full, "No space left on device", "free some space"),
        (begin + 'mount -o remount,ro "$1"; ', "Read-only file system", "dmesg"),
        (begin, "only 0.0 GB free", "free some space"),
    ):
        command = [*unshare, "sh", "-c", script + 'shift; exec "$@"', "sh", str(disk)]
        ours = [sys.executable, "-c", DOCTOR, "--log-dir", str(disk), "--json"]
        done = subprocess.run([*command, *ours], capture_output=True, text=True, timeout=120)
        finding = found(done)["disk"]
        assert (done.returncode, finding["level"]) == (1, "fail")
        assert message in finding["message"]
        assert fix in finding["fix"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    finding = system.check_disk(SensorReading(disk_free=2**33), tmp_path / "none")
    assert finding.level == "fail"
    assert "No such file or directory" in finding.message
    assert system.check_disk(SensorReading(disk_free=500 * 2**20), tmp_path).level == "warn"


def test_an_emmc_at_its_end(tmp_path: Path) -> None:
    assert system.check_wear(SensorReading(), tmp_path) is None
    fresh, old = (
        system.check_wear(SensorReading(emmc_wear=0.1), tmp_path),
        system.check_wear(SensorReading(emmc_wear=0.9), tmp_path),
    )
    assert fresh and old and (fresh.level, old.level) == ("ok", "warn")
    plant(tmp_path, **{"sys/block/mmcblk0/device/pre_eol_info": "0x03"})
    end = system.check_wear(SensorReading(emmc_wear=0.1), tmp_path)
    assert end and "spare blocks" in end.message


def test_swap_on_the_card(tmp_path: Path) -> None:
    assert system.check_swap(tmp_path) is None
    plant(
        tmp_path,
        **{"proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n/dev/zram0 partition 1 0 100\n/var/swap file 1 0 -2"},
    )
    assert system.check_swap(tmp_path, lambda path: "../../devices/virtual/block/zram0") is None
    card = {"/dev/zram0": "zram0", "/var/swap": "../../devices/platform/mmc_host/mmc0/block/mmcblk0/mmcblk0p2"}
    finding = system.check_swap(tmp_path, lambda path: card[str(path)])
    assert finding and finding.message == "/var/swap is on the flash card"


def test_the_clock() -> None:
    assert [system.check_clock(synced).level for synced in (True, False, None)] == ["ok", "warn", "warn"]


def test_a_port_that_is_taken_names_who_took_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        finding = system.check_port(number)
        assert finding.level == "warn"
        assert f"(pid {os.getpid()})" in finding.message
    assert system.check_port(number).level == "ok"
