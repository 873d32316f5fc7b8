"""Which frames are worth labeling: those on which a model is in doubt, and those of a place that is new to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from pocketsight.device.inference.classifier import UNSURE
from pocketsight.device.results import FrameResult, LogEntry
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.pixels import Content, reduced_image

LOW_SCORE_MARGIN = 0.1  # above the threshold of the detector
FLAP_CHANGES, FLAP_WINDOW = 3, 30.0  # changes of a label, seconds
RETURN_WITHIN, RETURN_IOU = 5.0, 0.3  # seconds, and overlap: an object that the detector lost for a while
REASON_INTERVAL = 10.0  # seconds of a camera or a video between two frames of one reason
PLACE_INTERVAL = 10.0  # seconds between two looks at the place; two in a row must find it new
PLACE_SIZE = 9, 8  # columns and rows: 64 differences between neighbors
PLACE_CONTRAST = 4  # gray levels; smaller differences are noise
PLACE_BITS = 14  # of 64: more of them differ in another place
MAX_PLACES = 64


class ReasonFinder:
    """Call `add_event` for each event of a frame and then `find` for the frame; times are those of the frames.

    `wanted` are some of "unsure", "flapping", "low-score" and "new-place". `thresholds` returns those of the detector
    by label. The frames of a camera or a video give each reason at most every REASON_INTERVAL, and an object gives it
    once.
    """

    def __init__(self, wanted: Collection[str], thresholds: Callable[[], Mapping[str, float]]) -> None:
        self.wanted, self.thresholds = frozenset(wanted), thresholds
        self.places, self.flaps = Places(), Flaps()
        self.flapping: set[int | None] = set()  # objects of this frame
        self.last: dict[str, float] = {}  # time of the last frame, by reason
        self.done: dict[int, set[str]] = {}  # reasons by object in view

    def add_event(self, entry: LogEntry, now: float) -> None:
        """An object appeared, changed its label or left."""
        if entry["kind"] != "face":
            return
        if self.flaps.add(entry, now):
            self.flapping.add(entry["track_id"])
        if entry["event"] == "left":
            self.done.pop(entry["track_id"], None)

    def find(self, content: Content, result: FrameResult) -> list[str]:
        """The reasons to keep a frame; none for most frames."""
        found: dict[str, set[int | None]] = {"flapping": self.flapping, "unsure": set(), "low-score": set()}
        self.flapping = set()
        limits = self.thresholds()
        for face in result.faces:
            if face.label == UNSURE:
                found["unsure"].add(face.track_id)
            if face.score < limits.get(face.object, 0.0) + LOW_SCORE_MARGIN:
                found["low-score"].add(face.track_id)
        reasons = [reason for reason, objects in found.items() if self._is_due(reason, objects, result)]
        if "new-place" in self.wanted and self.places.is_new(content, result):
            reasons.append("new-place")
        return reasons

    def _is_due(self, reason: str, objects: set[int | None], result: FrameResult) -> bool:
        if reason not in self.wanted or not objects:
            return False
        if result.source is not None:  # an image that is unrelated to the others
            return True
        now = result.captured_monotonic
        news = {number for number in objects if number is None or reason not in self.done.get(number, ())}
        if not news or now - self.last.get(reason, -REASON_INTERVAL) < REASON_INTERVAL:
            return False
        self.last[reason] = now
        for number in news:
            if number is not None:
                self.done.setdefault(number, set()).add(reason)
        return True


class Flaps:
    """Objects whose label changes to and fro, and those that the detector loses and finds again."""

    def __init__(self) -> None:
        self.changes: dict[int, deque[float]] = {}  # times by object
        self.ended: deque[tuple[float, Box]] = deque(maxlen=32)

    def add(self, entry: LogEntry, now: float) -> bool:
        """Whether the object of this event flaps."""
        number, box = entry["track_id"], Box(*entry["box"])
        if entry["event"] == "changed":
            times = self.changes.setdefault(number, deque(maxlen=FLAP_CHANGES))
            times.append(now)
            return len(times) == FLAP_CHANGES and now - times[0] <= FLAP_WINDOW
        if entry["event"] == "left":
            self.changes.pop(number, None)
            self.ended.append((now, box))
            return False
        return any(now - then <= RETURN_WITHIN and box.iou(other) >= RETURN_IOU for then, other in self.ended)


class Places:
    """The places that the camera has seen, as coarse hashes. A camera that is turned or moved sees a new one."""

    def __init__(self) -> None:
        self.known: deque[NDArray[np.bool_]] = deque(maxlen=MAX_PLACES)
        self.candidate: NDArray[np.bool_] | None = None
        self.next_look = -np.inf

    def is_new(self, content: Content, result: FrameResult) -> bool:
        """Whether this is the first frame of a place that stays."""
        is_still, now = result.source is not None, result.captured_monotonic
        if not is_still and now < self.next_look:
            return False
        self.next_look = now + PLACE_INTERVAL
        place = hash_place(content)
        if any(_is_same(place, known) for known in self.known):
            self.candidate = None
            return False
        stays = is_still or (self.candidate is not None and _is_same(place, self.candidate))
        self.candidate = place
        if stays:
            self.known.append(place)
        return stays


def hash_place(content: Content) -> NDArray[np.bool_]:
    """(64,): where an image becomes brighter to the right, in a grid; coarse, so that people hardly change it."""
    gray = cv2.cvtColor(reduced_image(content, 8), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, PLACE_SIZE, interpolation=cv2.INTER_AREA).astype(np.int16)
    return np.asarray(np.diff(small, axis=1) > PLACE_CONTRAST).ravel()


def _is_same(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
    return int((a != b).sum()) <= PLACE_BITS
