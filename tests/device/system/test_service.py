"""The unit: systemd's own tools judge it."""

import re
import subprocess
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.support import ROOT

UNIT = ROOT / "export/deploy/pocketsight.service"
EXPOSED = 2.5  # of 10; what systemd-analyze calls OK


def planted(folder: Path, origin: Path = UNIT) -> Path:
    """The unit with programs that are there, since systemd looks for them."""
    unit = folder / UNIT.name
    unit.write_text(re.sub(r"(?m)^(ExecStart|ExecStartPre)=\S+", r"\1=/bin/true", origin.read_text()))
    return unit


@pytest.mark.debian("systemd-analyze")
@pytest.mark.parametrize("unit", [UNIT, UNIT.with_stem("pocketsight-user")], ids=lambda path: path.stem)
def test_systemd_finds_no_fault_in_the_unit(unit: Path, tmp_path: Path) -> None:
    words = ["systemd-analyze", "verify", "--man=no", str(planted(tmp_path, unit))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "pocketsight" in line]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.debian("systemd-analyze")
def test_systemd_would_notice_a_fault(tmp_path: Path) -> None:
    unit = planted(tmp_path)
    unit.write_text(unit.read_text().replace("Restart=always", "Restart=allways"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60)
    assert "allways" in done.stderr


@pytest.mark.debian("systemd-analyze")
def test_little_of_the_system_is_exposed() -> None:
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNIT)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    found = re.search(r"Overall exposure level.*: ([\d.]+)", done.stdout)
    assert found and float(found[1]) <= EXPOSED, done.stdout


def test_the_unit_is_what_the_watchdog_expects() -> None:
    """systemd waits longer than the watchdog, which knows more; a start may take as long as it does."""
    from pocketsight.device.system.watchdog import GRACE_PERIOD, LOADING_TIMEOUT, TIMEOUT

    unit = ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNIT)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert float(service["WatchdogSec"]) > TIMEOUT + GRACE_PERIOD
    assert float(service["TimeoutStartSec"]) > LOADING_TIMEOUT + GRACE_PERIOD
    assert float(service["TimeoutStopSec"]) > 2
    assert (service["Restart"], unit["Unit"]["StartLimitIntervalSec"]) == ("always", "0")
