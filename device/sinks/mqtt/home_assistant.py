"""Home Assistant discovery: one message that makes it show our device without configuration.

Keys are not abbreviated. Identifiers depend on the topic and the labels only, so that an entity keeps its history over
runs, addresses and boards. Needs Home Assistant 2024.12 or later.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from pocketsight.device.inference.classifier import UNSURE
from pocketsight.device.sinks.mqtt.topics import Topics, slugify

ORIGIN = "pocketsight"
EVENTS = "appeared", "changed", "left"
MEASUREMENT = {"state_class": "measurement"}
DIAGNOSTIC = {**MEASUREMENT, "entity_category": "diagnostic"}
# Attributes of the event entity, if the event has them.
EVENT_ATTRIBUTES = "label", "previous", "track_id", "duration_s", "score", "time", "id"
# Events and faults have the same topic: an empty text is ignored.
EVENT_TEMPLATE = (
    "{% if value_json.kind == 'face' %}{{ dict(event_type=value_json.event, "
    + ", ".join(f"{key}=value_json.get('{key}')" for key in EVENT_ATTRIBUTES)
    + ") | tojson }}{% endif %}"
)
TRIGGER_TEMPLATE = "{{ value_json.event if value_json.kind == 'face' else '' }}"

Components = dict[str, dict[str, Any]]


class DeviceDescription(NamedTuple):
    """What is announced depends on this."""

    labels: tuple[str, ...]  # of the classifier
    object_label: str  # of the detector
    has_temperature: bool  # whether the board has a sensor for it
    page_url: str  # "": there is no page that others can open
    version: str  # of pocketsight


def build_announcement(topics: Topics, description: DeviceDescription) -> dict[str, Any]:
    """The discovery message of the device, ready for JSON. Its components are by name."""
    device = {
        "identifiers": [topics.device_id],
        "name": topics.prefix.replace("/", " "),
        "manufacturer": ORIGIN,
        "model": f"{description.object_label} detector and classifier",
        "sw_version": description.version,
    }
    if description.page_url:
        device["configuration_url"] = description.page_url
    return {
        "device": device,
        "origin": {"name": ORIGIN, "sw_version": description.version},
        "state_topic": topics.state,
        "availability_topic": topics.status,
        "components": {
            **_entities(topics, description),
            **_triggers(topics, description.object_label),
        },
    }


def removals(old: Components, new: Components) -> Components:
    """Components that are no longer announced, in the form that removes them."""
    return {
        name: {"platform": component["platform"]}
        for name, component in old.items()
        if name not in new or new[name]["platform"] != component["platform"]
    }


def label_keys(labels: Sequence[str]) -> dict[str, str]:
    """A key for each label: its slug, with a hash where other labels have the same one or nothing is left of it."""
    counts = Counter(slugify(label) for label in labels)
    keys = {}
    for label in labels:
        slug = slugify(label)
        is_unique = slug == label or (slug and counts[slug] == 1)
        keys[label] = f"label_{slug}" if is_unique else f"label_{slug}_{sha256(label.encode()).hexdigest()[:8]}"
    return keys


def _entities(topics: Topics, description: DeviceDescription) -> Components:
    noun = "faces" if description.object_label == "face" else description.object_label
    count = {"unit_of_measurement": noun, **MEASUREMENT}
    icon = "mdi:face-recognition" if noun == "faces" else "mdi:eye-outline"
    sensors: Components = {
        "faces": {"name": _title(noun), "icon": icon, **_template("faces"), **count},
        "faces_total": {
            "name": f"{_title(noun)} seen",
            "icon": "mdi:counter",
            **_template("faces_total"),
            **count,
            "state_class": "total_increasing",
        },
        "label": {"name": "Last label", "icon": "mdi:tag-outline", **_template("label")},
        "fps": {
            "name": "Frame rate",
            "icon": "mdi:speedometer",
            **_template("fps"),
            "unit_of_measurement": "fps",
            **DIAGNOSTIC,
        },
        **_label_sensors(description.labels, noun, count),
    }
    if description.has_temperature:
        sensors["temperature"] = {
            "name": "Temperature",
            "device_class": "temperature",
            "unit_of_measurement": "°C",
            **_template("temperature"),
            **DIAGNOSTIC,
        }
    entities = {name: {"platform": "sensor", **sensor} for name, sensor in sensors.items()}
    entities["problem"] = _problem_sensor(topics)
    entities["event"] = {
        "platform": "event",
        "name": _title(description.object_label),
        "icon": icon,
        "event_types": list(EVENTS),
        "state_topic": topics.event,
        "value_template": EVENT_TEMPLATE,
    }
    return {name: {**entity, "unique_id": f"{topics.device_id}_{name}"} for name, entity in entities.items()}


def _label_sensors(labels: tuple[str, ...], noun: str, count: dict[str, str]) -> Components:
    keys = label_keys((*labels, UNSURE))
    titles = Counter(_title(label) for label in keys)
    return {
        keys[label]: {
            "name": f"{_title(label) if titles[_title(label)] == 1 else label} {noun}",
            "icon": "mdi:emoticon-outline" if noun == "faces" else "mdi:tag-outline",
            "value_template": f"{{{{ value_json.labels.get({json.dumps(label, ensure_ascii=False)}, 0) }}}}",
            **count,
        }
        for label in keys
    }


def _problem_sensor(topics: Topics) -> dict[str, Any]:
    return {
        "platform": "binary_sensor",
        "name": "Problem",
        "device_class": "problem",
        "entity_category": "diagnostic",
        "value_template": "{{ 'ON' if value_json.faults else 'OFF' }}",
        "json_attributes_topic": topics.state,
        "json_attributes_template": "{{ {'faults': value_json.faults} | tojson }}",
    }


def _triggers(topics: Topics, object_label: str) -> Components:
    """A trigger for each kind of event, for automations."""
    return {
        f"trigger_{event}": {
            "platform": "device_automation",
            "automation_type": "trigger",
            "type": event,
            "subtype": object_label,
            "topic": topics.event,
            "payload": event,
            "value_template": TRIGGER_TEMPLATE,
        }
        for event in EVENTS
    }


def _title(text: str) -> str:
    """The text with a capital letter at its start; the rest stays."""
    return text[:1].upper() + text[1:]


def _template(key: str) -> dict[str, str]:
    return {"value_template": f"{{{{ value_json.{key} }}}}"}
