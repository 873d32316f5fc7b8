"""What a real broker denies, limits and takes away, and brokers that speak MQTT 3.1.1 only."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pocketsight.device.sinks.mqtt import faults, sink
from tests.support.brokers import Broker, broker, ids, listening, sending
from tests.support.entries import face
from tests.support.processes import running, until

pytestmark = pytest.mark.debian("mosquitto")

ALL_EVENTS = [face(number) for number in range(29)]


def access_list(folder: Path, *rules: str) -> str:
    path = folder / "acl"
    path.write_text("\n".join([*rules, ""]))
    path.chmod(0o644)
    return f"acl_file {path}"


def reload(found: Broker) -> None:
    assert found.process
    found.process.send_signal(signal.SIGHUP)


def test_events_that_an_access_list_denies_are_a_fault_and_lost_until_it_is_mended(tmp_path: Path) -> None:
    rules = access_list(tmp_path, "topic read #", "topic write home/door/state", "topic write home/door/status")
    with broker(tmp_path, "allow_anonymous true", rules) as found, listening(found.port) as heard:
        with sending(found.port, tmp_path, discovery_prefix="") as sent:
            sent.sink.write(ALL_EVENTS)
            until(lambda: heard.last("home/door").get("lost") == 29)
            assert sent.names() == [("events denied", True)] and sent.sink.entries_deleted == 29
            assert "home/door/event: Not authorized" in sent.reports[0][2]
            assert heard.events("home/door") == [] and not len(sent.sink.outbox)
            assert sent.state.counters["outbox dropped"] == 29
            access_list(tmp_path, "topic readwrite #")
            reload(found)
            until(lambda: sent.sink.write([face(99)]) or ("events denied", False) in sent.names())  # type: ignore[func-returns-value]
            assert "events were lost" in sent.reports[-1][2]
            until(lambda: heard.events("home/door")[-1:] == ids(99, 100))


def test_other_messages_that_are_denied_are_a_fault_that_names_the_first_and_a_line_for_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = access_list(tmp_path, "topic read #", "topic write home/door/event")
    with broker(tmp_path, "allow_anonymous true", rules) as found, listening(found.port) as heard:
        with sending(found.port, tmp_path) as sent:
            sent.sink.write(ALL_EVENTS)
            until(lambda: heard.events("home/door") == ids(0, 29))
            until(lambda: "home/door/state" in caplog.text and "/config: Not authorized" in caplog.text)
            assert sent.names() == [("messages denied", True)]
            assert "home/door/status: Not authorized" in sent.reports[0][2] and sent.sink.entries_deleted == 0


@pytest.mark.parametrize("limit", ["message_size_limit 200", "max_packet_size 200"])
def test_events_that_are_too_large_are_a_fault_that_names_the_limit_and_lost(
    tmp_path: Path, limit: str, caplog: pytest.LogCaptureFixture
) -> None:
    with broker(tmp_path, "allow_anonymous true", limit) as found, listening(found.port) as heard:
        with sending(found.port, tmp_path) as sent:
            until(lambda: heard.texts("home/door/status") == ["online"])
            sent.sink.write(ALL_EVENTS)
            until(lambda: sent.sink.entries_deleted == 29)
            until(lambda: ("events denied", True) in sent.names() and ("messages denied", True) in sent.names())
            sent.sink.write(ALL_EVENTS)
            until(lambda: sent.sink.entries_deleted == 58)
            assert sorted(sent.names()) == [("events denied", True), ("messages denied", True)]
            details = {name: detail for name, _, detail in sent.reports}
            assert "home/door/event: Packet too large" in details["events denied"]
            assert not len(sent.sink.outbox) and heard.events("home/door") == []
    assert caplog.text.count("home/door/state: Packet too large") <= 1


def test_a_broker_that_takes_one_message_at_a_time_gets_them_one_by_one(tmp_path: Path) -> None:
    with broker(tmp_path, "allow_anonymous true", "max_inflight_messages 1") as found:
        with listening(found.port) as heard, sending(found.port, tmp_path) as sent:
            sent.sink.write([face(number) for number in range(300)])
            until(lambda: heard.events("home/door") == ids(0, 300) and heard.last("home/door") != {})
            assert sent.reports == []


@pytest.mark.parametrize("limit", ["retain_available false", "max_qos 0"])
def test_a_broker_without_retained_messages_or_acknowledgments_is_refused_in_words(tmp_path: Path, limit: str) -> None:
    with broker(tmp_path, "allow_anonymous true", limit) as found, sending(found.port, tmp_path) as sent:
        sent.sink.write([face(0)])
        until(lambda: sent.names() == [("broker refused", True)])
        assert "let it accept retained messages and QoS 1" in sent.reports[0][2] and len(sent.sink.outbox) == 1


def test_two_clients_with_one_id_throw_each_other_out_and_each_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "MAX_DELAY", 0.5)
    with broker(tmp_path) as found, sending(found.port, tmp_path / "a") as one:
        until(lambda: one.sink._connected_since > 0)
        with sending(
            found.port, tmp_path / "b", run="20261122T041501Z-ffff"
        ) as other:  # a second run with another state folder
            until(lambda: ("session taken over", True) in one.names() and ("session taken over", True) in other.names())
            before = found.log.read_text().count("already connected")
            until(lambda: found.log.read_text().count("already connected") > before + 3)
            for sent in (one, other):
                reports = [detail for name, _, detail in sent.reports if name == "session taken over"]
                assert len(reports) == 1 and one.sink._client_id in reports[0] and socket.gethostname() in reports[0]
                assert len([name for name, active in sent.names() if name == "broker lost" and active]) <= 1
        monkeypatch.setattr(faults, "TAKEOVER_CLEAR_AFTER", 0.5)
        until(lambda: one.names()[-1] == ("session taken over", False))


def test_two_boards_on_one_topic_are_told_of_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path / "a") as one:
        until(lambda: heard.last("home/door") != {})
        monkeypatch.setattr(sink, "machine_id", lambda: "0123456789ab")
        with sending(found.port, tmp_path / "b", run="20261122T041501Z-ffff") as other:
            until(lambda: one.names() == other.names() == [("topic shared", True)])
            assert "20261122T041501Z-ffff" in one.reports[0][2] and "use another topic" in one.reports[0][2]
            assert one.state.run_id in other.reports[0][2] and socket.gethostname() in other.reports[0][2]
        assert found.log.read_text().count("already connected") == 0
        monkeypatch.setattr(faults, "SHARED_CLEAR_AFTER", 0.1)
        until(lambda: one.names()[-1] == ("topic shared", False))


@pytest.fixture
def old_broker(tmp_path: Path) -> Iterator[int]:
    """The port of a broker that knows MQTT 3.1.1 only."""
    pytest.importorskip("amqtt")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = tmp_path / "broker.yaml"
    plugin = "plugins:\n  amqtt.plugins.authentication.AnonymousAuthPlugin:\n    allow_anonymous: true\n"
    config.write_text(f"listeners:\n  default:\n    type: tcp\n    bind: 127.0.0.1:{port}\n{plugin}")
    start = "from amqtt.scripts.broker_script import main; main()"
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    with running(
        [sys.executable, "-c", start, "-c", str(config)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ):
        until(lambda: listens(port))
        yield port


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1(
    tmp_path: Path, old_broker: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pocketsight")
    with listening(old_broker) as heard, sending(old_broker, tmp_path) as sent:
        sent.sink.write(ALL_EVENTS)
        until(lambda: heard.events("home/door") == ids(0, 29) and heard.last("home/door") != {})
        until(lambda: any(topic.startswith("homeassistant/device/") for topic, _, _ in heard.heard))
        assert sent.reports == [] and "by MQTT 3.1.1" in caplog.text
        assert json.loads(heard.texts("home/door/state")[0])["lost"] == 0
