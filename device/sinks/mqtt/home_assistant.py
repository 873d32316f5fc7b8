"""What Home Assistant is told so that it shows our numbers without being configured.

One configuration a sensor, with keys written out: the form that every version understands. Identities are made of the
topic only, so they outlive runs, addresses and boards.
"""

from __future__ import annotations

import json
from typing import Any

from pocketsight.device.inference.classifier import UNSURE
from pocketsight.device.sinks.mqtt.topics import slugify, topic_id

BIRTH_TOPIC = "status"  # below the discovery prefix; Home Assistant says "online" there when it starts
ORIGIN = "pocketsight"


def build_discovery_messages(
    discovery_prefix: str, prefix: str, labels: tuple[str, ...], temperature: bool, version: str
) -> dict[str, str]:
    """Texts by topic, to be retained. `discovery`: Home Assistant's prefix; `temperature`: whether it is known."""
    name = topic_id(prefix)
    shared = {
        "state_topic": f"{prefix}/state",
        "availability_topic": f"{prefix}/status",
        "device": {
            "identifiers": [name],
            "name": prefix.replace("/", " "),
            "manufacturer": ORIGIN,
            "model": "faces and sentiment",
            "sw_version": version,
        },
        "origin": {"name": ORIGIN, "sw_version": version},
    }
    found = {}
    for key, sensor in _sensors(labels, temperature).items():
        kind = "binary_sensor" if key == "problem" else "sensor"
        config = {"unique_id": f"{name}_{key}", **sensor, **shared}
        if key == "problem":
            config["json_attributes_topic"] = f"{prefix}/state"
        found[f"{discovery_prefix}/{kind}/{name}/{key}/config"] = json.dumps(config, ensure_ascii=False)
    return found


def _sensors(labels: tuple[str, ...], temperature: bool) -> dict[str, dict[str, Any]]:
    counted = {"unit_of_measurement": "faces", "state_class": "measurement"}
    sensors: dict[str, dict[str, Any]] = {
        "faces": {"name": "Faces", "icon": "mdi:face-recognition", **_value_template("faces"), **counted},
        "seen": {
            "name": "Faces seen",
            "icon": "mdi:counter",
            **_value_template("seen"),
            **counted,
            "state_class": "total_increasing",
        },
        "sentiment": {"name": "Last sentiment", "icon": "mdi:emoticon-outline", **_value_template("sentiment")},
        "fps": {
            "name": "Frame rate",
            "icon": "mdi:speedometer",
            **_value_template("fps"),
            "unit_of_measurement": "fps",
            "state_class": "measurement",
            "entity_category": "diagnostic",
        },
        "problem": {
            "name": "Problem",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "value_template": "{{ 'ON' if value_json.faults else 'OFF' }}",
            "json_attributes_template": "{{ {'faults': value_json.faults} | tojson }}",
        },
    }
    for label in (*labels, UNSURE):
        quoted = json.dumps(label, ensure_ascii=False)
        sensors[f"label_{slugify(label)}"] = {
            "name": f"{label.capitalize()} faces",
            "icon": "mdi:emoticon-outline",
            "value_template": f"{{{{ value_json.labels[{quoted}] }}}}",
            **counted,
        }
    if temperature:
        sensors["temperature"] = {
            "name": "Temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            "state_class": "measurement",
            "entity_category": "diagnostic",
            **_value_template("temperature"),
        }
    return sensors


def _value_template(key: str) -> dict[str, str]:
    return {"value_template": f"{{{{ value_json.{key} }}}}"}
