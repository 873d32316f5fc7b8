"""The page below a path of a real nginx, in a frame, and for programs that know only a user and a password."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2
import pytest

from pocketsight.device.errors import ServeError
from pocketsight.device.web.auth import read_token
from tests.support.browsers import Browser, browser
from tests.support.looping import Loop, ask, looping
from tests.support.processes import running, until

PHONE = 360, 740


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def proxy(folder: Path, loop: Loop, path: str, keeps_path: bool = False) -> Iterator[str]:
    """The address of the page below a path of nginx, which removes the path from requests unless `keeps_path`."""
    port, quoted = free_port(), path.replace(" ", "%20")
    target = f"http://127.0.0.1:{loop.web.port}" + ("" if keeps_path else "/")
    (folder / "nginx.conf").write_text(f"""
        daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
        events {{}}
        http {{
            access_log {folder}/access.log; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
            fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
            server {{
                listen 127.0.0.1:{port};
                location / {{ return 404; }}
                location "{path}/" {{
                    proxy_pass {target};
                    proxy_buffering off;
                    proxy_set_header X-Forwarded-Prefix "{quoted}";
                }}
            }}
        }}""")
    program = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")
    with running([str(program), "-c", str(folder / "nginx.conf"), "-p", str(folder)], stderr=subprocess.DEVNULL):
        until(lambda: listens(port))
        yield f"http://127.0.0.1:{port}{quoted}/"


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.mark.debian("nginx", "chromium")
@pytest.mark.parametrize(("path", "keeps_path"), [("/door/cam", False), ("/front door", False), ("/door", True)])
def test_below_a_path_of_a_proxy_everything_stays_below_it(
    chromium: Browser, tmp_path: Path, path: str, keeps_path: bool
) -> None:
    token, _ = read_token(tmp_path / "token")
    chromium.events.clear()
    with looping(tmp_path / "token") as loop, proxy(tmp_path, loop, path, keeps_path) as url:
        chromium.open(url, PHONE)
        chromium.until("document.activeElement.id === 'token'")
        chromium("Input.insertText", text=token)
        chromium.press("Enter")
        chromium.until("document.getElementById('status')?.textContent === 'Live'")
        assert chromium.value("location.href") == url
        until(lambda: loop.web.broadcaster.viewers == 1)
        cookies = chromium("Network.getCookies", urls=[url])["cookies"]
        below = "/" + url.split("/", 3)[3]
        assert [cookie["path"] for cookie in cookies] == [below]
        assert all(asked.startswith((url, "about:")) for asked in chromium.asked_for())
        log = (tmp_path / "access.log").read_text()
        assert token in log and all(f" {below}" in line for line in log.splitlines())
        chromium("Page.navigate", url="about:blank")


def test_the_sign_in_of_every_address_leads_to_the_page(tmp_path: Path) -> None:
    token, _ = read_token(tmp_path / "token")
    browser_like = {"User-Agent": "Mozilla/5.0"}
    with looping(tmp_path / "token") as loop:
        for path, root in (("/", "./"), ("/metrics", "./"), ("/api/status", "../")):
            status, headers, body = ask(loop.web, path, browser_like)
            assert status == 401 and f'action="{root}"'.encode() in body and headers["www-authenticate"] == "Bearer"
        proxied = {"X-Forwarded-Prefix": "/door/", "X-Forwarded-Proto": "https"}
        status, headers, _ = ask(loop.web, f"/?token={token}", proxied)
        assert (status, headers["location"]) == (303, "./") and "Path=/door/;" in headers["set-cookie"]
        assert ask(loop.web, f"/door/?token={token}", proxied)[0] == 303
        for wrong in ("//evil.example", "door", "/a;b", "/a\tb", "/é", "https://evil.example", ""):
            headers = ask(loop.web, f"/?token={token}", {"X-Forwarded-Prefix": wrong})[1]
            assert "Path=/;" in headers["set-cookie"] and headers["location"] == "./"


def basic(token: str, user: str = "anybody") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()}


def test_programs_that_know_a_user_and_a_password_are_let_in(tmp_path: Path) -> None:
    token, _ = read_token(tmp_path / "token")
    with looping(tmp_path / "token") as loop:
        for path in ("/api/status", "/snapshot.jpg", "/metrics", "/"):
            assert ask(loop.web, path, basic(token))[0] == 200
            assert ask(loop.web, path, basic(token, ""))[0] == 200
        loop.web.server.config.app.login_throttle.max_delay = 0.01  # type: ignore[union-attr]
        for wrong in (basic("x" + token), basic(""), {"Authorization": "Basic !!!"}, {"Authorization": "Basic"}):
            status, headers, _ = ask(loop.web, "/api/status", wrong)
            assert status == 401 and headers["www-authenticate"].startswith("Basic realm=")


def test_programs_that_wait_to_be_asked_are_asked(tmp_path: Path) -> None:
    """Python's own client, and OpenCV's FFmpeg, as VLC, motionEye and Home Assistant's cameras do."""
    token, _ = read_token(tmp_path / "token")
    with looping(tmp_path / "token") as loop:
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, loop.web.url, "camera", token)
        opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))
        with opener.open(loop.web.url + "snapshot.jpg", timeout=20) as answer:
            assert answer.read(3) == b"\xff\xd8\xff"
        video = cv2.VideoCapture(f"http://camera:{token}@127.0.0.1:{loop.web.port}/stream.mjpg", cv2.CAP_FFMPEG)
        shown, image = video.read()
        video.release()
        assert shown and image.shape == (480, 640, 3)


