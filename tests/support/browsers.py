"""A real Chromium for tests, driven through the pipe of its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import until

SWITCHES = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-pipe"
).split()
START = (  # it wants to hear on 3 and to tell on 4
    "import os, sys; from fcntl import F_DUPFD, fcntl\n"
    "hears, told = (fcntl(int(word), F_DUPFD, 10) for word in sys.argv[1:3])\n"
    "os.dup2(hears, 3); os.dup2(told, 4); os.execvp(sys.argv[3], sys.argv[3:])\n"
)


class Browser:
    """One page. Messages are JSON, each ended by a zero byte."""

    def __init__(self, asks: int, says: int) -> None:
        self.asks, self.says, self.rest, self.number = asks, says, b"", 0
        self.events: list[dict[str, Any]] = []
        self.answers: dict[int, dict[str, Any]] = {}
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self.session: str | None = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    session: str | None = None

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for something and wait for the answer."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.asks, json.dumps(message).encode() + b"\0")
        number = self.number
        until(lambda: number in self.hear(), 30)
        answer = self.answers.pop(number)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def hear(self, seconds: float = 0.01) -> dict[int, dict[str, Any]]:
        """Take in what the browser says; the answers that nobody has taken yet."""
        while select.select([self.says], [], [], seconds)[0]:
            said = os.read(self.says, 1 << 20)
            assert said, "the browser has ended"
            self.rest += said
            *whole, self.rest = self.rest.split(b"\0")
            for message in map(json.loads, whole):
                if "id" in message:
                    self.answers[message["id"]] = message
                else:
                    self.events.append(message)
            seconds = 0
        return self.answers

    def open(self, url: str, size: tuple[int, int], dark: bool = False, calm: bool = False) -> None:
        """Go to a page on a screen of `size` (width, height)."""
        width, height = size
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        features = {"prefers-color-scheme": "dark" if dark else "light"}
        features["prefers-reduced-motion"] = "reduce" if calm else "no-preference"
        self("Emulation.setEmulatedMedia", features=[{"name": n, "value": v} for n, v in features.items()])
        self("Page.navigate", url=url)
        self.until("document.readyState != 'loading'")

    def value(self, expression: str) -> Any:
        """What a piece of JavaScript gives."""
        found = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str, seconds: float = 20) -> None:
        """Wait until a piece of JavaScript gives true."""
        end = time.monotonic() + seconds
        while not self.value(expression):
            assert time.monotonic() < end, f"waited in vain for {expression}\n{self.value('document.body.innerText')}"
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """A key of the keyboard."""
        code = {"Tab": 9, "Enter": 13, " ": 32}[key]
        text = {"Enter": "\r", " ": " "}.get(key, "")
        down = {"type": "keyDown", "key": key, "windowsVirtualKeyCode": code, "text": text}
        self("Input.dispatchKeyEvent", **down)
        self("Input.dispatchKeyEvent", **{**down, "type": "keyUp", "text": ""})

    def picture(self, path: Path | None = None, whole: bool = False) -> bytes:
        """What is seen, as PNG; with `whole` also what is below the edge of the screen."""
        data = base64.b64decode(self("Page.captureScreenshot", captureBeyondViewport=whole)["data"])
        if path:
            path.write_bytes(data)
        return data

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, and exceptions, since the start."""
        self.hear()
        found = []
        for event in self.events:
            kind, what = event["method"], event["params"]
            if kind == "Runtime.exceptionThrown":
                found.append(str(what["exceptionDetails"].get("exception", what)))
            if kind == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
                found.append(f"{what['entry']['text']} {what['entry'].get('url', '')}")
            if kind == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning"):
                found.append(str(what["args"]))
        return found

    def asked_for(self) -> list[str]:
        """Every address that was asked for, since the start."""
        self.hear()
        return [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]


@contextmanager
def browser(switches: tuple[str, ...] = ()) -> Iterator[Browser]:
    """A browser that does not outlive its test."""
    hears, asks = os.pipe()
    says, told = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        words = ["chromium", *SWITCHES, *switches, f"--user-data-dir={folder}", "about:blank"]
        start = [sys.executable, "-c", START, str(hears), str(told), *words]
        with subprocess.Popen(
            start, pass_fds=(hears, told), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            os.close(hears)
            os.close(told)
            try:
                yield Browser(asks, says)
            finally:
                _end(process, asks, says)


def _end(process: subprocess.Popen[bytes], asks: int, says: int) -> None:
    """Without its pipe it ends itself and its children."""
    os.close(asks)
    os.close(says)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
