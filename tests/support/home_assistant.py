"""A real Home Assistant, set up over its REST API, and asked over its WebSocket."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support import ROOT
from tests.support.browsers import Browser
from tests.support.processes import running, until

SCRIPT = ROOT / "scripts" / "home_assistant.sh"
ENVIRONMENT = Path(os.environ.get("HOME_ASSISTANT", ROOT / ".venv-home-assistant"))
CLIENT = {"client_id": "http://127.0.0.1:8123/"}
URL = "http://127.0.0.1:8123"  # its first start knows no other port
CONFIGURATION = """
api:
config:
frontend:
history:
recorder: {commit_interval: 0}
logger: {default: warning}
"""


class HomeAssistant:
    """One that runs, with an owner and a connection to the broker on `port`."""

    def __init__(self, log: Path) -> None:
        self.log, self.tokens, self.number = log, {}, 0  # type: ignore[var-annotated]

    def set_up(self, port: int) -> None:
        """Make the first user, and add the MQTT integration."""
        user = {"name": "Test", "username": "test", "password": "test-test", "language": "en", **CLIENT}
        code = self.call("/api/onboarding/users", user)["auth_code"]
        self.tokens = self.call("/auth/token", {"grant_type": "authorization_code", "code": code, **CLIENT}, form=True)
        for step in ("core_config", "analytics"):
            self.call(f"/api/onboarding/{step}", {})
        self.call("/api/onboarding/integration", {**CLIENT, "redirect_uri": URL})
        flow = self.call("/api/config/config_entries/flow", {"handler": "mqtt", "show_advanced_options": True})
        if flow["type"] == "menu":
            flow = self.call(f"/api/config/config_entries/flow/{flow['flow_id']}", {"next_step_id": "broker"})
        broker = {
            "broker": "127.0.0.1",
            "port": port,
            "other_settings": {"set_client_cert": False, "set_ca_cert": "off"},
        }
        done = self.call(f"/api/config/config_entries/flow/{flow['flow_id']}", broker)
        assert done["type"] == "create_entry", done

    def call(self, path: str, body: Any = None, form: bool = False) -> Any:
        """A request to its API: POST with a body, else GET."""
        data = None if body is None else (urllib.parse.urlencode(body) if form else json.dumps(body)).encode()
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        headers = {"Content-Type": kind}
        if self.tokens:
            headers["Authorization"] = f"Bearer {self.tokens['access_token']}"
        try:
            with urllib.request.urlopen(urllib.request.Request(URL + path, data, headers), timeout=60) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read().decode()}") from error
        try:
            return json.loads(text)
        except ValueError:
            return text

    def ask(self, kind: str, **more: Any) -> Any:
        """The result of a command of its WebSocket."""
        from websockets.sync.client import connect

        with connect(URL.replace("http", "ws") + "/api/websocket", max_size=None) as socket:
            socket.recv()
            socket.send(json.dumps({"type": "auth", "access_token": self.tokens["access_token"]}))
            socket.recv()
            socket.send(json.dumps({"id": 1, "type": kind, **more}))
            answer = json.loads(socket.recv())
        assert answer["success"], answer
        return answer["result"]

    def states(self) -> dict[str, dict[str, Any]]:
        """States by entity id."""
        return {state["entity_id"]: state for state in self.call("/api/states") if "home_door" in state["entity_id"]}

    def device(self) -> dict[str, Any] | None:
        """Our device in its registry."""
        found = [one for one in self.ask("config/device_registry/list") if one["manufacturer"] == "pocketsight"]
        return found[0] if found else None

    def history(self, entity: str) -> list[str]:
        """All states of an entity in its database."""
        rows = self.call(f"/api/history/period?filter_entity_id={entity}&minimal_response")
        return [row["state"] for row in rows[0]] if rows else []

    def complaints(self) -> list[str]:
        """Warnings and errors of its MQTT integration."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if "components.mqtt" in line and (" WARNING " in line or " ERROR " in line)]

    def picture(self, browser: Browser, path: str, file: Path) -> None:
        """What one of its pages looks like."""
        browser.open(f"{URL}/manifest.json", (1280, 1000))
        tokens = {**self.tokens, "hassUrl": URL, "clientId": CLIENT["client_id"], "expires": 9e15}
        browser.value(f"localStorage.setItem('hassTokens', {json.dumps(json.dumps(tokens))})")
        browser.open(URL + path, (1280, 1000))
        time.sleep(5)  # its page has no sign that it is complete, but an empty one is a small file
        until(lambda: len(browser.picture()) > 40_000, 60)
        time.sleep(10)
        browser.picture(file)


@contextmanager
def home_assistant(folder: Path) -> Iterator[HomeAssistant]:
    """One with its files in `folder`, ended at the end."""
    folder.mkdir(exist_ok=True)
    (folder / "configuration.yaml").write_text(CONFIGURATION)
    log = folder / "output.log"
    with open(log, "ab") as output, running([str(SCRIPT), str(folder)], stdout=output, stderr=output) as process:
        found = HomeAssistant(log)
        until(lambda: process.poll() is not None or _answers(), 240)
        assert process.poll() is None, log.read_text()
        try:
            yield found
        finally:
            process.terminate()
            process.wait(60)


def _answers() -> bool:
    with suppress(OSError, urllib.error.URLError):
        return bool(urllib.request.urlopen(f"{URL}/manifest.json", timeout=2).status == 200)
    return False
