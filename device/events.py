"""From records to what happened: a face appears, changes, leaves; a fault begins and is over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from secrets import token_hex

from pocketsight.device.follow.tracker import Track
from pocketsight.device.record import VERSION, Entry, iso

Tell = Callable[[str, bool, str], None]  # a fault's name, whether it begins (or is over), one line for people


def run_name() -> str:
    """A name that no other run has, as 20261122T041500Z-a3f2c5d1: a Pi without a clock may start at one time often."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(4)}"


class Numbered:
    """Gives entries their common keys, each its own id."""

    def __init__(self, run: str, synced: Callable[[], bool | None]) -> None:
        self.run, self.synced, self.count = run, synced, 0
        self.lock = threading.Lock()

    def entry(self, kind: str, what: str, taken: float, **more: object) -> Entry:
        """An entry of what happened at `taken`, seconds since the epoch."""
        with self.lock:
            self.count += 1
            number = self.count
        return {
            "v": VERSION, "kind": kind, "id": f"{self.run}-{number}", "time": iso(taken), "synced": self.synced(),
            "what": what, **more,
        }  # fmt: skip


class Events:
    """What the tracks did since the last frame."""

    def __init__(self, numbered: Numbered) -> None:
        self.numbered = numbered
        self.told: dict[int, str] = {}  # the sentiment last told, by track

    def of(self, tracks: Iterable[Track], gone: Iterable[Track], taken: float) -> list[Entry]:
        """Entries, in order: of those that left, then of those that are there. `taken`: seconds since the epoch."""
        entries = [self._face("left", track, taken) for track in gone if self.told.pop(track.id, None) is not None]
        for track in tracks:
            was, label = self.told.get(track.id), track.sentiment.label
            if was is None:
                entries.append(self._face("appeared", track, taken))
            elif was != label:
                entries.append(self._face("changed", track, taken) | {"was": was})
            self.told[track.id] = label
        return entries

    def _face(self, what: str, track: Track, taken: float) -> Entry:
        return self.numbered.entry(
            "face", what, taken, track=track.id, sentiment=track.sentiment.label, start=iso(track.taken),
            seconds=round(track.last - track.first, 2), score=round(track.best, 3),
            box=[round(side, 1) for side in track.box],
        )  # fmt: skip


class Faults:
    """Faults that last: each is told when it begins and when it is over. Any thread may call `tell`."""

    def __init__(self, numbered: Numbered, put: Callable[[Entry], None]) -> None:
        self.numbered, self.put = numbered, put
        self.active: dict[str, tuple[float, str]] = {}  # since when (monotonic), and the detail
        self.lock = threading.Lock()

    def tell(self, what: str, begun: bool, detail: str) -> None:
        """A fault begins or is over; one that goes on is not told twice."""
        now = time.monotonic()
        with self.lock:
            since = self.active.pop(what, None)
            if begun:
                self.active[what] = since or (now, detail)
            if begun == (since is not None):
                return
        entry = self.numbered.entry("fault", what, time.time(), begun=begun, detail=detail)
        if since:
            entry["seconds"] = round(now - since[0], 2)
        self.put(entry)

    def happened(self, what: str, detail: str) -> None:
        """A fault that does not last."""
        self.put(self.numbered.entry("fault", what, time.time(), begun=False, detail=detail))
