"""The page in a real Chromium, on the screens of a phone and a desk."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pocketsight.device.web.auth import read_token
from tests.support.browsers import Browser, browser
from tests.support.looping import Loop, ask, looping
from tests.support.processes import until

pytestmark = pytest.mark.debian("chromium")

PHONE, SMALL, DESK = (360, 740), (320, 640), (1280, 800)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def page(chromium: Browser) -> Iterator[Browser]:
    """A browser that has nothing to complain about; it leaves the page before the page's server is gone."""
    chromium.hear()
    chromium.events.clear()
    yield chromium
    chromium("Page.navigate", url="about:blank")


def live(page: Browser, loop: Loop, size: tuple[int, int] = PHONE, dark: bool = False) -> None:
    page.open(loop.web.url, size, dark)
    page.until("document.getElementById('status').textContent === 'Live'")


def text(page: Browser, name: str) -> str:
    return str(page.value(f"document.getElementById('{name}').innerText"))


def leave(page: Browser) -> None:
    page("Page.navigate", url="about:blank")


@pytest.mark.parametrize("size", [PHONE, DESK, SMALL])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_shows_everything_without_a_complaint_or_a_foreign_address(
    page: Browser, size: tuple[int, int], dark: bool
) -> None:
    with looping(faces=5) as loop:
        loop.state.info |= {"temperature": 48.2, "faults": {"broker lost": "mqtt://pi.local: " + "refused" * 12}}
        loop.publish("appeared", track_id=3, label="happy")
        loop.publish("broker lost", "fault", active=True, detail="refused")
        live(page, loop, size, dark)
        page.until("document.querySelectorAll('#faces-now li').length === 5")
        page.until("document.querySelectorAll('#events li').length === 2")
        assert "48.2 °C" in text(page, "numbers")
        assert "Face 3 appeared: happy" in text(page, "events")
        assert "broker lost: mqtt://pi.local" in text(page, "faults")
        assert "14.20 ms" in text(page, "stages")
        page.until("document.querySelectorAll('#history rect').length > 0")
        assert page.value("document.documentElement.scrollWidth <= innerWidth")
        ground = page.value("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(16, 20, 18)") is dark
        leave(page)
    assert page.complaints() == []
    own = loop.web.url
    assert {url for url in page.asked_for() if not url.startswith(own)} <= {"about:blank"}


def test_the_picture_lives_and_can_be_paused(page: Browser) -> None:
    with looping() as loop:
        live(page, loop)
        pictures = set()
        until(lambda: len(pictures.add(seen(page)) or pictures) > 3)  # type: ignore[func-returns-value]
        page.value("document.getElementById('pause').click()")
        page.until("document.getElementById('status').textContent === 'Live, image paused'")
        until(lambda: loop.web.broadcaster.viewers == 0)
        time.sleep(0.5)
        still = seen(page)
        time.sleep(0.5)
        assert seen(page) == still
        page.value("document.getElementById('pause').click()")
        until(lambda: loop.web.broadcaster.viewers == 1 and seen(page) != still)
        leave(page)
    assert page.complaints() == []


def seen(page: Browser) -> str:
    """The pixels of the picture."""
    return str(
        page.value("""(() => {
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [64, 48];
            canvas.getContext('2d').drawImage(document.getElementById('image'), 0, 0, 64, 48);
            return canvas.toDataURL();
        })()""")
    )


def test_everything_can_be_reached_and_used_by_keyboard(page: Browser) -> None:
    with looping() as loop:
        live(page, loop, DESK)
        reached = []
        for _ in range(7):
            page.press("Tab")
            assert page.value("document.activeElement.matches(':focus-visible')")
            assert page.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            box = json.loads(page.value("JSON.stringify(document.activeElement.getBoundingClientRect())"))
            assert box["bottom"] > 0 and box["width"] > 0  # what has the focus can be seen
            reached.append(page.value("document.activeElement.textContent"))
            if reached[-1] == "Pause":
                page.press(" ")
                page.until("document.getElementById('pause').getAttribute('aria-pressed') === 'true'")
        assert reached == ["Skip the image", "Pause", "Save image", "Status", "Events", "Metrics", "Health"]
        page.value("document.querySelector('.skip').focus()")
        page.press("Enter")
        page.until("location.hash === '#faces'")
        leave(page)


def test_a_screen_reader_finds_its_way_and_is_not_talked_to_all_the_time(page: Browser) -> None:
    with looping(faces=2) as loop:
        live(page, loop)
        tree = page("Accessibility.getFullAXTree")["nodes"]
        found = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if "role" in node}
        for role, name in (
            ("banner", ""),
            ("main", ""),
            ("contentinfo", ""),
            ("heading", "pocketsight"),
            ("heading", "Faces now"),
            ("region", "Last hour"),
            ("button", "Pause"),
            ("status", ""),
            ("rowheader", "detect faces"),
        ):
            assert (role, name) in found
        assert any(role == "image" and name.startswith("Last hour") for role, name in found)
        page.value("""window.said = 0;
            for (const live of document.querySelectorAll('[aria-live], [role=status]'))
                new MutationObserver(() => window.said++).observe(live, {childList: true, subtree: true})""")
        asked = sum(url.endswith("/api/status") for url in page.asked_for())
        until(lambda: sum(url.endswith("/api/status") for url in page.asked_for()) > asked + 2)
        assert page.value("window.said") == 0
        loop.state.info["faults"] = {"hot": "83 °C"}
        page.until("window.said > 0")
        leave(page)


