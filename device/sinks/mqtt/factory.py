"""open_mqtt: from the address of a broker to a sink."""

from __future__ import annotations

import logging
from pathlib import Path

from pocketsight.device.errors import ServeError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import StatusView
from pocketsight.device.sinks.mqtt.address import parse_broker_address
from pocketsight.device.sinks.mqtt.config import MqttConfig
from pocketsight.device.sinks.mqtt.credentials import read_password, tls_context
from pocketsight.device.sinks.mqtt.outbox import Outbox
from pocketsight.device.sinks.mqtt.sink import MqttSink
from pocketsight.device.sinks.mqtt.topics import Topics

logger = logging.getLogger(__name__)


def open_mqtt(
    target: str, config: MqttConfig, status: StatusView, folder: Path, report_fault: FaultReporter
) -> MqttSink:
    """A sink for `mqtt://[user@]host[:port][/topic]`. It connects in the background, as soon as the broker answers.

    The outbox is a file in `folder`. Raises ServeError when the settings cannot work, and LogError when the outbox
    cannot be opened.
    """
    address = parse_broker_address(target)
    if config.password_file:
        if not address.user:
            raise ServeError("--mqtt-password-file needs a user in the address: mqtt://NAME@HOST/TOPIC")
        read_password(config.password_file)
        if config.password_file.stat().st_mode & 0o004:
            path = config.password_file
            logger.warning("every user can read %s; protect it: chmod 600 %s", path, path)
    if config.ca_file and not address.tls:
        raise ServeError(f"--mqtt-ca-file is for mqtts:// addresses; {address} is not encrypted")
    context = tls_context(config.ca_file) if address.tls else None
    topics = Topics(address.prefix, config.discovery_prefix)
    outbox = Outbox(folder / f"outbox-{topics.device_id}.db", config.queue_size)
    return MqttSink(address, topics, config.password_file, context, outbox, status, report_fault)
