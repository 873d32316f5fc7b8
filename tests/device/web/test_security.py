"""The page against those who mean it no good: the real server, real sockets."""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest

from pocketsight.device.errors import ServeError
from pocketsight.device.web.auth import MAX_TRACKED_ADDRESSES, LoginThrottle, Token, is_loopback, read_token
from tests.support.looping import ask, callers, looping, raw, watching
from tests.support.processes import until

ADDRESSES_SERVED = "/ /style.css /app.js /icon.svg /stream.mjpg /snapshot.jpg /api/status /api/events /metrics".split()
SECRETS = b"20261122T041500Z", b"\xff\xd8", b"frames", b"pocketsight_", b"const ", b"--ground"  # what only insiders see


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "secrets" / "token"
    read_token(path)
    return path


def bearer(path: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {path.read_text().strip()}"}


# Who may look


def test_beyond_this_machine_a_token_is_needed_and_the_cure_is_told() -> None:
    for address in ("0.0.0.0:0", "[::]:0", "192.0.2.1:8080", "pi.local:8080"):
        with pytest.raises(ServeError, match="--token-file FILE"), looping(address=address):
            pass
    assert [is_loopback(host) for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST")] == [True] * 5
    assert not any(
        is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "127.0.0.1.nip.io")
    )


def test_a_token_is_made_once_for_its_owner_only_and_never_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    path = tmp_path / "a" / "token"
    with looping(path):
        first = path.read_text().strip()
    with looping(path) as loop:
        assert path.read_text().strip() == first
        assert ask(loop.web, "/?token=" + first)[0] == 303
        ask(loop.web, "/?token=wrong")
    assert len(first) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path.name for path in path.parent.iterdir()] == ["token"]
    said = "".join(capsys.readouterr()) + caplog.text
    assert f"its new token is in {path}" in said
    assert first not in said


@pytest.mark.parametrize("text", ["", "short\n", "with space and more and more", "é" * 30, "\0" * 40])
def test_a_token_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ServeError, match="must contain a token of 16 characters"):
        read_token(path)


def test_a_token_file_that_others_can_read_is_refused(token_file: Path) -> None:
    token_file.chmod(0o604)
    with pytest.raises(ServeError, match="chmod 600"):
        read_token(token_file)
    with pytest.raises(ServeError, match="cannot be read or created"):
        read_token(token_file / "below")


