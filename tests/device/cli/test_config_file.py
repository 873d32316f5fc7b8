"""Settings of a run: the command line over a TOML file over the defaults."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pocketsight.device.cli.config import config
from pocketsight.device.cli.run import config_from_options, run
from pocketsight.device.errors import SettingsError
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.sinks.base import RotationConfig


def plan(*words: str) -> RunConfig:
    found = config_from_options(run.make_context("run", list(words)).params)
    assert isinstance(found, RunConfig)
    return found


def written(folder: Path, text: str) -> str:
    path = folder / "pocketsight.toml"
    path.write_text(text)
    return str(path)


GOOD = """
camera = "rtsp://door/1"
fps = 5            # frames a second
size = "320x240"
log = ["-", "/var/log/pocketsight/faces.jsonl"]
log-level = "events"
log-size = "1.5MB"
blur = true
zone = ["0,0.5 1,1"]
cool = 75
"""


def test_a_file_fills_the_options(tmp_path: Path) -> None:
    found = plan("--config", written(tmp_path, GOOD))
    assert (found.camera, found.fps, found.resolution, found.max_temperature, found.blur) == (
        "rtsp://door/1",
        5.0,
        (240, 320),
        75,
        True,
    )
    assert found.log == ("-", "/var/log/pocketsight/faces.jsonl") and found.rotation_config(
        is_live=True
    ) == RotationConfig(1_500_000)
    assert found.zones[0].points[2] == (1, 1) and found.log_level == "events"


def test_the_command_line_wins(tmp_path: Path) -> None:
    found = plan("--fps", "9", "--config", written(tmp_path, GOOD), "--log", "x.csv")
    assert (found.fps, found.log, found.camera) == (9.0, ("x.csv",), "rtsp://door/1")


def test_without_a_file_there_are_defaults() -> None:
    found = plan()
    assert (found.camera, found.log, found.idle_fps, found.fps, found.zones) == ("auto", ("-",), 2.0, None, ())
    assert found.rotation_config(is_live=True) == RotationConfig() and found.rotation_config(
        is_live=False
    ) == RotationConfig(None, None, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fsp = 5", "there is no setting 'fsp'; did you mean 'fps'?"),
        ("qqq = 5", "there is no setting 'qqq'; it may hold: blur, camera"),
        ("config = 'x'", "there is no setting 'config'"),
        ("fps = '5'", "fps = '5' must be a number above 0"),
        ("fps = 0", "fps = 0 must be a number above 0"),
        ("fps = true", "fps = true must be a number above 0"),
        ("every = 1.5", "every = 1.5 must be a whole number from 1"),
        ("blur = 1", "blur = 1 must be true or false"),
        ("blur = 'yes'", "blur = 'yes' must be true or false"),
        ("camera = 0", "camera = 0 must be a text in quotes, as '0'"),
        ("log = [1]", "log = 1 must be a text or a list of texts"),
        ("log-level = 'all'", "log-level = 'all' must be one of 'frames', 'events'"),
        ("size = '320'", "size = '320' must be a text: '320' is not like 640x480"),
        ("log-size = '10 apples'", "'10 apples' is not like 500kB"),
        ("[camera]\nsource = 1", "camera = {'source': 1} must be a text"),
        ("fps = ", "is not TOML"),
        ("fps = nan", "fps = nan must be a number above 0: nan is no number"),
        ("watchdog = inf", "watchdog = inf must be a number from 0"),
        ("snapshots = ''", "snapshots = '' must be a text: an empty text is no path"),
        ("json = true", "there is no setting 'json'"),
        ("cool = 500", "cool = 500 must be a number from 30 to 100"),
    ],
)
def test_what_cannot_be_names_file_key_and_what_it_may_be(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError) as raised:
        plan("--config", written(tmp_path, text))
    assert says in str(raised.value) and "pocketsight.toml" in str(raised.value) and "\n" not in str(raised.value)


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read: No such file"):
        plan("--config", str(tmp_path / "none.toml"))
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="is not TOML"):
        plan("--config", str(tmp_path / "b.toml"))


def test_one_limit_brings_no_others() -> None:
    assert plan("--log-max-bytes", "1MB").rotation_config(is_live=False) == RotationConfig(1_000_000, None, None)


def test_a_watchdog_that_the_loop_cannot_satisfy_and_a_camera_without_a_name_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"watchdog = 0\.5 must be 0 or from 2"):
        plan("--watchdog", "0.5")
    with pytest.raises(SettingsError, match="camera = '' is nothing"):
        plan("--camera", "")


def test_passwords_are_not_shown() -> None:
    words = ["show", "--camera", "rtsp://me:secret@door/1", "--log", "mqtt://bob:secret@host/t"]
    shown = CliRunner().invoke(config, words)
    assert shown.exit_code == 0 and "secret" not in shown.output and "door" in shown.output


def test_a_zone_that_is_none_is_told() -> None:
    with pytest.raises(SettingsError, match="zone '1' is not two or more points"):
        plan("--zone", "1")


def test_config_show_tells_where_each_setting_comes_from(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    done = CliRunner().invoke(config, ["show", "--config", file, "--fps", "9", "--json"])
    assert done.exit_code == 0, done.output
    rows = {row["setting"]: row for row in json.loads(done.output)}
    assert rows["fps"] == {"setting": "fps", "value": 9.0, "from": "command line"}
    assert rows["camera"]["from"] == file and rows["idle"]["from"] == "default"
    assert "json" not in rows and "config" not in rows
    text = CliRunner().invoke(config, ["show", "--config", file]).output
    assert [line.split()[:2] for line in text.splitlines() if line.startswith("fps")] == [["fps", "5.0"]]
    assert len(text.splitlines()) == len(rows)


def test_detectors_that_ship_go_by_their_names() -> None:
    for word in ("tiny", "large"):
        plan = config_from_options(run.make_context("run", ["--detector", word]).params)
        assert plan.detector == MODELS_DIR / f"detector-{word}.tflite" and plan.detector.exists()
