"""Announces the device to Home Assistant, and takes back what is out of date.

What was announced before, also by another run or another board with this topic, is read from the retained messages of
the broker. So nothing has to be remembered on the disk.
"""

from __future__ import annotations

import json
import logging
import socket
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
# Hosts of the page's address that stand for all addresses of this machine.
ANY_HOST = "0.0.0.0", "::"

logger = logging.getLogger(__name__)


class Announcer:
    """The announcements of one connection."""

    def __init__(self, topics: Topics, status: StatusView, connection: MqttConnection) -> None:
        self.topics, self.status, self.connection = topics, status, connection
        self.is_ready = False  # whether the retained messages have arrived
        self._description: DeviceDescription | None = None  # that is announced
        self._components: Components = {}  # that are announced on our topic
        self._others: dict[str, Components] = {}  # announced on other topics

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
        self._description = None

    def update(self) -> bool:
        """Announce the device if its description has changed; returns whether it was announced."""
        if not self.is_ready:
            return False
        if not self.topics.discovery_prefix:
            self._take_back_others()
            return False
        description = self._describe()
        if description == self._description:
            return False
        self._description = description
        announcement = build_announcement(self.topics, description)
        components = announcement["components"]
        self._migrate(components)
        if removed := removals(self._components, components):
            logger.info("no longer announced to Home Assistant: %s", ", ".join(removed))
            self._publish({**announcement, "components": {**components, **removed}})
        self._publish(announcement)
        self._components = components
        self._take_back_others()
        return True

    def _describe(self) -> DeviceDescription:
        info = self.status.info
        return DeviceDescription(
            tuple(self.status.labels),
            self.status.object_label,
            info.get("temperature") is not None,
            _reachable(info.get("page_url") or "", self.connection.local_host),
            version("pocketsight"),
        )

    def _publish(self, announcement: dict[str, Any]) -> None:
        self.connection.publish(self.topics.announcement, json.dumps(announcement, ensure_ascii=False))

    def _migrate(self, components: Components) -> None:
        """Prepare entities with a topic of their own for moving to ours, so that they keep their history."""
        for topic, others in self._others.items():
            is_single = topic.startswith(f"{self.topics.discovery_prefix}/") and "/device/" not in topic
            if is_single and others.keys() <= components.keys():
                self.connection.publish(topic, MIGRATE, retain=False)

    def _take_back_others(self) -> None:
        for topic in self._others:
            logger.info("no longer announced to Home Assistant: %s", topic)
            self.connection.publish(topic, "")
        self._others.clear()


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
