"""Events to a real mosquitto that dies, freezes and comes back, from senders that are killed."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.sinks.mqtt import sink
from tests.support import ROOT
from tests.support.brokers import broker, ids, listening, sending
from tests.support.entries import face, fault
from tests.support.processes import running, until

pytestmark = pytest.mark.debian("mosquitto")

SENDER = (  # writes so many events to the broker on a port, one a call, and says the number of each; then waits
    "import sys, time; from tests.support.brokers import *\n"
    "port, folder, first, last, pause = sys.argv[1:]\n"
    "with sending(int(port), Path(folder)) as sent:\n"
    "    for number in range(int(first), int(last)):\n"
    "        sent.sink.write([face(number)]); print(number, flush=True); time.sleep(float(pause))\n"
    "    time.sleep(60)\n"
)


def test_events_arrive_once_and_in_order_as_they_were_written(tmp_path: Path) -> None:
    entries = [face(0), fault(1), face(2, "left")]
    others = [{"v": 2, "kind": "frame", "faces": []}, {"v": 2, "kind": "state", "event": "state"}]
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        sent.sink.write([*entries[:1], *others])
        sent.sink.write(entries[1:])
        until(lambda: len(heard.texts("home/door/event")) >= 3)
        time.sleep(0.2)
        assert [json.loads(text) for text in heard.texts("home/door/event")] == entries
        assert not [text for topic, text, retained in heard.heard if retained]
        until(lambda: not len(sent.sink.outbox))
        assert sent.reports == [] and sent.sink.entries_deleted == 0


def test_ten_thousand_events_written_while_the_broker_is_away_arrive_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "MAX_EVENTS_PER_SECOND", 3000)
    monkeypatch.setattr(sink, "MAX_DELAY", 1.0)
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        sent.sink.write([face(0)])
        until(lambda: heard.events("home/door") == ids(0, 1))
        found.kill()
        until(lambda: sent.names() == [("broker lost", True)])
        for number in range(1, 10_000, 20):
            sent.sink.write([face(more) for more in range(number, min(number + 20, 10_000))])
        time.sleep(1)
        assert len(sent.sink.outbox) == 9_999 and sent.names() == [("broker lost", True)]
        found.start()
        until(lambda: len(heard.texts("home/door/event")) >= 10_000, 60)
        assert heard.events("home/door") == ids(0, 10_000)
        until(lambda: not len(sent.sink.outbox))
        assert sent.names() == [("broker lost", True), ("broker lost", False)] and sent.sink.entries_deleted == 0


def test_a_broker_that_dies_again_and_again_in_midstream_costs_no_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink, "MAX_DELAY", 0.5)
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        for number in range(0, 2000, 10):
            sent.sink.write([face(more) for more in range(number, number + 10)])
        for part in (300, 700, 1200):
            until(lambda part=part: len(heard.events("home/door")) > part)  # type: ignore[misc]
            found.kill()
            assert len(heard.events("home/door")) < 2000
            found.start()
        until(lambda: len(heard.events("home/door")) > 1999, 30)
        assert heard.events("home/door") == ids(0, 2000)
        until(lambda: not len(sent.sink.outbox))


def test_a_broker_that_freezes_is_lost_and_gets_everything_when_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocketsight.device.sinks.mqtt.connection.PUBACK_TIMEOUT", 0.5)
    monkeypatch.setattr("pocketsight.device.sinks.mqtt.connection.CONNACK_TIMEOUT", 0.5)
    monkeypatch.setattr(sink, "MAX_DELAY", 0.5)
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        until(lambda: heard.texts("home/door/status") == ["online"])
        assert found.process
        found.process.send_signal(signal.SIGSTOP)
        sent.sink.write([face(number) for number in range(100)])
        until(lambda: sent.names() == [("broker lost", True)])
        assert "does not acknowledge" in sent.reports[0][2]
        time.sleep(2)
        found.process.send_signal(signal.SIGCONT)
        until(lambda: sent.names() == [("broker lost", True), ("broker lost", False)])
        until(lambda: len(heard.events("home/door")) >= 100)
        assert heard.events("home/door") == ids(0, 100)
        until(lambda: not len(sent.sink.outbox))
        until(lambda: heard.texts("home/door/status")[-1] == "online")


@pytest.mark.parametrize("how", ["freezes", "dies"])
def test_events_that_a_broker_does_not_take_are_on_the_disk_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "dies":
        monkeypatch.setattr(sink, "FLUSH_INTERVAL", 1000)
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        until(lambda: heard.texts("home/door/status") == ["online"])
        assert found.process
        found.process.send_signal(signal.SIGSTOP)
        sent.sink.write([face(0)])
        assert sent.sink.bytes_written == 0
        if how == "dies":
            found.kill()
        until(lambda: sent.sink.bytes_written > 0)


def test_a_sender_that_is_killed_in_midstream_loses_no_event_and_the_broker_says_that_it_is_gone(
    tmp_path: Path,
) -> None:
    words = [sys.executable, "-c", SENDER]
    options: dict[str, Any] = {"cwd": ROOT, "text": True, "stdout": subprocess.PIPE}
    with broker(tmp_path) as found, listening(found.port) as heard:
        with running([*words, str(found.port), str(tmp_path), "0", "1500", "0"], **options) as process:
            until(lambda: len(heard.events("home/door")) > 400)
            process.kill()
            assert process.stdout
            written = int(process.stdout.read().split()[-1]) + 1
        until(lambda: heard.texts("home/door/status")[-1] == "offline")
        assert heard.texts("home/door/status") == ["online", "offline"]
        before = heard.events("home/door")
        assert len(before) < written
        with running([*words, str(found.port), str(tmp_path), "5000", "5001", "0"], **options):
            until(lambda: heard.events("home/door")[-1] == ids(5000, 5001)[0], 30)
        assert heard.events("home/door")[:written] == ids(0, written)
        assert heard.texts("home/door/status")[:3] == ["online", "offline", "online"]


def test_a_sender_that_is_killed_while_the_broker_listens_loses_at_most_the_last_moment(tmp_path: Path) -> None:
    words = [sys.executable, "-c", SENDER, "PORT", str(tmp_path), "0", "3000", "0.005"]
    with broker(tmp_path) as found, listening(found.port) as heard:
        words[3] = str(found.port)
        with running(words, cwd=ROOT, text=True, stdout=subprocess.PIPE) as process:
            until(lambda: len(heard.events("home/door")) > 100)
            process.kill()
            assert process.stdout
            written = int(process.stdout.read().split()[-1]) + 1
        until(lambda: "offline" in heard.texts("home/door/status"))
        found.kill()
        found.start()
        with sending(found.port, tmp_path):
            time.sleep(1)
        arrived = heard.events("home/door")
        assert arrived == ids(0, len(arrived)) and len(arrived) >= written - 20


def test_a_run_without_any_broker_is_not_disturbed_and_the_next_sends_everything(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with sending(port, tmp_path) as sent:
        sent.sink.write([face(number) for number in range(50)])
        until(lambda: bool(sent.reports))
        time.sleep(2)  # it tries again, and tells no more
        assert sent.names() == [("broker lost", True)] and "Connection refused" in sent.reports[0][2]
        start = time.monotonic()
    assert time.monotonic() - start < 1.5
    with broker(tmp_path) as found, listening(found.port) as heard, sending(found.port, tmp_path) as sent:
        until(lambda: heard.events("home/door") == ids(0, 50))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "silent"])
def test_a_broker_that_cannot_be_found_or_does_not_answer_is_told_as_lost(
    tmp_path: Path, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pocketsight.device.sinks.mqtt.connection.CONNACK_TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = f"mqtt://{host}/x" if host != "silent" else f"mqtt://127.0.0.1:{silent.getsockname()[1]}/x"
        with sending(0, tmp_path, target) as sent:
            sent.sink.write([face(0)])
            until(lambda: sent.names() == [("broker lost", True)])
            assert len(sent.sink.outbox) == 1


def test_a_full_outbox_is_a_fault_and_the_newest_events_survive(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard:
        found.kill()
        with sending(found.port, tmp_path, queue_size=200_000) as sent:
            for number in range(0, 3000, 10):
                sent.sink.write([face(more) for more in range(number, number + 10)])
            until(lambda: ("outbox full", True) in sent.names())
            lost = sent.sink.entries_deleted
            assert lost > 1000
            until(lambda: sent.state.counters["outbox dropped"] == lost)
            found.start()
            until(lambda: len(heard.events("home/door")) >= 3000 - lost)
            assert heard.events("home/door") == ids(lost, 3000)
            until(lambda: ("outbox full", False) in sent.names())
            until(lambda: heard.last("home/door").get("lost") == lost)


def test_a_broken_outbox_is_told(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard:
        with sending(found.port, tmp_path) as sent:
            path = sent.sink.outbox.path
        path.write_bytes(b"no database at all" * 100)
        with sending(found.port, tmp_path) as sent:
            sent.sink.write([face(1)])
            until(lambda: heard.events("home/door") == ids(1, 2))
            assert (
                sent.names() == [("outbox corrupt", True), ("outbox corrupt", False)]
                and "corrupt" in sent.reports[0][2]
            )


def test_a_clean_end_says_offline_and_sends_what_waits(tmp_path: Path) -> None:
    with broker(tmp_path) as found, listening(found.port) as heard:
        with sending(found.port, tmp_path) as sent:
            until(lambda: heard.texts("home/door/status") == ["online"])
            sent.sink.write([face(number) for number in range(200)])
            start = time.monotonic()
        assert time.monotonic() - start < 1.5
        until(lambda: heard.texts("home/door/status") == ["online", "offline"])
        assert heard.events("home/door") == ids(0, 200)
        with listening(found.port, "home/door/status") as later:
            until(lambda: later.heard == [("home/door/status", b"offline", True)])
        with sending(found.port, tmp_path):
            until(lambda: heard.texts("home/door/status")[2:] == ["online"])
        until(lambda: "offline" in heard.texts("home/door/status")[2:])
        assert heard.texts("home/door/status") == ["online", "offline"] * 2


def test_an_end_leaves_no_thread_behind(tmp_path: Path) -> None:
    with broker(tmp_path) as found, sending(found.port, tmp_path) as sent:
        assert sent.sink._thread.is_alive()
    assert not sent.sink._thread.is_alive()
