"""What Home Assistant would read from a real mosquitto."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.runtime import status
from pocketsight.device.sinks.mqtt import announcer
from pocketsight.device.sinks.mqtt.topics import Topics
from tests.support.brokers import Listener, broker, listening, sending
from tests.support.entries import face, fault
from tests.support.processes import until

pytestmark = pytest.mark.debian("mosquitto")


@pytest.fixture(autouse=True)
def quick_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcer, "STEP_INTERVAL", 0.2)


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
    monkeypatch.setattr(status, "FRAME_STALE_AFTER", 0.5)
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        sent.sees("sad")
        until(lambda: heard.last("home/door").get("faces") == 1)
        until(lambda: heard.last("home/door")["faces"] == 0)


def test_somebody_who_says_that_we_are_offline_is_contradicted(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path):
        until(lambda: heard.texts("home/door/status") == ["online"])
        heard.say("home/door/status", "offline")  # as the will of a connection that broke without a word does
        until(lambda: heard.texts("home/door/status") == ["online", "offline", "online"])


CONFIG = re.compile(r"[a-z]+/device/[a-zA-Z0-9_-]+/config")


def announcement(heard: Listener) -> dict[str, Any]:
    """The newest announcement of a device; empty before there is one."""
    texts = [text for topic, text, _ in list(heard.heard) if CONFIG.fullmatch(topic) and text]
    return dict(json.loads(texts[-1])) if texts else {}


def components(heard: Listener) -> dict[str, dict[str, Any]]:
    return dict(announcement(heard).get("components", {}))


def test_home_assistant_is_told_of_the_device_and_all_its_entities(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard:
        with sending(found.port, tmp_path) as sent:
            until(lambda: "faces" in components(heard))
            assert "temperature" not in components(heard)
            sent.state.info["temperature"] = 48.2
            until(lambda: "temperature" in components(heard))
        said = announcement(heard)
        assert said["state_topic"] == "home/door/state" and said["availability_topic"] == "home/door/status"
        assert (
            said["origin"]["name"] == "pocketsight" and said["device"]["identifiers"] and said["device"]["sw_version"]
        )
        assert "configuration_url" not in said["device"]
        entities = {name: one for name, one in said["components"].items() if one["platform"] != "device_automation"}
        assert len({one["unique_id"] for one in entities.values()}) == len(entities) == 10
        assert all(one["name"] and one["value_template"] for one in entities.values())
        heat = entities["temperature"]
        assert heat["unit_of_measurement"] == "°C" and heat["device_class"] == "temperature"
        triggers = [one for one in said["components"].values() if one["platform"] == "device_automation"]
        assert [(one["type"], one["payload"], one["subtype"], one["topic"]) for one in triggers] == [
            (event, event, "face", "home/door/event") for event in ("appeared", "changed", "left")
        ]
        with listening(found.port) as later:
            until(lambda: announcement(later) == said)
            assert all(retained for _, _, retained in later.heard)


def test_every_key_and_platform_is_one_that_home_assistant_knows(tmp_path: Path) -> None:
    """By a table of the keys of its own schemas; the first line of the table names its version."""
    known = json.loads((Path(__file__).parent / "home_assistant_keys.json").read_text())
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        sent.state.info |= {"temperature": 48.2, "page_url": "https://pi.local/door/"}
        until(lambda: "temperature" in components(heard))
        said = announcement(heard)
    assert set(said) <= set(known["device discovery"]) and {"device", "origin", "components"} <= set(said)
    assert set(said["device"]) <= set(known["device"]) and set(said["origin"]) <= set(known["origin"])
    for name, one in said["components"].items():
        keys = known["platforms"][one["platform"]]
        assert set(one) - {"platform"} <= set(keys["known"]), name
        assert set(keys["required"]) - {"device", "state_topic"} <= set(one), name


def test_every_template_finds_its_value_in_the_state(tmp_path: Path) -> None:
    jinja2 = pytest.importorskip("jinja2")
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        sent.state.info |= {"temperature": 48.2, "faults": {"hot": "82 degrees"}}
        sent.sink.write([face(0, label="unsure"), fault(1)])
        sent.sees("happy", "unsure")
        until(lambda: heard.last("home/door").get("faces") == 2 and heard.last("home/door")["label"] == "unsure")
        until(lambda: len(heard.texts("home/door/event")) == 2)
        values = heard.last("home/door")
        appeared, lost = map(json.loads, heard.texts("home/door/event"))
    strict = jinja2.Environment(undefined=jinja2.StrictUndefined)

    def rendered(one: dict[str, Any], values: dict[str, Any]) -> str:
        return str(strict.from_string(one["value_template"]).render(value_json=values))

    said = {
        one["name"]: rendered(one, values)
        for one in components(heard).values()
        if "state_topic" not in one and "name" in one
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
    event, trigger = components(heard)["event"], components(heard)["trigger_appeared"]
    shown = json.loads(rendered(event, appeared))
    assert shown["event_type"] == "appeared" and shown["label"] == "unsure" and shown["previous"] is None
    assert shown["event_type"] in event["event_types"] and shown["id"] == appeared["id"]
    assert (rendered(trigger, appeared), rendered(trigger, lost), rendered(event, lost)) == ("appeared", "", "")


def test_entities_keep_their_identity_over_runs_and_brokers(tmp_path: Path) -> None:
    reports = []
    for _ in range(2):
        with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path):
            until(lambda: "faces" in components(heard))
            reports.append(announcement(heard))
    assert reports[0] == reports[1]


@pytest.mark.parametrize("how", ["birth", "reconnect"])
def test_the_device_is_announced_again(tmp_path: Path, how: str) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path):
        until(lambda: announcement(heard) != {} and heard.last("home/door") != {})
        said = announcement(heard)
        heard.heard.clear()
        if how == "birth":
            heard.say("homeassistant/status", "online")
        else:
            found.kill()
            found.start()
        until(lambda: announcement(heard) == said and heard.last("home/door") != {})
        assert heard.texts("home/door/status") == ["online"]
        heard.heard.clear()
        heard.say("homeassistant/status", "online")  # the subscription is renewed, too
        until(lambda: announcement(heard) == said)


def test_labels_that_change_are_announced_anew_and_the_old_ones_removed(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard:
        with sending(found.port, tmp_path) as sent:
            until(lambda: "label_happy" in components(heard))
            heard.heard.clear()
            sent.state.labels = ("sad", "angry")  # as SIGHUP does
            until(lambda: "label_angry" in components(heard) and "label_happy" not in components(heard))
            first = json.loads(next(text for topic, text, _ in heard.heard if CONFIG.fullmatch(topic)))
            assert first["components"]["label_happy"] == {"platform": "sensor"}  # removes it
            assert first["components"]["label_angry"]["name"] == "Angry faces"
            until(lambda: heard.last("home/door").get("labels") == {"sad": 0, "angry": 0, "unsure": 0})
        heard.heard.clear()
        with sending(found.port, tmp_path):  # a new run, with the first labels
            until(lambda: "label_happy" in components(heard) and "label_angry" not in components(heard))
        stubs = [
            json.loads(text)["components"].get("label_angry")
            for topic, text, _ in heard.heard
            if CONFIG.fullmatch(topic)
        ]
        assert stubs == [{"platform": "sensor"}, None]


def test_labels_that_changed_while_home_assistant_was_away_are_removed_when_it_starts(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        until(lambda: "label_happy" in components(heard))
        sent.state.labels = ("sad", "angry")
        until(lambda: "label_happy" not in components(heard))
        sent.state.info["temperature"] = 48.2
        until(lambda: "temperature" in components(heard))
        heard.heard.clear()
        heard.say("homeassistant/status", "online")
        until(lambda: heard.texts("home/door/status") == ["online"])
        until(lambda: bool(components(heard)) and "label_happy" not in components(heard))
        said = [json.loads(text)["components"] for topic, text, _ in heard.heard if CONFIG.fullmatch(topic)]
        first, second, third = [one.get("label_happy") for one in said][:3]
        assert first["name"] == "Happy faces" and second == {"platform": "sensor"} and third is None
        heard.heard.clear()
        heard.say("homeassistant/status", "online")  # once
        until(lambda: bool(components(heard)))
        assert "label_happy" not in components(heard)


@pytest.mark.parametrize(
    "labels",
    [
        ("радость", "грусть", "злость"),
        ("嬉しい", "悲しい"),
        ("very happy", "very-happy", "very_happy", "Very Happy!"),
        ("😀", "😢", "!", "?"),
        ("froh", "früh", "frèh"),
        ('a"b', "a'b", "a}}b", "a\\b", "{% if"),
    ],
)
def test_labels_in_any_script_and_spelling_have_an_entity_each(tmp_path: Path, labels: tuple[str, ...]) -> None:
    jinja2 = pytest.importorskip("jinja2")
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        sent.state.labels = labels
        sent.sees(*(label for number, label in enumerate(labels) for _ in range(number + 1)))
        until(lambda: heard.last("home/door").get("labels", {}).get(labels[0]) == 1)
        until(lambda: len([name for name in components(heard) if name.startswith("label_")]) == len(labels) + 1)
        own = {name: one for name, one in components(heard).items() if name.startswith("label_")}
        values = heard.last("home/door")
    assert all(re.fullmatch("[a-z0-9_]+", name) for name in own)
    assert len({one["unique_id"] for one in own.values()}) == len({one["name"] for one in own.values()}) == len(own)
    counts = [jinja2.Template(one["value_template"]).render(value_json=values) for one in own.values()]
    assert counts == [str(number + 1) for number in range(len(labels))] + ["0"]


def test_entities_are_worded_by_what_the_detector_finds(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        sent.state.object_label, sent.state.labels = "cat", ("tabby",)
        until(lambda: "label_tabby" in components(heard))
        said = announcement(heard)
    names = [one["name"] for one in said["components"].values() if "name" in one]
    assert names[:2] == ["Cat", "Cat seen"] and "Tabby cat" in names and said["device"]["model"].startswith("cat ")
    assert "ace" not in json.dumps([*names, said["device"]["model"]])
    assert said["components"]["trigger_left"]["subtype"] == "cat"
    assert said["components"]["faces"]["unit_of_measurement"] == "cat"


def test_the_page_can_be_opened_from_home_assistant(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        for url, shown in (
            ("http://0.0.0.0:8080/", f"http://{socket.gethostname()}:8080/"),  # the broker is on this machine
            ("https://pi.local/door/", "https://pi.local/door/"),
        ):
            sent.state.info["page_url"] = url
            until(lambda shown=shown: announcement(heard).get("device", {}).get("configuration_url") == shown)  # type: ignore[misc]


def single(key: str, kind: str = "sensor") -> str:
    """Where pocketsight 0.2 announced an entity of home/door."""
    return f"homeassistant/{kind}/{Topics('home/door').device_id}/{key}/config"


def test_entities_with_topics_of_their_own_move_to_the_device_with_their_history(tmp_path: Path) -> None:
    old = {single("faces"): "faces", single("problem", "binary_sensor"): "problem", single("label_gone"): "label_gone"}
    own = Topics("home/door").device_id
    with broker(tmp_path) as found, listening(found.port) as heard:
        for topic, key in old.items():
            config = {"unique_id": f"{own}_{key}", "origin": {"name": "pocketsight"}}
            heard.client.publish(topic, json.dumps(config), qos=1, retain=True).wait_for_publish(5)
        other = single("faces").replace(own, own[:-1] + "x")  # of another device
        heard.client.publish(other, "{}", qos=1, retain=True).wait_for_publish(5)
        heard.heard.clear()
        with sending(found.port, tmp_path):
            until(lambda: all(heard.texts(topic)[-1:] == [""] for topic in old))
        said = [(topic, text) for topic, text, _ in heard.heard if topic.endswith("/config")]
        order = [topic for topic, _ in said]
        device = order.index(f"homeassistant/device/{own}/config")
        for topic, key in old.items():
            moves = key != "label_gone"
            texts = [json.loads(text) if text else "" for text in heard.texts(topic)]
            assert texts == [{"migrate_discovery": True}, ""] if moves else [""]
            assert not moves or order.index(topic) < device < len(order) - 1 - order[::-1].index(topic)
        assert components(heard)["faces"]["unique_id"] == f"{own}_faces"
        with listening(found.port) as later:
            kept = {f"homeassistant/device/{own}/config", other}
            until(lambda: "faces" in components(later) and kept <= {topic for topic, _, _ in later.heard})
            assert kept == {topic for topic, _, _ in later.heard if topic.endswith("/config")}


@pytest.mark.parametrize("prefix", ["", "ha"])
def test_discovery_that_is_off_or_elsewhere_takes_back_what_was_announced(tmp_path: Path, prefix: str) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard:
        own = f"homeassistant/device/{Topics('home/door').device_id}/config"
        with sending(found.port, tmp_path):
            until(lambda: heard.texts(own) != [])
        heard.client.publish(single("faces"), '{"origin": {"name": "pocketsight"}}', qos=1, retain=True)
        heard.client.publish(single("mine"), '{"name": "by hand"}', qos=1, retain=True).wait_for_publish(5)
        with sending(found.port, tmp_path / "another board", discovery_prefix=prefix):
            until(lambda: heard.texts(own)[-1] == "" and heard.texts(single("faces"))[-1:] == [""])
            until(lambda: heard.last("home/door") != {})
            if prefix:
                until(lambda: any(topic.startswith("ha/device/") for topic, _, _ in heard.heard))
        with listening(found.port) as later:
            kept = {single("mine"), *([own.replace("homeassistant", "ha")] if prefix else [])}
            until(lambda: later.last("home/door") != {} and kept <= {topic for topic, _, _ in later.heard})
            assert kept == {topic for topic, _, _ in later.heard if topic.endswith("/config")}


def test_without_discovery_nothing_is_announced(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard:
        with sending(found.port, tmp_path, discovery_prefix=""):
            until(lambda: heard.last("home/door") != {})
        assert {topic.partition("/")[0] for topic, _, _ in heard.heard} == {"home"}
