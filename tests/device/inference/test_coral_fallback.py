"""Models on a Coral: the real interpreter with a stand-in for libedgetpu, and the errors that users see."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.device.errors import ModelError
from pocketsight.device.inference import coral_devices, coral_fallback
from pocketsight.device.inference.coral_fallback import FallbackModel
from pocketsight.device.inference.interpreter import TfliteModel, load_on_cpu
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.inference.model_info import describe_model
from pocketsight.device.inference.model_loader import active_delegate, load_model
from pocketsight.device.inference.shipped import MODELS_DIR, SHIPPED_MODELS
from tests.support.corals import answers, blank, on_coral, opened, unplug, write_compiled

# Which file runs


@pytest.mark.parametrize("task", ["detector", "classifier"])  # with its signature, and without
def test_the_compiled_file_beside_runs_on_the_coral(models: Path, device: Path, task: str) -> None:
    plain = load_on_cpu(SHIPPED_MODELS[task], threads=1)
    loaded = load_model(models / SHIPPED_MODELS[task].name, task, 1)
    assert active_delegate(loaded) == "edgetpu" and on_coral(loaded)
    assert set(answers(loaded)) == set(answers(plain))
    assert loaded.spec == plain.spec


@pytest.mark.parametrize(
    ("delegate", "option"),
    [
        ("auto", ""),
        ("edgetpu", ""),
        ("edgetpu:usb", "device=usb "),
        ("edgetpu:pci", "device=pci "),
        ("edgetpu:1", "device=:1 "),
        ("edgetpu:usb:2", "device=usb:2 "),
    ],
)
def test_the_device_is_named_as_libedgetpu_names_it(models: Path, device: Path, delegate: str, option: str) -> None:
    load_model(models / "detector.tflite", threads=1, delegate=delegate)
    assert opened(device) == [option]


def test_without_a_compiled_file_nothing_is_opened_and_nothing_stands_between(device: Path) -> None:
    loaded = load_model(MODELS_DIR / "detector.tflite", threads=1)
    assert isinstance(loaded.infer, TfliteModel) and opened(device) == []
    with pytest.raises(
        ModelError, match=r"detector_edgetpu.tflite does not exist; make it with: pocketsight export edgetpu"
    ):
        load_model(MODELS_DIR / "detector.tflite", threads=1, delegate="edgetpu")


def test_the_cpu_when_it_is_asked_for(models: Path, device: Path) -> None:
    for name in ("detector.tflite", "detector_edgetpu.tflite"):
        loaded = load_model(models / name, threads=1, delegate="cpu")
        assert isinstance(loaded.infer, TfliteModel) and not on_coral(loaded)
    assert opened(device) == []
    (models / "detector.tflite").unlink()
    with pytest.raises(ModelError, match="was compiled for a Coral, the CPU cannot run it"):
        load_model(models / "detector_edgetpu.tflite", threads=1, delegate="cpu")


def test_a_compiled_file_alone_has_no_fallback(models: Path, device: Path) -> None:
    (models / "detector.tflite").unlink()
    loaded = load_model(models / "detector_edgetpu.tflite", "detector", 1)
    assert on_coral(loaded)
    unplug(device)
    with pytest.raises(
        ModelError, match=r"the Coral failed in detector_edgetpu.tflite: .*; there is no file for the CPU"
    ):
        loaded.infer(blank(loaded))
    with pytest.raises(ModelError, match="no Coral is plugged in"):
        load_model(models / "detector_edgetpu.tflite", "detector", 1)


def test_a_compiled_file_with_its_plain_one_beside_falls_back(models: Path, device: Path) -> None:
    loaded = load_model(models / "detector_edgetpu.tflite", "detector", 1, delegate="edgetpu")
    unplug(device)
    assert not on_coral(loaded) and active_delegate(loaded) == "cpu"


def test_a_compiled_file_of_another_model_is_not_taken_for_this_one(models: Path, device: Path) -> None:
    write_compiled(models / "detector.tflite", models / "detector_edgetpu.tflite", origin="another")
    loaded = load_model(models / "detector.tflite", threads=1)
    assert not on_coral(loaded)
    with pytest.raises(
        ModelError, match=r"was not compiled from detector\.tflite; make it again with: pocketsight export"
    ):
        load_model(models / "detector.tflite", threads=1, delegate="edgetpu")
    shutil.copy(models / "sentiment.tflite", models / "detector.tflite")
    with pytest.raises(ModelError, match="is a classifier; use a detector"):
        load_model(models / "detector.tflite", "detector", 1)


def test_a_manifest_that_says_nonsense_about_its_compiler(tmp_path: Path) -> None:
    flatbuffer, spec = read_model_file(MODELS_DIR / "detector.tflite")
    for nonsense in ("yes", {"outputs": 3}):
        path = tmp_path / "m.tflite"
        path.write_bytes(pack_model_file(flatbuffer, replace(spec, edgetpu=nonsense)))  # type: ignore[arg-type]
        with pytest.raises(ModelError, match="malformed manifest"):
            load_on_cpu(path)


def test_info_needs_no_coral(models: Path) -> None:
    found = describe_model(models / "sentiment_edgetpu.tflite")
    assert found["operators"] == {"edgetpu-custom-op": 1}
    assert found["outputs"]["logits"]["shape"] == [1, 6]
    assert found["interpreter"].endswith(" and a Coral")
    assert "source_sha256" in CliRunner().invoke(main, ["info", str(models / "detector_edgetpu.tflite")]).output


# What keeps it from running


FIELD = [
    (
        OSError("libedgetpu.so.1: cannot open shared object file: No such file or directory"),
        [],
        "libedgetpu.so.1 is not installed: sudo apt install libedgetpu1-std",
    ),
    (
        OSError("libusb-1.0.so.0: cannot open shared object file: No such file or directory"),
        [],
        "libedgetpu.so.1 does not load (libusb-1.0.so.0: cannot open",
    ),
    (
        OSError("/lib/libc.so.6: version `GLIBC_2.34' not found (required by libedgetpu.so.1)"),
        [],
        "install a build for this system",
    ),
    (ValueError(""), [], "no Coral is plugged in: plug it into a blue USB port"),
    (ValueError(""), [("USB", "dev")], "/dev does not exist: replug it"),
    (ValueError(""), [("PCIe", "apex")], "/apex does not exist: load its driver: sudo apt install gasket-dkms"),
    (ValueError(""), [("USB", "proc/1/mem")], "no udev rule lets a group use it"),
    (ValueError(""), [("USB", "dev/null")], "does not open: end the program that uses it, or replug it"),
]


@pytest.mark.parametrize(("error", "plugged", "message"), FIELD)
def test_each_error_of_the_field_has_its_cure(
    models: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, plugged: list[tuple[str, str]], message: str
) -> None:
    def fails(library: str, options: dict[str, str]) -> None:
        raise error

    def access_problem(found: coral_devices.CoralDevice) -> tuple[str, str] | None:
        there = str(found.device) in ("/dev/null", "/proc/1/mem")
        root = Path("/") if there else Path("/nowhere")
        device = found.device if there else root / found.device.relative_to("/")
        return seen(coral_devices.CoralDevice(found.bus, device), root, lambda path: path == Path("/dev/null"))

    seen = coral_devices.find_access_problem
    monkeypatch.setattr(coral_devices, "find_access_problem", access_problem)
    monkeypatch.setattr(
        coral_devices,
        "find_corals",
        lambda: [coral_devices.CoralDevice(bus, Path("/") / path) for bus, path in plugged],
    )
    monkeypatch.setattr(coral_devices, "UDEV_RULE_DIRS", ())
    monkeypatch.setattr(coral_fallback, "Delegate", fails)
    with pytest.raises(ModelError) as raised:
        load_model(models / "detector.tflite", threads=1, delegate="edgetpu")
    assert message in str(raised.value) and "\n" not in str(raised.value)
    loaded = load_model(models / "detector.tflite", threads=1)
    assert isinstance(loaded.infer, FallbackModel) and message in loaded.infer.fallback_reason
    assert loaded.infer.fallback_reason.endswith("; the CPU runs detector.tflite")
    assert active_delegate(loaded) == "cpu" and not on_coral(loaded)


def test_a_bus_or_a_number_that_is_not_there(models: Path, device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unplug(device)
    monkeypatch.setattr(coral_devices, "find_corals", lambda: [coral_devices.CoralDevice("USB", Path("/dev/null"))])
    with pytest.raises(ModelError, match="no Coral is plugged in on PCIe"):
        load_model(models / "detector.tflite", threads=1, delegate="edgetpu:pci")
    with pytest.raises(ModelError, match="there is no Coral 1: 1 plugged in, counted from 0"):
        load_model(models / "detector.tflite", threads=1, delegate="edgetpu:usb:1")


def test_a_library_that_is_missing_or_no_delegate(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.so"
    broken.write_text("no library")
    for name, message in [
        ("libpocketsight-no-such.so.1", "is not installed"),
        (str(broken), "does not load"),
        ("libc.so.6", "is not the library of a delegate"),
    ]:
        monkeypatch.setattr(coral_fallback, "LIBEDGETPU", name)
        with pytest.raises(ModelError, match=message):
            load_model(models / "detector.tflite", threads=1, delegate="edgetpu")
    assert capfd.readouterr().err == ""  # the runtime's own class complains from its destructor


def test_a_library_that_takes_nothing_does_not_fit(models: Path, device: Path) -> None:
    (device / "idle").touch()
    with pytest.raises(ModelError, match=r"leaves .*detector_edgetpu.tflite to the CPU, so it does not fit"):
        load_model(models / "detector.tflite", threads=1, delegate="edgetpu")
