"""Settings of a run: the command line over a TOML file over the defaults."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pocketsight.device.cli.config import config
from pocketsight.device.cli.config_file import Setting, to_toml
from pocketsight.device.cli.run import read_config, run
from pocketsight.device.errors import SettingsError
from pocketsight.device.inference.shipped import MODELS_DIR
from pocketsight.device.runtime.config import OPTIONS, RELOADABLE, RunConfig
from pocketsight.device.sinks.base import RotationConfig
from pocketsight.device.tracking.zones import parse_zone
from tests.support import ROOT


def plan(*words: str) -> RunConfig:
    return read_config(run, list(words))


def written(folder: Path, text: str) -> str:
    path = folder / "pocketsight.toml"
    path.write_text(text)
    return str(path)


GOOD = """
[camera]
source = "rtsp://door/1"
fps = 5            # frames a second
resolution = "320x240"

[detect]
zones = ["0,0.5 1,1"]

[log]
targets = ["-", "/var/log/pocketsight/faces.jsonl"]
level = "events"
max_bytes = "1.5MB"

[run]
blur = true
max_temperature = 75
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
    ("text", "message"),
    [
        ("fsp = 5", "there is no setting 'fsp'; did you mean fps under [camera]?"),
        ("qqq = 5", "there is no setting 'qqq'; possible: [camera], [models], [detect]"),
        ("config = 'x'", "there is no setting 'config'"),
        ("fps = 5", "fps must be in a table: write fps under [camera]"),
        ("log-level = 'events'", "log-level must be in a table: write level under [log]"),
        ("camera = 'pi'", "camera must be in a table: write source under [camera]"),
        ("log = ['-']", "log must be in a table: write targets under [log]"),
        ("[camra]\nfps = 5", "there is no table [camra]; did you mean [camera]?"),
        ("[camera]\nfsp = 5", "there is no setting 'camera.fsp'; did you mean camera.fps?"),
        ("[camera]\nqqqqqq = 5", "there is no setting 'camera.qqqqqq'; possible: camera.source, camera.resolution"),
        ("[camera]\nblur = true", "there is no setting 'camera.blur'; did you mean run.blur?"),
        ("[[mqtt]]\nca_file = 'x'", "[mqtt] must be one table, not a list of tables"),
        ("[camera]\nfps = '5'", "camera.fps = '5' must be a number above 0"),
        ("[camera]\nfps = 0", "camera.fps = 0 must be a number above 0"),
        ("[camera]\nfps = true", "camera.fps = true must be a number above 0"),
        ("[detect]\ninterval = 1.5", "detect.interval = 1.5 must be a whole number from 1"),
        ("[run]\nblur = 1", "run.blur = 1 must be true or false"),
        ("[run]\nblur = 'yes'", "run.blur = 'yes' must be true or false"),
        ("[camera]\nsource = 0", "camera.source = 0 must be a string in quotes, as '0'"),
        ("[log]\ntargets = [1]", "log.targets = 1 must be a string or a list of strings"),
        ("[log]\nlevel = 'all'", "log.level = 'all' must be one of 'frames', 'events'"),
        (
            "[camera]\nresolution = '320'",
            "camera.resolution = '320' must be a string: '320' is not a resolution such as 640x480",
        ),
        ("[log]\nmax_bytes = '10 apples'", "'10 apples' is not a size such as 500kB"),
        ("[camera.source]\na = 1", "camera.source = {'a': 1} must be a string"),
        ("fps = ", "is not TOML"),
        ("[camera]\nfps = nan", "camera.fps = nan must be a number above 0: nan is not a finite number"),
        ("[run]\nwatchdog = inf", "run.watchdog = inf must be a number from 0"),
        ("[snapshots]\nfolder = ''", "snapshots.folder = '' must be a string: a path must not be empty"),
        ("json = true", "there is no setting 'json'"),
        ("[run]\nmax_temperature = 500", "run.max_temperature = 500 must be a number from 30 to 100"),
        ("[detect]\nzones = '1'", "zone '1' is not two or more points"),
    ],
)
def test_what_cannot_be_names_file_key_and_what_it_may_be(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError) as raised:
        plan("--config", written(tmp_path, text))
    assert message in str(raised.value) and "pocketsight.toml" in str(raised.value) and "\n" not in str(raised.value)


def test_a_missing_file_and_one_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read: No such file"):
        plan("--config", str(tmp_path / "none.toml"))
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="is not TOML"):
        plan("--config", str(tmp_path / "b.toml"))


def test_one_limit_brings_no_others() -> None:
    assert plan("--log-max-bytes", "1MB").rotation_config(is_live=False) == RotationConfig(1_000_000, None, None)


