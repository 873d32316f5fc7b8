"""Announces the device to Home Assistant, and takes back what is out of date.

What was announced before, also by another run or another board with this topic, is read from the retained messages of
the broker. So nothing has to be remembered on the disk.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections import deque
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pocketsight.device.results import StatusView
from pocketsight.device.sinks.mqtt.connection import Message, MqttConnection
from pocketsight.device.sinks.mqtt.home_assistant import (
    ORIGIN,
    Components,
    DeviceDescription,
    build_announcement,
    removals,
)
from pocketsight.device.sinks.mqtt.topics import Topics

MIGRATE = json.dumps({"migrate_discovery": True})
# Seconds between the steps of a change: Home Assistant needs time for each.
STEP_INTERVAL = 2.0
# Hosts of the page's address that stand for all addresses of this machine.
ANY_HOST = "0.0.0.0", "::"

logger = logging.getLogger(__name__)


class Announcer:
    """The announcements of one connection."""

    def __init__(self, topics: Topics, status: StatusView, connection: MqttConnection) -> None:
        self.topics, self.status, self.connection = topics, status, connection
        self._version = version("pocketsight")  # read once: `update` is called all the time
        self.is_ready = False  # whether the retained messages have arrived
        self._description: DeviceDescription | None = None  # that is announced
        self._components: Components = {}  # that are announced on our topic
        self._removed: Components = {}  # that were announced on our topic, with their settings
        self._has_started = False  # Home Assistant, since the last announcement
        self._others: dict[str, Components] = {}  # announced on other topics
        self._steps: deque[list[tuple[str, str, bool]]] = deque()  # messages of each: topic, text, retain
        self._next_step = 0.0  # monotonic seconds

    def receive(self, message: Message) -> None:
        """Note a retained announcement of our device; other messages are ignored."""
        if not message.retained or not message.topic.endswith("/config"):
            return
        try:
            config = json.loads(message.text or b"{}")
            is_ours = config["origin"]["name"] == ORIGIN
            components = config.get("components", {message.topic.split("/")[-2]: {"platform": _kind(message.topic)}})
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        if not is_ours:
            return
        if self.topics.discovery_prefix and message.topic == self.topics.announcement:
            self._components = components
        else:
            self._others[message.topic] = components

    def announce_again(self) -> None:
        """Home Assistant has started: announce the device even if nothing has changed."""
        self._description, self._has_started = None, True

    def update(self) -> bool:
        """Publish what is due; returns whether the description of the device has changed."""
        if not self.is_ready or time.monotonic() < self._next_step:
            return False
        if self._steps:
            self._publish_step()
            return False
        if not self.topics.discovery_prefix:
            for topic in self._others:
                self._publish(topic, "")
            self._others.clear()
            return False
        description = self._describe()
        if description == self._description:
            return False
        self._description = description
        self._plan(build_announcement(self.topics, description))
        self._publish_step()
        return True

    def _plan(self, announcement: dict[str, Any]) -> None:
        """Divide a change into steps."""
        components, others = announcement["components"], self._others
        if self._has_started and self._removed:  # it was away then, and removes only what was announced to it
            self._components |= self._removed
            self._steps.append([self._message({**announcement, "components": {**self._removed, **components}})])
            self._removed = {}
        removed = removals(self._components, components)
        if not self._has_started:
            self._removed |= {name: self._components[name] for name in removed}
        self._has_started = False
        # Entities with a topic of their own keep their history if their move to ours is announced before.
        moves = [topic for topic in others if self._is_single(topic) and others[topic].keys() <= components.keys()]
        if moves:
            self._steps.append([(topic, MIGRATE, False) for topic in moves])
        if removed:
            logger.info("no longer announced to Home Assistant: %s", ", ".join(removed))
            self._steps.append([self._message({**announcement, "components": {**components, **removed}})])
        self._steps.append([self._message(announcement)])
        if others or removed:  # again: it skips a part of an announcement while it still works on an entity
            self._steps.append([*((topic, "", True) for topic in others), self._message(announcement)])
        self._components, self._others = components, {}

    def _publish_step(self) -> None:
        for topic, text, retain in self._steps.popleft():
            self._publish(topic, text, retain)
        self._next_step = time.monotonic() + STEP_INTERVAL if self._steps else 0.0

    def _publish(self, topic: str, text: str, retain: bool = True) -> None:
        if not text:
            logger.info("no longer announced to Home Assistant: %s", topic)
        self.connection.publish(topic, text, retain)

    def _message(self, announcement: dict[str, Any]) -> tuple[str, str, bool]:
        return self.topics.announcement, json.dumps(announcement, ensure_ascii=False), True

    def _is_single(self, topic: str) -> bool:
        """Whether an entity was announced on a topic of its own, to the same Home Assistant."""
        return topic.startswith(f"{self.topics.discovery_prefix}/") and "/device/" not in topic

    def _describe(self) -> DeviceDescription:
        info = self.status.info
        return DeviceDescription(
            tuple(self.status.labels),
            self.status.object_label,
            info.get("temperature") is not None,
            _reachable(info.get("page_url") or "", self.connection.local_host),
            self._version,
        )


def _kind(topic: str) -> str:
    """The kind of an entity with a discovery topic of its own: PREFIX/KIND/DEVICE/NAME/config."""
    return topic.split("/")[-4]


def _reachable(url: str, local_host: str) -> str:
    """The address of the page as other machines can open it; "" if they cannot."""
    parts = urlsplit(url)
    if parts.hostname not in ANY_HOST:
        return url
    host = local_host.partition("%")[0].removeprefix("::ffff:")
    if not host or host.startswith("127.") or host == "::1":  # the broker is on this machine
        host = socket.gethostname()
    netloc = f"[{host}]" if ":" in host else host
    return urlunsplit(parts._replace(netloc=f"{netloc}:{parts.port}"))