@contextmanager
def dashboard(folder: Path, url: str) -> Iterator[str]:
    """A page of another origin that shows ours in a frame."""
    (folder / "index.html").write_text(f"<title>dashboard</title><iframe src='{url}' width=400 height=700></iframe>")

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *words: object) -> None:
            super().__init__(*words, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.debian("chromium")
@pytest.mark.parametrize("is_named", [True, False])
def test_dashboards_that_are_named_may_show_the_page_in_a_frame(
    chromium: Browser, tmp_path: Path, is_named: bool
) -> None:
    page_port = free_port()
    with dashboard(tmp_path, f"http://127.0.0.1:{page_port}/") as origin:
        origins = (origin if is_named else "https://other.example",)
        with looping(address=f"127.0.0.1:{page_port}", frame_origins=origins) as loop:
            chromium.events.clear()
            chromium.open(origin, PHONE)
            if is_named:
                until(lambda: loop.web.broadcaster.viewers == 1)
            else:
                until(lambda: any("frame-ancestors" in said for said in chromium.complaints()))
                assert loop.web.broadcaster.viewers == 0
            chromium("Page.navigate", url="about:blank")


def test_the_cookie_of_a_framed_page_works_in_frames_over_tls_only(tmp_path: Path) -> None:
    token, _ = read_token(tmp_path / "token")
    with looping(tmp_path / "token", frame_origins=("https://ha.local:8123",)) as loop:
        headers = ask(loop.web, "/", basic(token))[1]
        assert "frame-ancestors 'self' https://ha.local:8123" in headers["content-security-policy"]
        assert "x-frame-options" not in headers
        plain = ask(loop.web, f"/?token={token}")[1]["set-cookie"]
        secure = ask(loop.web, f"/?token={token}", {"X-Forwarded-Proto": "https"})[1]["set-cookie"]
    assert "SameSite=strict" in plain and "Partitioned" not in plain
    assert "SameSite=none" in secure and "Secure" in secure and "Partitioned" in secure


@pytest.mark.parametrize("origin", ["*", "https://*.example", "ha.local", "https://a/b", "https://a; script-src *", ""])
def test_what_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ServeError, match="must look like"), looping(frame_origins=(origin,)):
        pass


def test_without_a_host_the_page_is_for_this_machine_only() -> None:
    with looping(address="0") as loop:
        assert loop.web.is_local and loop.web.listener.getsockname()[0] == "127.0.0.1"