def test_a_watchdog_that_the_loop_cannot_satisfy_and_a_camera_without_a_name_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"--watchdog 0\.5 is too short: give 0, or 2 seconds or more"):
        plan("--watchdog", "0.5")
    with pytest.raises(SettingsError, match="--camera must not be empty"):
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
    assert rows["camera.fps"] == {"setting": "camera.fps", "option": "--fps", "value": 9.0, "origin": "command line"}
    assert rows["camera.source"]["origin"] == file and rows["detect.idle_fps"]["origin"] == "default"
    assert list(rows) == [spec.setting for spec in OPTIONS.values()]
    text = CliRunner().invoke(config, ["show", "--config", file]).output
    shown = [line.split() for line in text.splitlines()]
    assert ["camera.fps", "--fps", "5", file] in shown and len(shown) == len(rows)


def test_detectors_that_ship_go_by_their_names() -> None:
    for word in ("tiny", "large"):
        found = plan("--detector", word)
        assert found.detector == MODELS_DIR / f"detector-{word}.tflite" and found.detector.exists()


def test_every_field_is_an_option_and_the_defaults_are_the_same() -> None:
    assert {field.name for field in fields(RunConfig)} == set(OPTIONS)
    assert {parameter.name for parameter in run.params} == {*OPTIONS, "config"}
    assert plan() == RunConfig()
    assert (
        len({spec.setting for spec in OPTIONS.values()})
        == len({spec.flag for spec in OPTIONS.values()})
        == len(OPTIONS)
    )
    assert {"fps", "zones", "detector", "log_level"} <= set(RELOADABLE) and "camera" not in RELOADABLE


def test_the_old_word_for_the_classifier_works_and_is_not_shown() -> None:
    assert plan("--sentiment", "x.tflite").classifier == Path("x.tflite")
    shown = CliRunner().invoke(run, ["--help"]).output
    assert "--classifier" in shown and "--sentiment" not in shown


OTHER_VALUES: dict[str, Any] = {
    "accelerator": None,  # it allows no other camera and no rotation
    "bytes": 1_234_567,
    "classifier": Path("/a b/y.tflite"),
    "choices": ("flapping", "new-place"),
    "control": ("AeEnable=false", "ColourGains=1.5,1.2"),
    "delegate": "edgetpu:usb:1",
    "detector": Path("/a b/x.tflite"),
    "integer": 3,
    "label": ("stop", "go ahead"),
    "log_target": ("-", 'mqtt://host/a"b'),
    "number": 42.1,
    "path": Path("/tmp/ä\x7f"),
    "resolution": (240, 320),
    "rotation": 270,
    "text": "a = [b]",
    "zone": (parse_zone("0,0.1 1,1"), parse_zone("0,0 1,0 0.3,1e-5")),
}


def test_every_setting_can_be_written_to_a_file_and_read_back(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        name: not getattr(RunConfig, name)
        if spec.kind == "flag"
        else spec.choices[1]
        if spec.choices and spec.kind != "choices"
        else ("a = [b]", "c") * (spec.kind == "text" and spec.multiple) or OTHER_VALUES[spec.kind]
        for name, spec in OPTIONS.items()
    }
    other = RunConfig(**values)
    text = to_toml([Setting(name, getattr(other, name), "command line") for name in OPTIONS])
    assert plan("--config", written(tmp_path, text)) == other
    words = ["show", "--toml", "--config", written(tmp_path, text)]
    assert CliRunner().invoke(config, words).output == text + "\n"
    defaults = CliRunner().invoke(config, ["show", "--toml"]).output
    assert plan("--config", written(tmp_path, defaults)) == RunConfig()
    spelled_out = "\n".join(line.removeprefix("# ") for line in defaults.splitlines() if "is not set" not in line)
    assert plan("--config", written(tmp_path, spelled_out)) == RunConfig()


def test_every_setting_is_in_the_readme() -> None:
    rows = (ROOT / "device" / "README.md").read_text().partition("## Options")[2].partition("\n## ")[0].splitlines()
    for spec in OPTIONS.values():
        (row,) = (row for row in rows if row.startswith(f"| `[{spec.table}]` |"))
        assert f"`{spec.key}`" in row, spec.setting


def test_controls_of_a_camera_are_a_table_too(tmp_path: Path) -> None:
    text = "[camera]\nrotate = 90\n[camera.controls]\nAeEnable = false\nExposureTime = 8000\nColourGains = [1.5, 1]\n"
    found = plan("--config", written(tmp_path, text))
    assert found.rotate == 90
    assert found.camera_control == ("AeEnable=false", "ExposureTime=8000", "ColourGains=1.5,1")
    assert found.camera_options().controls[1] == ("ExposureTime", "8000")


@pytest.mark.parametrize("text", ["rotate = 45", 'controls = ["brightness"]', "controls = 3"])
def test_a_wrong_turn_or_control_is_an_error_with_the_setting(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match=f"camera.{text.split()[0]}"):
        plan("--config", written(tmp_path, f"[camera]\n{text}\n"))