@pytest.mark.parametrize("path", ADDRESSES_SERVED)
def test_nothing_is_served_without_the_token(token_file: Path, path: str) -> None:
    token = token_file.read_text().strip()
    wrong: list[dict[str, str]] = [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {token}"},
        {"Authorization": f"Bearer {token[:-1]}"},
        {"Authorization": f"Bearer {token}x"},
        {"Cookie": f"pocketsight-1={Token(token).cookie}"},
        {"Cookie": f"token={token}"},
        {"Host": "localhost"},
        {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"},
    ]
    with looping(token_file) as loop:
        cookie = f"pocketsight-{loop.web.port}"
        wrong += [{"Cookie": f"{cookie}={word}"} for word in ("", token, "é", Token("other" * 8).cookie)]
        loop.web.server.config.app.login_throttle.max_delay = 0.01  # type: ignore[union-attr]
        for headers in wrong:
            status, _, body = ask(
                loop.web, path, {**headers, **{n: v.encode().decode("latin-1") for n, v in headers.items()}}
            )
            assert status == 401, headers
            assert not any(secret in body for secret in SECRETS)
        if path == "/stream.mjpg":
            with watching(loop.web, bearer(token_file)) as next_picture:
                assert next_picture()
        else:
            assert ask(loop.web, path, bearer(token_file))[0] == 200


def test_a_browser_signs_in_once_and_keeps_a_cookie_that_is_not_the_token(token_file: Path) -> None:
    token = token_file.read_text().strip()
    with looping(token_file) as loop:
        status, headers, _ = ask(loop.web, "/?token=" + token)
        secure = ask(loop.web, "/?token=" + token, {"X-Forwarded-Proto": "https"})[1]["set-cookie"]
        cookie = headers["set-cookie"]
        again = {"Cookie": cookie.split(";")[0]}
        assert ask(loop.web, "/", again)[0] == ask(loop.web, "/api/status", again)[0] == 200
        assert ask(loop.web, "/metrics?token=" + token)[0] == 401  # only the page takes it
    assert (status, headers["location"]) == (303, "./")
    assert token not in cookie
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert "Secure" not in cookie
    assert "Secure" in secure
    with looping(token_file, f"127.0.0.1:{loop.web.port}") as later:
        assert ask(later.web, "/api/status", again)[0] == 200  # a restart signs nobody out


def test_health_is_open_but_tells_strangers_nothing(token_file: Path) -> None:
    with looping(token_file) as loop:
        until(lambda: loop.frames > 2)
        assert ask(loop.web, "/healthz")[::2] == (200, b"ok\n")
        loop.state.info["faults"] = {"camera lost": "the one in the bedroom"}
        assert ask(loop.web, "/healthz")[::2] == (503, b"not ok\n")
        assert b"bedroom" in ask(loop.web, "/healthz", bearer(token_file))[2]


def test_on_this_machine_only_its_own_names_are_answered() -> None:
    """A page of another site may let its own name point to 127.0.0.1."""
    with looping() as loop:
        port = loop.web.port
        for name in (
            "localhost",
            f"localhost:{port}",
            f"LOCALHOST:{port}",
            "127.0.0.1",
            f"[::1]:{port}",
            "localhost:9",
        ):
            assert ask(loop.web, "/api/status", {"Host": name})[0] == 200, name
        for name in (
            "evil.example",
            f"evil.example:{port}",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            ":80",
        ):
            assert ask(loop.web, "/api/status", {"Host": name})[0] == 403, name
        assert raw(loop, b"GET /api/status HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 403")


def test_every_answer_carries_the_headers_that_protect_it(token_file: Path) -> None:
    with looping(token_file) as loop:
        for path, known in (("/", True), ("/", False), ("/nothing", True), ("/healthz", False), ("/api/status", True)):
            headers = ask(loop.web, path, bearer(token_file) if known else {})[1]
            assert headers["content-security-policy"].startswith("default-src 'self';")
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert not {"server", "access-control-allow-origin"} & set(headers)


def test_wrong_tokens_wait_longer_each_time_and_are_forgotten() -> None:
    now = [0.0]
    slowed = LoginThrottle(lambda: now[0])
    delays = [slowed.record_failure("10.0.0.1") for _ in range(100)]
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 5.0
    assert slowed.record_failure("10.0.0.2") == 0.1
    assert [slowed.record_failure(f"2001:db8::{n:x}") for n in range(3)] == [0.1, 0.2, 0.4]  # one customer's network
    now[0] = 100.0
    assert slowed.record_failure("10.0.0.1") == 0.1
    for number in range(10 * MAX_TRACKED_ADDRESSES):
        slowed.record_failure(f"10.1.{number // 256}.{number % 256}")
    assert len(slowed.failures) == MAX_TRACKED_ADDRESSES


def test_who_guesses_slows_nobody_else(token_file: Path) -> None:
    with looping(token_file) as loop:
        loop.web.server.config.app.login_throttle.max_delay = 1.0  # type: ignore[union-attr]
        guess = b"GET /?token=guess HTTP/1.1\r\nHost: x\r\n\r\n"
        with callers(loop, 20, guess) as guessing:
            begun = time.monotonic()
            assert ask(loop.web, "/api/status", bearer(token_file))[0] == 200
            passed = time.monotonic() - begun
            answers = [caller.recv(20) for caller in guessing]
    assert {answer[9:12] for answer in answers} == {b"401", b"429"}  # some waited, some were not let wait
    assert passed < 20