def test_a_lost_connection_is_told_and_found_again(page: Browser) -> None:
    with looping() as loop:
        live(page, loop)
        address = f"127.0.0.1:{loop.web.port}"
    page.until("document.getElementById('status').textContent.startsWith('Connection lost')")
    assert "Unknown" in text(page, "faces")
    with looping(address=address, faces=2) as again:
        page.until("document.getElementById('status').textContent === 'Live'", 30)
        until(lambda: again.web.broadcaster.viewers == 1)
        pictures = set()
        until(lambda: len(pictures.add(seen(page)) or pictures) > 2)  # type: ignore[func-returns-value]
        assert len(page.value("document.getElementById('faces-now').children")) == 2
        leave(page)


def test_a_camera_that_is_lost_and_a_run_that_rests_are_told(page: Browser) -> None:
    with looping() as loop:
        live(page, loop)
        loop.paused = True
        loop.state.info["idle"] = True
        page.until("document.getElementById('status').textContent.startsWith('Idle')")
        loop.state.info["faults"] = {"camera lost": "unplugged"}
        page.until("document.getElementById('status').textContent === 'No image'")
        page.until("document.getElementById('cover').textContent.trim() === 'camera lost: unplugged'")
        loop.state.info |= {"faults": {}, "idle": False}
        loop.paused = False
        page.until("document.getElementById('status').textContent === 'Live'")
        page.until("document.getElementById('cover').hidden && document.getElementById('faults').hidden")
        leave(page)
    assert page.complaints() == []


def test_what_others_wrote_is_shown_as_text(page: Browser) -> None:
    evil = "<img src=x onerror=document.title='bad'><script>document.title='bad'</script>"
    with looping() as loop:
        loop.state.info["faults"] = {evil: evil}
        loop.publish("appeared", track_id=1, label=evil)
        live(page, loop)
        page.until("document.querySelectorAll('#events li').length === 1")
        assert evil in text(page, "faults")
        assert evil in text(page, "events")
        assert page.value("document.title") == "pocketsight"
        leave(page)
    assert page.complaints() == []


def test_a_browser_signs_in_and_the_token_leaves_the_address(page: Browser, tmp_path: Path) -> None:
    token, _ = read_token(tmp_path / "token")
    with looping(tmp_path / "token") as loop:
        page.open(loop.web.url, PHONE)
        page.until("document.activeElement.id === 'token'")
        assert page.value("document.querySelector('label').textContent") == "Token"
        page("Input.insertText", text=token)
        page.press("Enter")
        page.until("document.getElementById('status')?.textContent === 'Live'")
        assert page.value("location.href") == loop.web.url
        assert token not in page.value("document.cookie + document.documentElement.outerHTML")
        history = page("Page.getNavigationHistory")["entries"]
        assert not [entry["url"] for entry in history if token in entry["url"]]
        until(lambda: loop.web.broadcaster.viewers == 1)
        leave(page)


def test_without_javascript_there_is_still_the_picture(page: Browser) -> None:
    with looping() as loop:
        page("Emulation.setScriptExecutionDisabled", value=True)
        try:
            page.open(loop.web.url, PHONE)
            until(lambda: loop.web.broadcaster.viewers == 1)
            page.until("document.getElementById('image').naturalWidth === 640")
            assert "the numbers need it" in str(page.value("document.body.innerText"))
            assert page.value("document.getElementById('pause').hidden")
            leave(page)
        finally:
            page("Emulation.setScriptExecutionDisabled", value=False)


def test_a_page_that_nobody_looks_at_lets_the_board_rest(page: Browser) -> None:
    with looping() as loop:
        live(page, loop)
        page.value("""Object.defineProperty(document, 'hidden', {get: () => window.away ?? false, configurable: true});
            window.away = true; document.dispatchEvent(new Event('visibilitychange'))""")
        until(lambda: loop.web.broadcaster.viewers == 0)
        page.value("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
        until(lambda: loop.web.broadcaster.viewers == 1)
        leave(page)


def test_a_page_of_another_site_cannot_show_the_picture(page: Browser, tmp_path: Path) -> None:
    """Not in a frame, not as an image: the browser refuses it by our headers."""
    with looping() as loop:
        other = tmp_path / "other.html"
        other.write_text(
            f"<img src='{loop.web.url}snapshot.jpg' onload=\"document.title='seen'\" onerror=\"document.title='not'\">"
            f"<iframe src='{loop.web.url}'></iframe>"
        )
        page.open(other.as_uri(), DESK)
        page.until("document.title !== ''")
        assert page.value("document.title") == "not"
        assert ask(loop.web, "/snapshot.jpg")[0] == 200
        until(lambda: any("frame-ancestors" in said or "X-Frame-Options" in said for said in page.complaints()))
