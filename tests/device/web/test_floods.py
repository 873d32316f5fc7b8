"""The page under garbage, floods and slow callers: the real server, real sockets."""

from __future__ import annotations

import json
import random
import resource
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pocketsight.device.web import limits
from pocketsight.device.web.auth import read_token
from tests.support.looping import LABELS, Loop, ask, callers, is_closed, looping, raw, watching
from tests.support.processes import until


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "secrets" / "token"
    read_token(path)
    return path


def test_no_file_but_its_own_is_ever_served(token_file: Path) -> None:
    steps = ["..", "%2e%2e", "..%2f", "%2e%2e%2f", "..%5c", "..\\", "%252e%252e", "....//", "%c0%ae%c0%ae", "%00", "."]
    ends = ["etc/passwd", "app.py", "server.py", "index.html", "token", str(token_file), "../" * 9 + str(token_file)]
    secret = token_file.read_text().strip().encode()
    with looping(token_file) as loop:
        for start in ("/", "/style.css/", "/api/", "//", "/static/", "/app.js%00"):
            for step in steps:
                for end in ends:
                    target = f"{start}{step}/{step}/{end}"
                    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer "
                    answer = raw(loop, request.encode() + secret + b"\r\n\r\n")
                    assert answer[9:12] in (b"404", b"400"), target
                    assert secret not in answer and b"root:" not in answer and b"import" not in answer
        assert ask(loop.web, "/", {"Authorization": f"Bearer {secret.decode()}"})[0] == 200


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "X" * 900]
)
def test_nothing_can_be_done_but_looking(method: str) -> None:
    with looping() as loop:
        for path in ("/", "/api/status", "/stream.mjpg"):
            assert ask(loop.web, path, method=method)[0] == 405
        assert ask(loop.web, "/stream.mjpg", method="HEAD")[::2] == (200, b"")


def test_bodies_are_refused() -> None:
    with looping() as loop:
        for more in ("Content-Length: 1000000000", "Transfer-Encoding: chunked"):
            answer = raw(loop, f"GET / HTTP/1.1\r\nHost: localhost\r\n{more}\r\n\r\nxxxx".encode())
            assert answer.startswith(b"HTTP/1.1 413"), answer


def garbage(chance: random.Random) -> bytes:
    """A request with something wrong, or nothing like a request."""
    whole = b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\r\n"
    kind = chance.randrange(7)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 4000))
    if kind == 1:
        return whole[: chance.randrange(len(whole))]
    if kind == 2:
        return b"GET /" + b"a" * chance.randrange(60000) + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    if kind == 3:
        return whole[:-2] + b"X: " + b"h" * chance.randrange(200000) + b"\r\n\r\n"
    if kind == 4:
        return whole[:-2] + b"N: v\r\n" * chance.randrange(20000) + b"\r\n"
    if kind == 5:
        return whole * chance.randrange(1, 50)
    place = chance.randrange(len(whole))
    return whole[:place] + chance.randbytes(chance.randrange(1, 9)) + whole[place + 1 :]


