"""The findings of the doctor on machines that are right, planted, and made wrong on purpose."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import cv2
import pytest

from pocketsight.device.cli.doctor import check_config
from pocketsight.device.doctor import packages
from pocketsight.device.doctor.probe import ProbeResult, run_probe
from pocketsight.device.doctor.report import Finding, as_json, as_text, has_failures, run_checks
from pocketsight.device.doctor.view import check_view
from pocketsight.device.inference.shipped import CLASSIFIER, DETECTOR, EXAMPLE_IMAGE
from pocketsight.device.system.install_hint import install_command

DOCTOR = "from pocketsight.device.cli.doctor import doctor; doctor(prog_name='pocketsight doctor')"


def doctor(*words: str, code: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code + DOCTOR, *words], capture_output=True, text=True, timeout=120, **options
    )


def found(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    assert done.stderr == ""
    return {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}


# The whole command


def test_this_machine_is_looked_at_on_one_screen(tmp_path: Path) -> None:
    done = doctor("--log-dir", str(tmp_path))
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert len(lines) < 45
    assert "\x1b" not in done.stdout
    for name in ("Python", "interpreter", "OpenCV", "models", "disk", "clock", "port"):
        assert any(line.split()[1:2] == [name] for line in lines), name
    assert {line.split()[0] for line in lines[:-2]} <= {"ok", "warn", "->"}


def test_json_says_the_same(tmp_path: Path) -> None:
    done = doctor("--log-dir", str(tmp_path), "--json")
    told = json.loads(done.stdout)
    assert (told["schema_version"], told["ok"]) == (2, True)
    assert all(set(finding) == {"name", "level", "message", "fix"} for finding in told["findings"])
    assert all(finding["fix"] for finding in told["findings"] if finding["level"] != "ok")


def test_an_error_message_is_explained() -> None:
    done = doctor("module compiled using NumPy 1.x cannot be run in NumPy 2.1.3")
    assert done.returncode == 0
    assert "pip uninstall tflite-runtime" in done.stdout
    assert doctor("the cat sat on the mat").returncode == 1


def test_a_check_that_breaks_is_a_line_and_hides_nothing() -> None:
    def broken() -> Finding:
        return [][1]

    findings = run_checks([("odd", broken), ("none", lambda: None), ("even", lambda: Finding("even", "ok", "fine"))])
    assert [(finding.name, finding.level) for finding in findings] == [("odd", "warn"), ("even", "ok")]
    assert findings[0].message.startswith("this check failed: IndexError: list index out of range (test_doctor.py:")
    assert not has_failures(findings)


def test_the_screen_can_be_read_without_colour() -> None:
    findings = [
        Finding("disk", "fail", "full", "make room"),
        Finding("power", "warn", "weak", "a supply"),
        Finding("a", "ok", "b"),
    ]
    assert click.unstyle(as_text(findings)).splitlines() == [
        "fail  disk   full",
        "             -> make room",
        "warn  power  weak",
        "             -> a supply",
        "ok    a      b",
        "",
        "1 error, 1 warning",
    ]
    assert "\x1b[31m" in as_text(findings)
    assert as_json(findings)["ok"] is False
    assert as_text([*findings, *findings]).endswith("2 errors, 2 warnings")
    assert as_text([]).endswith("no problems found")


# Python and what is installed


def broken_package(folder: Path, name: str, body: str) -> str:
    """A package that fails as told, before all others; the code that makes it seen."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(body)
    return f"import sys; sys.path.insert(0, {str(folder)!r}); "


@pytest.mark.parametrize(
    ("body", "message", "fix"),
    [
        ("raise ImportError('numpy.core.multiarray failed to import')", "was built for numpy 1", "tflite-runtime"),
        ("raise ImportError('libfoo.so.3: cannot open shared object file')", "libfoo", "--force-reinstall"),
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV", "--force-reinstall"),
        ("import os; os.kill(os.getpid(), 4)", "SIGILL", "newer processor"),
    ],
)
def test_an_interpreter_that_fails_or_crashes_is_one_line(tmp_path: Path, body: str, message: str, fix: str) -> None:
    code = broken_package(tmp_path / "site", "ai_edge_litert", body)
    done = doctor("--log-dir", str(tmp_path), "--json", code=code)
    finding = found(done)["interpreter"]
    assert done.returncode == 1
    assert finding["level"] == "fail"
    assert message in finding["message"]
    assert fix in finding["fix"]


def test_no_interpreter(tmp_path: Path) -> None:
    body = "raise ModuleNotFoundError(f'No module named {__name__!r}', name=__name__)"
    broken_package(tmp_path / "site", "tflite_runtime", body)
    code = broken_package(tmp_path / "site", "ai_edge_litert", body)
    done = doctor("--log-dir", str(tmp_path), "--json", code=code)
    assert done.returncode == 1
    assert found(done)["interpreter"]["fix"] == install_command("board")
    assert "no TFLite interpreter is installed" in found(done)["models"]["message"]


def test_no_opencv(tmp_path: Path) -> None:
    body = "raise ModuleNotFoundError(\"No module named 'cv2'\", name='cv2')"
    done = doctor("--log-dir", str(tmp_path), "--json", code=broken_package(tmp_path / "site", "cv2", body))
    findings = found(done)
    assert done.returncode == 1
    assert findings["OpenCV"]["level"] == "fail"
    assert install_command("opencv") in findings["OpenCV"]["fix"]
    assert "python3-opencv" in findings["models"]["fix"]
    assert findings["interpreter"]["level"] == "ok"


