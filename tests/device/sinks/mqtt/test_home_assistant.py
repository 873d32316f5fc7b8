"""What Home Assistant would read from a real mosquitto."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.sinks.mqtt import state
from tests.support.brokers import Listener, broker, listening, sending
from tests.support.entries import face
from tests.support.processes import until

pytestmark = pytest.mark.debian("mosquitto")


def test_the_state_shows_the_faces_of_now_and_stays_with_the_broker(tmp_path: Path) -> None:
    with broker(tmp_path) as found, sending(found.port, tmp_path) as sent:
        with listening(found.port) as heard:
            sent.sink.write([face(0, label="unsure")])
            sent.sees("happy", "unsure")
            until(lambda: heard.last("home/door").get("faces") == 2)
            now = heard.last("home/door")
            assert now["labels"] == {"happy": 1, "sad": 0, "unsure": 1} and now["label"] == "unsure"
            assert now["kind"] == "state" and now["v"] == 2 and now["faults"] == [] and now["frames"] == 1
            sent.state.info["faults"] = {"hot": "82 degrees"}
            until(lambda: heard.last("home/door")["faults"] == ["hot"])
            sent.sees()
            until(lambda: heard.last("home/door")["faces"] == 0)
        with listening(found.port) as later:
            until(lambda: later.last("home/door") != {})
            assert later.last("home/door")["label"] == "unsure"
            assert all(retained for topic, _, retained in later.heard)


def test_faces_of_a_camera_that_fell_silent_are_not_faces_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "FRAME_STALE_AFTER", 0.5)
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        sent.sees("sad")
        until(lambda: heard.last("home/door").get("faces") == 1)
        until(lambda: heard.last("home/door")["faces"] == 0)


def test_somebody_who_says_that_we_are_offline_is_contradicted(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path):
        until(lambda: heard.texts("home/door/status") == ["online"])
        heard.say("home/door/status", "offline")  # as the will of a connection that broke without a word does
        until(lambda: heard.texts("home/door/status") == ["online", "offline", "online"])


def configs(heard: Listener) -> dict[str, dict[str, Any]]:
    return {
        topic: json.loads(text) for topic, text, _ in list(heard.heard) if re.match("homeassistant/.*/config", topic)
    }


def test_home_assistant_is_told_of_every_sensor(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard:
        with sending(found.port, tmp_path) as sent:
            until(lambda: heard.last("home/door") != {})
            first = configs(heard)
            assert not [topic for topic in first if "temperature" in topic]
            sent.state.info["temperature"] = 48.2
            until(lambda: heard.last("home/door")["temperature"] == 48.2)
        reports = configs(heard)
        assert len(reports) == 9 and set(first) < set(reports)
        for topic, config in reports.items():
            assert re.fullmatch(r"homeassistant/(binary_)?sensor/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+/config", topic)
            assert config["state_topic"] == "home/door/state" and config["availability_topic"] == "home/door/status"
            assert config["name"] and config["value_template"] and config["origin"]["name"] == "pocketsight"
            assert config["device"]["identifiers"] and config["device"]["sw_version"]
        assert len({config["unique_id"] for config in reports.values()}) == len(reports)
        assert len({json.dumps(config["device"]) for config in reports.values()}) == 1
        heat = next(config for topic, config in reports.items() if "temperature" in topic)
        assert heat["unit_of_measurement"] == "°C" and heat["device_class"] == "temperature"
        with listening(found.port) as later:
            until(lambda: configs(later) == reports)
            assert all(retained for _, _, retained in later.heard)


def test_every_template_finds_its_value_in_the_state(tmp_path: Path) -> None:
    jinja2 = pytest.importorskip("jinja2")
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        sent.state.info |= {"temperature": 48.2, "faults": {"hot": "82 degrees"}}
        sent.sink.write([face(0, label="unsure")])
        sent.sees("happy", "unsure")
        until(lambda: heard.last("home/door").get("faces") == 2 and heard.last("home/door")["label"] == "unsure")
        values = heard.last("home/door")
    strict = jinja2.Environment(undefined=jinja2.StrictUndefined)
    said = {
        config["name"]: strict.from_string(config["value_template"]).render(value_json=values)
        for config in configs(heard).values()
    }
    assert said == {
        "Faces": "2",
        "Faces seen": "0",
        "Last label": "unsure",
        "Frame rate": str(values["fps"]),
        "Temperature": "48.2",
        "Problem": "ON",
        "Happy faces": "1",
        "Sad faces": "0",
        "Unsure faces": "1",
    }


def test_sensors_keep_their_identity_over_runs_and_brokers(tmp_path: Path) -> None:
    reports = []
    for _ in range(2):
        with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path):
            until(lambda: heard.last("home/door") != {})
            reports.append({topic: config["unique_id"] for topic, config in configs(heard).items()})
    assert reports[0] == reports[1]


@pytest.mark.parametrize("how", ["birth", "reconnect"])
def test_sensors_are_announced_again(tmp_path: Path, how: str) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path):
        until(lambda: heard.last("home/door") != {})
        reports = configs(heard)
        heard.heard.clear()
        if how == "birth":
            heard.say("homeassistant/status", "online")
        else:
            found.kill()
            found.start()
        until(lambda: heard.last("home/door") != {})
        assert configs(heard) == reports and heard.texts("home/door/status") == ["online"]
        heard.heard.clear()
        heard.say("homeassistant/status", "online")  # the subscription is renewed, too
        until(lambda: heard.last("home/door") != {})
        assert configs(heard) == reports


def test_discovery_can_be_left_out_or_go_elsewhere(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard:
        with sending(found.port, tmp_path, discovery_prefix=""):
            until(lambda: heard.last("home/door") != {})
        assert {topic.partition("/")[0] for topic, _, _ in heard.heard} == {"home"}
        with sending(found.port, tmp_path, discovery_prefix="ha"):
            until(lambda: any(topic.startswith("ha/sensor/") for topic, _, _ in heard.heard))
