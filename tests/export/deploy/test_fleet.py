"""Fleet files, and the files of a release."""

import shutil
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pocketsight.device.errors import BoardError
from pocketsight.device.inference.shipped import MODEL_NAMES
from pocketsight.export.deploy.deployment import _apt_packages
from pocketsight.export.deploy.facts import BoardFacts
from pocketsight.export.deploy.fleet import choose, read_fleet
from pocketsight.export.deploy.on_board.releases import SUMS, Refused, Releases, name_digits, parse_sums, write_file
from pocketsight.export.deploy.release import CAMERA_FILE, Kept, Release, make_release, settings_text
from tests.support.ai_camera import write_camera_file

FLEET = """
[defaults]
service = "system"
models = ["moods.tflite"]
settings.log = {targets = ["mqtt://broker"], level = "events"}

[boards.door]
host = "pi@door.local"
groups = ["house"]
settings.camera = {source = "pi", rotate = 180}
settings.log.level = "frames"

[boards.shed]
groups = ["garden"]
"""


def test_defaults_and_differences(tmp_path: Path) -> None:
    (tmp_path / "boards.toml").write_text(FLEET)
    fleet = read_fleet(tmp_path / "boards.toml")
    door, shed = fleet.values()
    assert (door.host, shed.host, door.service) == ("pi@door.local", "shed", "system")
    assert door.models == (tmp_path / "moods.tflite",)
    assert door.settings == {
        "log": {"targets": ["mqtt://broker"], "level": "frames"},
        "camera": {"source": "pi", "rotate": 180},
    }
    assert choose(["house", "door"], fleet) == [door]
    assert choose(["all"], fleet) == [door, shed]
    (other,) = choose(["ssh://pi@10.0.0.5:22"], fleet, python="python3.12")
    assert (other.name, other.host, other.python) == ("10.0.0.5:22", "ssh://pi@10.0.0.5:22", "python3.12")
    with pytest.raises(BoardError, match="there is no fleet"):
        choose(["all"], {})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("boards", "is not TOML"),
        ("[board.door]", "there must be no board here"),
        ("[boards.all]", "another name than all and status"),
        ("[boards.a]\nhosts = 'x'", "there is no key hosts; possible: host, groups"),
        ("[boards.a]\nservice = 'docker'", "service = 'docker' must be one of auto, system, user, process"),
        ("[boards.a]\nsettings.fps = 5", "must be tables of settings"),
        ("[boards.a]\ngroups = ['b']\n[boards.b]", "b is no name for a group"),
        ("[defaults]\nhost = 'a'", "must have no host"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "boards.toml"
    path.write_text(text)
    with pytest.raises(BoardError, match=problem) as found:
        read_fleet(path)
    assert str(found.value).startswith(str(path))


def test_settings_are_toml() -> None:
    settings = {
        "camera": {"source": 'rtsp://a:"b"@c/ä', "fps": 2.5, "controls": {"AfMode": 2}},
        "run": {"blur": True},
        "detect": {"zones": ["0,0 1,1"]},
    }
    assert tomllib.loads(settings_text(settings)) == settings


def test_a_name_stands_for_one_content() -> None:
    def made(data: bytes, board: str = "door") -> str:
        return make_release("1.0", {"a.py": data}, None, (), None, {}, board, "python3", "/etc/x.toml").name

    assert made(b"1") == made(b"1") != made(b"2") != made(b"2", "shed")
    release = make_release("1.0", {"a.py": b"1"}, None, (), {"run": {}}, {}, "it's", "python3", "/etc/x.toml")
    assert release.name.endswith(name_digits(release.sums)) and "settings.toml" in parse_sums(release.sums)
    assert "--board 'it'\"'\"'s'" in release.read("bin/service").decode()
    for path in "/etc/passwd", "../../x", "a/../../x":
        with pytest.raises(Refused, match="not a path below"):
            parse_sums(f"{'0' * 64}  {path}\n")


def test_models_and_settings_of_the_board_stay() -> None:
    kept = {"models/detector.tflite": Kept("1" * 64, 5), "settings.toml": Kept("2" * 64, 7)}
    release = make_release("1.0", {}, None, None, None, kept, "door", "python3", "/etc/x.toml")
    assert release.model_paths == ["models/detector.tflite"] and release.sizes["settings.toml"] == 7
    assert '--detector "$here/models/detector.tflite"' in release.read("bin/service").decode()
    with pytest.raises(BoardError, match="is damaged on the board"):
        release.read("settings.toml")
    shipped = make_release("1.0", {}, None, (), {}, kept, "door", "python3", "/etc/x.toml")
    assert shipped.model_paths == [] and isinstance(shipped.files["settings.toml"], bytes)


def test_a_file_for_the_ai_camera_comes_with_its_detector(tmp_path: Path) -> None:
    def made(*models: Path) -> Release:
        return make_release("1.0", {}, None, models, None, {}, "door", "python3", "/etc/x.toml")

    detector = Path(shutil.copy(MODEL_NAMES["tiny"], tmp_path / "own.tflite"))
    other = write_camera_file(tmp_path / "other.imx500.zip")
    assert made(detector, other).files[CAMERA_FILE] == other
    found = write_camera_file(tmp_path / "own.imx500.zip")
    release = made(detector)
    assert release.files[CAMERA_FILE] == found and release.model_paths == ["models/detector.tflite"]
    for models in ([other], [detector, found, other]):
        with pytest.raises(BoardError, match="give one file for the AI Camera"):
            made(*models)


def test_apt_brings_what_an_ai_camera_needs(tmp_path: Path) -> None:
    facts = BoardFacts(board="Raspberry Pi 5", apt="yes", cv2="yes", numpy="1.24.2", picamera2="yes")

    def packages(facts: BoardFacts, *models: Path) -> list[str]:
        target: Any = SimpleNamespace(models=models, packages=True)
        connection: Any = SimpleNamespace(facts=facts, is_root=True, target=target)
        return _apt_packages(connection)

    file = tmp_path / "detector.imx500.zip"
    assert packages(facts, file) == ["imx500-all", "imx500-tools"]
    assert packages(facts, tmp_path / "detector.tflite") == packages(replace(facts, imx500="yes"), file) == []
    file.touch()
    assert packages(facts, tmp_path / "detector.tflite") == ["imx500-all", "imx500-tools"]


def test_a_reload_is_not_enough_for_another_network_in_the_camera(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    for name, detector, camera in (("old", "a", "x"), ("model", "b", "x"), ("network", "b", "y")):
        write_file(
            tmp_path / "releases" / name / SUMS,
            f"{detector}  models/detector.tflite\n{camera}  {CAMERA_FILE}\n".encode(),
        )
    releases.point("current", "old")
    assert releases.differ_in_models("model") and not releases.differ_in_models("network")
