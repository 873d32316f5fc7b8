"""The real Home Assistant with a real broker: start, new labels, its restart, discovery off. Takes minutes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pocketsight.device.sinks.mqtt.topics import Topics
from tests.support.brokers import Listener, Sending, broker, listening, sending
from tests.support.browsers import browser
from tests.support.entries import face, fault
from tests.support.home_assistant import ENVIRONMENT, HomeAssistant, home_assistant
from tests.support.processes import until

pytestmark = [
    pytest.mark.debian("mosquitto", "chromium"),
    pytest.mark.skipif(
        not (ENVIRONMENT / "complete").exists(), reason="needs Home Assistant: sudo scripts/home_assistant.sh"
    ),
]
OWN = Topics("home/door").device_id
FACES, HAPPY, SAD = "sensor.home_door_faces", "sensor.home_door_happy_faces", "sensor.home_door_sad_faces"
EVENT = "event.home_door_face"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures of its pages go, for people to look at."""
    folder = Path(os.environ.get("PICTURES", tmp_path))
    folder.mkdir(exist_ok=True)
    return folder


def test_home_assistant_follows_the_device(tmp_path: Path, pictures: Path) -> None:
    pytest.importorskip("websockets")
    folder = tmp_path / "home assistant"
    with broker(tmp_path) as found, listening(found.port) as heard:
        with home_assistant(folder) as ha:
            ha.set_up(found.port)
            announce_as_0_2(heard, ha)
            with sending(found.port, tmp_path) as sent, browser() as chromium:
                starts(ha, sent)
                show(ha, chromium, pictures / "1-start.png")
                hears_events(ha, sent)
                changes_labels(ha, sent)
                show(ha, chromium, pictures / "2-labels.png")
                tokens = ha.tokens
        with home_assistant(folder) as ha, browser() as chromium:
            ha.tokens = tokens
            restarts(ha, found.port, tmp_path)
            show(ha, chromium, pictures / "3-restart.png")
            with sending(found.port, tmp_path, discovery_prefix=""):
                until(lambda: ha.device() is None and ha.states() == {}, 60)
            ha.picture(chromium, "/config/integrations/integration/mqtt", pictures / "4-off.png")
            # It warns once of a topic that is cleared after the move, as its manual describes it.
            assert [line for line in ha.complaints() if "conflicting" not in line] == []


def announce_as_0_2(heard: Listener, ha: HomeAssistant) -> None:
    """An entity with a topic of its own, and a value."""
    config = {
        "unique_id": f"{OWN}_faces",
        "name": "Faces",
        "value_template": "{{ value_json.faces }}",
        "unit_of_measurement": "faces",
        "state_class": "measurement",
        "state_topic": "home/door/state",
        "device": {"identifiers": [OWN], "name": "home door", "manufacturer": "pocketsight"},
        "origin": {"name": "pocketsight", "sw_version": "0.2.0"},
    }
    topic = f"homeassistant/sensor/{OWN}/faces/config"
    heard.client.publish(topic, json.dumps(config), qos=1, retain=True).wait_for_publish(5)
    until(lambda: FACES in ha.states(), 60)
    until(lambda: heard.say("home/door/state", '{"faces": 42}') or ha.states()[FACES]["state"] == "42")  # type: ignore[func-returns-value]


def starts(ha: HomeAssistant, sent: Sending) -> None:
    sent.state.info |= {"page_url": "http://pi.local:8080/", "temperature": 48.2}
    sent.sees("happy")
    until(lambda: sent.sees("happy") or ha.states().get(HAPPY, {}).get("state") == "1", 60)  # type: ignore[func-returns-value]
    until(lambda: sent.sees("happy") or ha.states()[FACES]["state"] == "1")  # type: ignore[func-returns-value]
    assert not [entity for entity in ha.states() if entity.endswith("_2")]
    until(lambda: "42" in ha.history(FACES), 60)  # of the time before the move; it is stored after a while
    device = ha.device()
    assert device and device["configuration_url"] == "http://pi.local:8080/" and device["name"] == "home door"
    assert "temperature" in str(ha.states()) and EVENT in ha.states()
    triggers = ha.ask("device_automation/trigger/list", device_id=device["id"])
    assert {(one["type"], one["subtype"]) for one in triggers if one["domain"] == "mqtt"} == {
        ("appeared", "face"),
        ("changed", "face"),
        ("left", "face"),
    }


def hears_events(ha: HomeAssistant, sent: Sending) -> None:
    sent.sink.write([face(0), fault(1), {**face(2, "changed", label="sad"), "previous": "happy"}])
    until(lambda: ha.states()[EVENT]["attributes"].get("event_type") == "changed")
    shown = ha.states()[EVENT]["attributes"]
    assert (shown["label"], shown["previous"], shown["id"]) == ("sad", "happy", face(2)["id"])
    assert shown["event_types"] == ["appeared", "changed", "left"]


def changes_labels(ha: HomeAssistant, sent: Sending) -> None:
    sent.state.labels = ("sad", "разный", "Разный!")  # as SIGHUP does with other models
    until(lambda: HAPPY not in ha.states() and len(label_entities(ha)) == 4, 60)
    assert SAD in ha.states()


def label_entities(ha: HomeAssistant) -> list[str]:
    return [one for one, state in ha.states().items() if state["attributes"]["friendly_name"].endswith(" faces")]


def restarts(ha: HomeAssistant, port: int, folder: Path) -> None:
    """Its registry and the announcement of a new run agree."""
    with sending(port, folder) as sent:
        until(lambda: sent.sees("sad") or ha.states().get(SAD, {}).get("state") == "1", 90)  # type: ignore[func-returns-value]
        until(lambda: HAPPY in ha.states() and len(label_entities(ha)) == 3, 60)
        until(lambda: "42" in ha.history(FACES), 60)


def show(ha: HomeAssistant, chromium: object, file: Path) -> None:
    device = ha.device()
    assert device
    ha.picture(chromium, f"/config/devices/device/{device['id']}", file)  # type: ignore[arg-type]