def test_garbage_costs_nothing_but_its_own_connection(caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(4)
    with looping() as loop:
        caplog.clear()  # the address of the page, where an earlier test has set the level INFO
        for _ in range(150):
            raw(loop, garbage(chance), 2)
        raw(loop, b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        raw(loop, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert ask(loop.web, "/api/status")[0] == 200
        before = loop.frames
        until(lambda: loop.frames > before + 5)
    assert not caplog.records  # nobody can fill the journal


def test_500_at_once_stop_neither_the_loop_nor_the_server() -> None:
    """Each asks again and again, as fast as it can."""
    over = threading.Event()
    answered: list[int] = []

    def hammer(port: int) -> None:
        while not over.is_set():
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=5) as caller:
                    caller.sendall(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
                    answered.append(len(caller.recv(4096)))
            except OSError:
                over.wait(0.05)

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(500, files // 3)
    with looping(faces=2) as loop:
        until(lambda: loop.frames > 10)
        threads = [threading.Thread(target=hammer, args=(loop.web.port,)) for _ in range(count)]
        for thread in threads:
            thread.start()
        begun, before = time.monotonic(), loop.frames
        most = 0
        while time.monotonic() - begun < 3:
            most = max(most, len(loop.web.server.server_state.connections))
            time.sleep(0.05)
        frames = loop.frames - before
        over.set()
        for thread in threads:
            thread.join(timeout=20)
        until(lambda: ask_again(loop) == 200)
        with watching(loop.web) as next_picture:
            assert next_picture()
    assert most <= limits.MAX_CONNECTIONS + 1
    assert any(answered)
    assert frames > 5  # this process runs the hammers, too: how fast the loop is then is measured elsewhere
    assert sorted(loop.took)[len(loop.took) // 2] < 0.02


def ask_again(loop: Loop) -> int:
    try:
        return ask(loop.web, "/healthz")[0]
    except OSError:
        return 0


def test_the_server_rests_when_it_has_used_its_share() -> None:
    with looping() as loop:
        identity = loop.web.thread.native_id
        ticks = Path(f"/proc/self/task/{identity}/stat")

        def used() -> float:
            fields = ticks.read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / 100

        over = threading.Event()
        threads = [threading.Thread(target=ask_until, args=(loop, over)) for _ in range(8)]
        for thread in threads:
            thread.start()
        begun, before = time.monotonic(), used()
        time.sleep(3)
        share = (used() - before - limits.CPU_BURST) / (time.monotonic() - begun)
        over.set()
        for thread in threads:
            thread.join(timeout=20)
    assert share < 2 * limits.CPU_SHARE


def ask_until(loop: Loop, over: threading.Event) -> None:
    while not over.is_set():
        ask_again(loop)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CLIENT_TIMEOUT", 2.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: local",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nx",
        b"GET /app.js HTTP/1.1\r\nHost: localhost\r\n\r\nGET / HT",
    ],
    ids=["nothing", "half", "idle", "body", "second half"],
)
def test_who_does_not_finish_a_request_is_hung_up_on(data: bytes) -> None:
    with looping() as loop, callers(loop, 5, data) as slow:
        until(lambda: all(is_closed(caller) for caller in slow))
        until(lambda: not loop.web.server.server_state.connections)


@pytest.mark.usefixtures("impatient")
def test_who_sends_a_byte_now_and_then_is_hung_up_on() -> None:
    with looping() as loop, callers(loop, 1, b"GET / HTTP/1.1\r\nX: ") as slow:

        def closed() -> bool:
            try:
                slow[0].send(b"y")
            except OSError:
                return True
            time.sleep(0.2)
            return is_closed(slow[0])

        until(closed)


@pytest.mark.usefixtures("impatient")
def test_who_does_not_read_is_hung_up_on_and_costs_the_others_nothing() -> None:
    request = b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with looping() as loop, callers(loop, 5, request, small=True), watching(loop.web) as next_picture:
        until(lambda: loop.web.broadcaster.viewers == 6)
        pictures: set[bytes] = set()

        def sees_ten() -> bool:
            pictures.add(next_picture())
            return len(pictures) == 10

        until(sees_ten)
        until(lambda: next_picture() != b"" and loop.web.broadcaster.viewers == 1)
    answers = b"GET /app.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
    with looping() as loop, callers(loop, 3, answers, small=True) as slow:
        until(lambda: len(loop.web.server.server_state.connections) == len(slow))
        until(lambda: not loop.web.server.server_state.connections)


def memory() -> float:
    """MB that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def test_memory_is_bounded_whatever_is_sent() -> None:
    chance = random.Random(5)
    floods: list[Callable[[], bytes]] = [
        lambda: b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + chance.randbytes(300).hex().encode() * 100,
        lambda: f"GET /?token={chance.random()} HTTP/1.1\r\nHost: localhost\r\nX-{chance.random()}: y\r\n\r\n".encode(),
        lambda: f"GET /{chance.random()} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    ]
    with looping() as loop:

        def flood(rounds: int) -> None:
            for number in range(rounds):
                with callers(loop, 25, floods[number % 3]()):
                    time.sleep(0.05)

        flood(12)
        before = memory()
        flood(36)
        until(lambda: len(loop.web.server.server_state.connections) == 0, 30)
        assert memory() - before < 20
        assert json.loads(ask(loop.web, "/api/status")[2])["labels"] == list(LABELS)
