"""Home Assistant discovery: messages that make it show our sensors without configuration.

One message per sensor, with unabbreviated keys, which every version understands. Identifiers depend on the topic
only, so that a sensor keeps its history over runs, addresses and boards.
"""

from __future__ import annotations

import json
from typing import Any

from pocketsight.device.inference.classifier import UNSURE
from pocketsight.device.sinks.mqtt.topics import Topics, slugify

ORIGIN = "pocketsight"
FACES = {"unit_of_measurement": "faces", "state_class": "measurement"}
DIAGNOSTIC = {"state_class": "measurement", "entity_category": "diagnostic"}


def build_discovery_messages(
    topics: Topics, labels: tuple[str, ...], has_temperature: bool, version: str
) -> dict[str, str]:
    """Retained messages by topic, one per sensor.

    `labels` are those of the classifier, `has_temperature` is whether the board has a sensor for it, and `version` is
    that of pocketsight.
    """
    shared = {
        "state_topic": topics.state,
        "availability_topic": topics.status,
        "device": {
            "identifiers": [topics.device_id],
            "name": topics.prefix.replace("/", " "),
            "manufacturer": ORIGIN,
            "model": "face detector and classifier",
            "sw_version": version,
        },
        "origin": {"name": ORIGIN, "sw_version": version},
    }
    messages = {}
    for key, sensor in _sensors(labels, has_temperature).items():
        kind = "binary_sensor" if key == "problem" else "sensor"
        config = {"unique_id": f"{topics.device_id}_{key}", **sensor, **shared}
        if key == "problem":
            config["json_attributes_topic"] = topics.state
        messages[topics.sensor_config(kind, key)] = json.dumps(config, ensure_ascii=False)
    return messages


def _sensors(labels: tuple[str, ...], has_temperature: bool) -> dict[str, dict[str, Any]]:
    sensors: dict[str, dict[str, Any]] = {
        "faces": {"name": "Faces", "icon": "mdi:face-recognition", **_template("faces"), **FACES},
        "faces_total": {
            "name": "Faces seen",
            "icon": "mdi:counter",
            **_template("faces_total"),
            **FACES,
            "state_class": "total_increasing",
        },
        "label": {"name": "Last label", "icon": "mdi:emoticon-outline", **_template("label")},
        "fps": {
            "name": "Frame rate",
            "icon": "mdi:speedometer",
            **_template("fps"),
            "unit_of_measurement": "fps",
            **DIAGNOSTIC,
        },
        "problem": {
            "name": "Problem",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "value_template": "{{ 'ON' if value_json.faults else 'OFF' }}",
            "json_attributes_template": "{{ {'faults': value_json.faults} | tojson }}",
        },
    }
    sensors |= {f"label_{slugify(label)}": _label_sensor(label) for label in (*labels, UNSURE)}
    if has_temperature:
        sensors["temperature"] = {
            "name": "Temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            **_template("temperature"),
            **DIAGNOSTIC,
        }
    return sensors


def _label_sensor(label: str) -> dict[str, Any]:
    quoted = json.dumps(label, ensure_ascii=False)
    return {
        "name": f"{label.capitalize()} faces",
        "icon": "mdi:emoticon-outline",
        "value_template": f"{{{{ value_json.labels[{quoted}] }}}}",
        **FACES,
    }


def _template(key: str) -> dict[str, str]:
    return {"value_template": f"{{{{ value_json.{key} }}}}"}