def test_no_numpy_still_gives_a_screen(tmp_path: Path) -> None:
    body = "raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')"
    done = doctor("--log-dir", str(tmp_path), "--json", code=broken_package(tmp_path / "site", "numpy", body))
    assert "numpy" in found(done)["interpreter"]["fix"]


def test_a_child_that_hangs_is_given_up() -> None:
    tried = run_probe("import time; time.sleep(60)", timeout=0.5)
    assert (tried.output, tried.last_line) == (None, "it did not end within 0 s")


def test_two_packages_that_own_cv2() -> None:
    fine = ProbeResult({"version": "4.10.0", "file": "cv2.so"}, "")
    both = packages.check_opencv(lambda *_: fine, lambda name: "4.10.0" if "contrib" not in name else "")
    assert both.level == "warn"
    assert both.fix.endswith(
        "pip uninstall opencv-python opencv-python-headless, then pip install opencv-python-headless"
    )
    apt = packages.check_opencv(lambda *_: fine, lambda _: "")
    assert (apt.level, apt.message) == ("ok", "4.10.0, cv2.so")


@pytest.mark.parametrize(
    ("now", "bits", "level"),
    [((3, 10, 12), 64, "fail"), ((3, 11, 2), 32, "ok"), ((3, 13, 5), 32, "warn"), ((3, 13, 5), 64, "ok")],
)
def test_python(now: tuple[int, ...], bits: int, level: str) -> None:
    assert packages.check_python(now, bits).level == level


def test_picamera2_of_the_system_that_the_environment_does_not_see(tmp_path: Path) -> None:
    nothing = packages.check_picamera2(False, tmp_path, is_installed=lambda: False)
    assert nothing is None
    missing = packages.check_picamera2(True, tmp_path, is_installed=lambda: False)
    assert missing and "apt install python3-picamera2" in missing.fix
    (tmp_path / "usr/lib/python3/dist-packages/picamera2").mkdir(parents=True)
    hidden = packages.check_picamera2(True, tmp_path, is_installed=lambda: False)
    assert hidden and hidden.level == "warn"
    assert hidden.fix.startswith("python3 -m venv --system-site-packages ")


def test_picamera2_built_for_another_numpy(tmp_path: Path) -> None:
    text = (
        "Traceback\n  File 'x.py'\nValueError: numpy.dtype size changed, may indicate binary incompatibility. Expec\n"
    )
    finding = packages.check_picamera2(True, tmp_path, lambda *_: ProbeResult(None, text), lambda: True)
    assert finding and finding.level == "warn"
    assert "pip uninstall numpy" in finding.fix


# Models


def test_a_model_cut_short(tmp_path: Path) -> None:
    cut = tmp_path / "cut.tflite"
    cut.write_bytes(DETECTOR.read_bytes()[:100_000])
    done = doctor("--detector", str(cut), "--log-dir", str(tmp_path), "--json")
    assert done.returncode == 1
    assert f"{cut} is cut short" in found(done)["models"]["message"]
    assert found(done)["interpreter"]["level"] == "ok"


def test_a_model_with_one_bit_turned(tmp_path: Path) -> None:
    data = bytearray(CLASSIFIER.read_bytes())
    data[5000] ^= 1
    (tmp_path / "turned.tflite").write_bytes(data)
    finding = packages.check_models(DETECTOR, tmp_path / "turned.tflite")
    assert finding.level == "fail"
    assert "is damaged" in finding.message


def test_models_that_were_swapped_and_one_that_is_missing(tmp_path: Path) -> None:
    swapped = packages.check_models(CLASSIFIER, DETECTOR)
    assert (swapped.level, swapped.fix) == ("fail", "give --detector a detector model")
    missing = packages.check_models(DETECTOR, tmp_path / "none.tflite")
    assert missing.level == "fail"
    assert "No such file" in missing.message


def test_the_shipped_models_run() -> None:
    finding = packages.check_models(DETECTOR, CLASSIFIER)
    assert finding.level == "ok"
    assert "happy or sad" in finding.message


def test_a_file_of_settings(tmp_path: Path) -> None:
    path = tmp_path / "pocketsight.toml"
    path.write_text("[camera]\nfps = 5\n")
    assert check_config(path).message == f"1 in {path}"
    path.write_text("[camera]\nfsp = 5\n")
    finding = check_config(path)
    assert finding.level == "fail"
    assert "'camera.fsp'" in finding.message and "camera.fps" in finding.message
    done = doctor("--log-dir", str(tmp_path), "--json", "--config", str(path))
    assert (done.returncode, found(done)["settings"]["level"]) == (1, "fail")


def test_the_example_picture_is_no_model() -> None:
    assert packages.check_models(EXAMPLE_IMAGE, CLASSIFIER).message.startswith(f"{EXAMPLE_IMAGE} is not a model file")


def test_the_view_of_a_camera_that_is_mounted_turned(tmp_path: Path) -> None:
    image = cv2.imread(str(EXAMPLE_IMAGE))
    cv2.imwrite(str(tmp_path / "a.png"), cv2.rotate(image, cv2.ROTATE_180))
    found = check_view(str(tmp_path / "a.png"))
    assert found and found.level == "warn" and "turned by 180 degrees" in found.message and "--rotate 180" in found.fix
    found = check_view(str(tmp_path / "a.png"), rotate=180)
    assert found and found.level == "ok" and "1 face(s)" in found.message
    found = check_view(str(tmp_path / "a.png"), rotate=90)
    assert found and "--rotate 180" in found.fix
    assert check_view("auto", root=tmp_path) is None  # there is no camera
