"""The MQTT topics of a run, and identifiers made from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True)
class Topics:
    """The topics below the prefix of the address. With discovery, Home Assistant finds the sensors by itself."""

    prefix: str
    discovery_prefix: str = ""  # of Home Assistant; "": no discovery

    @property
    def event(self) -> str:
        """Faces and faults, as in the log."""
        return f"{self.prefix}/event"

    @property
    def state(self) -> str:
        """The current values."""
        return f"{self.prefix}/state"

    @property
    def status(self) -> str:
        """`online` or `offline`."""
        return f"{self.prefix}/status"

    @property
    def birth(self) -> str:
        """Home Assistant publishes `online` here when it starts."""
        return f"{self.discovery_prefix}/status"

    @property
    def device_id(self) -> str:
        """An identifier of the prefix: letters, digits and _, such as home_door_3f2a91; unique for each prefix."""
        return f"{slugify(self.prefix)}_{sha256(self.prefix.encode()).hexdigest()[:6]}"

    @property
    def announcement(self) -> str:
        """The discovery topic of our device."""
        return f"{self.discovery_prefix}/device/{self.device_id}/config"

    @property
    def announcements(self) -> list[str]:
        """Filters for the discovery topics of our device below any prefix of one or two levels.

        They include those of pocketsight 0.2, which announced each sensor on a topic of its own.
        """
        kinds = f"device/{self.device_id}/config", f"+/{self.device_id}/+/config"
        prefixes = dict.fromkeys(filter(None, (self.discovery_prefix, "+", "+/+")))
        return [f"{prefix}/{kind}" for prefix in prefixes for kind in kinds]


def slugify(text: str) -> str:
    """The text in lower case, with _ for everything that is not an ASCII letter or digit."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
