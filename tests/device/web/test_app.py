"""The addresses of a run, against the real server."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pocketsight.device.errors import ServeError
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.web.auth import parse_bind_address
from pocketsight.device.web.encoder import PreviewEncoder, encode_preview
from pocketsight.device.web.healthcheck import check_health
from pocketsight.device.web.mjpeg import MAX_VIEWERS
from pocketsight.device.web.server import serve
from tests.support.looping import LABELS, Loop, ask, boxes, decoded, frame, looping, seen, watching
from tests.support.processes import until


def test_the_picture_is_shown_moving_and_once() -> None:
    with looping() as loop:
        with watching(loop.web) as next_picture:
            pictures = [next_picture() for _ in range(4)]
        status, headers, still = ask(loop.web, "/snapshot.jpg")
    assert len(set(pictures)) == 4
    assert all(decoded(p).shape == (480, 640, 3) for p in pictures)
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert decoded(still).shape == (480, 640, 3)


def test_a_large_frame_is_sent_small_with_its_boxes_in_place() -> None:
    image = np.zeros((960, 1280, 3), np.uint8)
    record = seen(0, 1)
    shown = decoded(encode_preview((image, record), LABELS, None))
    assert shown.shape == (480, 640, 3)
    left, bottom = round(boxes(1)[0].left / 2), round(boxes(1)[0].bottom / 2)
    assert shown[bottom - 20, left].max() > 100  # the box's side
    assert shown[bottom - 20, left - 8].max() < 60
    assert not image.any()


def test_nothing_is_encoded_while_nobody_looks() -> None:
    made: list[bytes] = []
    encoder = PreviewEncoder(lambda: LABELS, made.append, blur=False, fps=100)
    try:
        for number in range(20):
            encoder.update(frame(number), seen(number))
            time.sleep(0.01)
        assert not made
        encoder.set_watched(True)
        until(lambda: len(made) == 1)
        time.sleep(0.2)
        assert len(made) == 1  # each frame once
        encoder.set_watched(False)
        encoder.update(frame(21), seen(21))
        time.sleep(0.2)
        assert len(made) == 1
    finally:
        encoder.close()
    assert not encoder.thread.is_alive()


def test_a_mistake_in_drawing_does_not_end_the_preview(caplog: pytest.LogCaptureFixture) -> None:
    made: list[bytes] = []

    def labels() -> tuple[str, ...]:
        raise ValueError("planted")

    encoder = PreviewEncoder(labels, made.append, blur=False)
    try:
        encoder.set_watched(True)
        encoder.update(frame(0), seen(0))
        until(lambda: "ValueError" in caplog.text)
        assert encoder.thread.is_alive()
    finally:
        encoder.close()


def test_viewers_are_counted_and_limited() -> None:
    with looping() as loop:
        callers = []
        for _ in range(MAX_VIEWERS):
            caller = socket.create_connection(("127.0.0.1", loop.web.port), timeout=20)
            caller.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert caller.recv(100).startswith(b"HTTP/1.1 200")
            callers.append(caller)
        assert ask(loop.web, "/stream.mjpg")[0] == 503
        assert ask(loop.web, "/snapshot.jpg")[0] == 503
        assert json.loads(ask(loop.web, "/api/status")[2])["viewers"] == MAX_VIEWERS
        for caller in callers:
            caller.close()
        until(lambda: json.loads(ask(loop.web, "/api/status")[2])["viewers"] == 0)
        assert not loop.web.encoder.is_watched
        with watching(loop.web) as next_picture:
            assert next_picture()


def test_the_state_and_the_events_are_told() -> None:
    with looping(faces=2) as loop:
        loop.state.info["temperature"] = 48.2
        loop.publish("appeared", track_id=1, label="happy")
        loop.publish("left", track_id=1, label="happy", duration_s=3.0)
        until(lambda: loop.frames > 3)
        state = json.loads(ask(loop.web, "/api/status")[2])
        everything = json.loads(ask(loop.web, "/api/events")[2])
        later = json.loads(ask(loop.web, "/api/events?since=1")[2])
        wrong = [ask(loop.web, f"/api/events?since={word}")[0] for word in ("x", "-1", "9" * 5000, "%b2", "")]
    assert state["run"] == loop.state.run_id
    assert [face["label"] for face in state["faces"]] == ["happy", "sad"]
    assert (state["temperature"], state["newest"], state["health"]["ok"]) == (48.2, 2, True)
    assert [event["event"] for event in everything["events"]] == ["appeared", "left"]
    assert (later["newest"], [event["event"] for event in later["events"]]) == (2, ["left"])
    assert wrong == [400] * 5


def test_health_follows_the_frames_and_an_idle_run_is_well() -> None:
    flowing = {"last_frame_age_s": 0.1, "faults": {"broker lost": "away"}}
    assert check_health(flowing) == {"ok": True, "reason": ""}
    assert check_health({"last_frame_age_s": 30.0, "idle": True})["ok"]
    assert check_health({"last_frame_age_s": 30.0})["reason"] == "no frame for 30 s"
    assert check_health({"last_frame_age_s": None})["reason"] == "no frame yet"
    lost = {"last_frame_age_s": 0.1, "idle": True, "faults": {"camera lost": "unplugged"}}
    assert check_health(lost) == {"ok": False, "reason": "camera lost: unplugged"}


def test_healthz_tells_why() -> None:
    with looping() as loop:
        until(lambda: loop.frames > 3)
        assert ask(loop.web, "/healthz")[::2] == (200, b"ok\n")
        loop.state.info["faults"] = {"camera frozen": "the same picture for 10 s"}
        status, _, body = ask(loop.web, "/healthz")
    assert (status, body) == (503, b"not ok: camera frozen: the same picture for 10 s\n")


def test_prometheus_can_read_the_metrics() -> None:
    with looping(faces=2) as loop:
        loop.state.info |= {"temperature": 48.2, "throttled": False, "worn": None, "faults": {"hot": "83 °C"}}
        loop.publish("hot", "fault", active=True, detail="83 °C")
        loop.publish("appeared", track_id=1, label="happy")
        loop.state.dropped = 7
        until(lambda: loop.frames > 3)
        status, headers, body = ask(loop.web, "/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain")
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(body.decode()):
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    assert found["pocketsight_frames_total",] >= 4
    assert found["pocketsight_frames_dropped_total",] == 7
    assert found["pocketsight_temperature_celsius",] == 48.2
    assert found["pocketsight_throttled",] == 0
    assert found["pocketsight_stage_seconds", "detect"] == pytest.approx(0.0142)
    assert (
        found["pocketsight_faces", "happy"],
        found["pocketsight_faces", "sad"],
        found["pocketsight_faces", "unsure"],
    ) == (
        1,
        1,
        0,
    )
    assert found["pocketsight_face_events_total", "appeared"] == 1
    assert (found["pocketsight_faults_total", "hot"], found["pocketsight_fault_active", "hot"]) == (1, 1)
    assert found["pocketsight_healthy",] == 1
    assert found["process_resident_memory_bytes",] > 1e6


def test_a_frame_costs_the_loop_next_to_nothing_however_many_watch() -> None:
    """Compared with one encoding of the same frame, which takes milliseconds."""
    with looping() as loop:
        loop.rate = 200
        callers = [watching(loop.web) for _ in range(8)]
        pictures = [caller.__enter__() for caller in callers]
        for next_picture in pictures:
            next_picture()
        until(lambda: len(loop.took) > 200)
        begun = time.perf_counter()
        encode_preview((frame(0), seen(0)), LABELS, None)
        encoding = time.perf_counter() - begun
        for caller in callers:
            caller.__exit__(None, None, None)
    assert sorted(loop.took)[len(loop.took) // 2] < encoding / 10


def test_all_threads_and_sockets_are_gone_afterwards() -> None:
    before = {thread.ident for thread in threading.enumerate()}
    files = len(os.listdir("/proc/self/fd"))
    with looping() as loop, watching(loop.web) as next_picture:
        next_picture()
        address = loop.web.port
    until(lambda: {thread.ident for thread in threading.enumerate()} <= before)
    until(lambda: len(os.listdir("/proc/self/fd")) <= files)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", address), timeout=5)


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with looping() as loop, pytest.raises(ServeError, match="another program uses this port") as caught:
        loop_again(loop)
    assert "\n" not in str(caught.value)


def loop_again(loop: Loop) -> None:
    with serve(f"127.0.0.1:{loop.web.port}", None, loop.state):
        pass


@pytest.mark.parametrize(
    "address", ["", "8080x", "127.0.0.1", "127.0.0.1:", ":8080", "127.0.0.1:99999", "a:b:c", "²:²"]
)
def test_what_is_no_address_is_told(address: str) -> None:
    with pytest.raises(ServeError, match=r"must look like 127\.0\.0\.1:8080"):
        parse_bind_address(address)


def test_addresses_are_read() -> None:
    assert parse_bind_address("8080") == ("127.0.0.1", 8080)
    assert parse_bind_address("[::1]:80") == ("::1", 80)
    assert parse_bind_address("pi.local:81") == ("pi.local", 81)


def test_an_address_of_another_machine_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="is this an address of this machine"):
        with serve("192.0.2.1:8080", tmp_path / "token", state()):
            pass


def state() -> RunStatus:
    return RunStatus("20261122T041500Z-a3f2", LABELS)
