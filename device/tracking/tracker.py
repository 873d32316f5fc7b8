"""Faces followed from frame to frame: stable numbers, smoothed boxes.

Each track expects its box where its speed takes it, and the face that overlaps most is its own; a face that moved too
far to overlap is taken by distance. What is seen once is no track yet, what is missed for a moment still is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from pocketsight.device.inference.classifier import UNSURE, Classification
from pocketsight.device.inference.detector import Face
from pocketsight.device.tracking.smoother import LabelSmoother
from pocketsight.device.vision.boxes import Box

MIN_HITS = 2  # hits after which a face is a track
MAX_MISSES, MAX_AGE = 3, 0.7  # a track is dropped when it was missed this often and for this many seconds
MIN_IOU = 0.2  # least intersection over union of a track and its face
RESET_GAP = 3.0  # seconds without a search after which nobody is the same, unless searches are as seldom as that
MAX_CENTER_DISTANCE = 1.2  # else: largest distance of the centres, in their mean side
POSITION_GAIN = 0.35  # share of a small deviation that the box follows; a large one it follows wholly
VELOCITY_GAIN = 0.5  # share of a new speed that counts


@dataclass(eq=False)
class Track:
    """One face over time. Times are seconds of the monotonic clock."""

    id: int  # 0 until it is born
    box: Box  # where it was last seen: smoothed, in pixels
    display_box: Box  # where it is in the frame at hand, which may not have been searched
    score: float  # of the detector, last seen
    first_seen_monotonic: float
    last_seen_monotonic: float  # seen
    first_seen_at: float  # first seen, seconds since the epoch
    smoother: LabelSmoother | None = None
    classification: Classification = Classification(UNSURE, 0.0, 0)  # noqa: RUF009 - frozen
    best_score: float = 0.0  # score of the detector
    hits: int = 1
    misses: int = 0
    velocity: tuple[float, float] = (0.0, 0.0)  # pixels a second, to the right and down

    def predict_box(self, now: float) -> Box:
        """Where it should be by now: moved on, for a second at most."""
        left, top, right, bottom = self.box
        passed = min(now - self.last_seen_monotonic, 1.0)
        x, y = self.velocity[0] * passed, self.velocity[1] * passed
        return Box(left + x, top + y, right + x, bottom + y)

    def update(self, face: Face, now: float) -> None:
        """It was seen again. Plain numbers: for four of them arrays take five times as long."""
        found, hoped, before = face.box, self.predict_box(now), self.box
        size = max(1.0, (found.right - found.left + found.bottom - found.top) / 2)
        off = sum(abs(f - h) for f, h in zip(found, hoped, strict=True)) / 4
        follow = min(1.0, POSITION_GAIN + 4 * off / size)
        self.box = box = Box(*(h + follow * (f - h) for f, h in zip(found, hoped, strict=True)))
        passed = now - self.last_seen_monotonic
        if passed > 0:
            x = (box.left + box.right - before.left - before.right) / 2 / passed
            y = (box.top + box.bottom - before.top - before.bottom) / 2 / passed
            self.velocity = (
                self.velocity[0] + VELOCITY_GAIN * (x - self.velocity[0]),
                self.velocity[1] + VELOCITY_GAIN * (y - self.velocity[1]),
            )
        self.display_box = box
        self.score, self.best_score, self.last_seen_monotonic = face.score, max(self.best_score, face.score), now
        self.hits += 1
        self.misses = 0


class Tracker:
    """Call `update` with the faces of every frame that was searched."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []  # also those not born yet
        self.ended: list[Track] = []  # born, and dropped by the last update
        self.track_count = 0
        self._last_update, self._update_interval = inf, inf  # the last search, and how long after the one before

    def update(self, faces: Sequence[Face], now: float, captured_at: float) -> list[Track]:
        """The tracks whose faces are among `faces`, best score first. `now` is monotonic, `taken` the epoch's."""
        self.ended = self._end_after_gap(now)
        pairs = (
            match_tracks([t.predict_box(now) for t in self.tracks], [f.box for f in faces])
            if self.tracks and faces
            else {}
        )
        for number, track in enumerate(self.tracks):
            if number in pairs:
                track.update(faces[pairs[number]], now)
            else:
                track.misses += 1
        missed = [t for t in self.tracks if t.misses and (t.hits < MIN_HITS or _is_lost(t, now))]
        self.ended += [t for t in missed if t.hits >= MIN_HITS]
        if missed:
            self.tracks = [t for t in self.tracks if t not in missed]
        taken_faces = set(pairs.values())
        for number, face in enumerate(faces):
            if number not in taken_faces:
                self.tracks.append(
                    Track(0, face.box, face.box, face.score, now, now, captured_at, best_score=face.score)
                )
        return self._visible_tracks()

    def predict(self, now: float) -> list[Track]:
        """In a frame that was not searched: the tracks, moved on."""
        for track in self.tracks:
            track.display_box = track.predict_box(now)
        return self._visible_tracks()

    def is_confident(self, now: float) -> bool:
        """Whether there are tracks, each of them born and lately seen: then a search may be left out."""
        return bool(self.tracks) and all(
            t.id and not t.misses and now - t.last_seen_monotonic < 1.0 for t in self.tracks
        )

    def _end_after_gap(self, now: float) -> list[Track]:
        """After a time without frames, however it came about, nobody is still there; those that were tracks."""
        gap, usual = now - self._last_update, self._update_interval
        self._last_update, self._update_interval = now, gap if gap >= 0 else inf
        if not self.tracks or gap <= max(RESET_GAP, 3 * usual):
            return []
        return self.close()

    def _visible_tracks(self) -> list[Track]:
        seen = [t for t in self.tracks if t.hits >= MIN_HITS and not t.misses]
        for track in seen:
            if not track.id:
                self.track_count += 1
                track.id = self.track_count
        return sorted(seen, key=lambda t: -t.score)

    def close(self) -> list[Track]:
        """Forget all; those that were tracks."""
        born = [t for t in self.tracks if t.id]
        self.tracks, self.ended = [], []
        return born


def _is_lost(track: Track, now: float) -> bool:
    return track.misses >= MAX_MISSES and now - track.last_seen_monotonic >= MAX_AGE


def match_tracks(tracks: Sequence[Box], boxes: Sequence[Box]) -> dict[int, int]:
    """Index of the box for each track that has one: greedily, by overlap, then by nearness. All in pixels.

    Plain numbers: for a handful of faces arrays take three times as long.
    """
    over, near = [], []
    for t, a in enumerate(tracks):
        wide, high = a.right - a.left, a.bottom - a.top
        for b, box in enumerate(boxes):
            x, y = abs(a.left + a.right - box.left - box.right) / 2, abs(a.top + a.bottom - box.top - box.bottom) / 2
            w, h = box.right - box.left, box.bottom - box.top
            side = (wide + high + w + h) / 4
            if x > 2 * side or y > 2 * side:  # most pairs of a crowd
                continue
            inner = _intersection_area(a, box)
            overlap = inner / max(wide * high + w * h - inner, 1e-6)
            if overlap >= MIN_IOU:
                over.append((-overlap, t, b))
            elif (
                max(wide + high, w + h) < 2 * min(wide + high, w + h)
                and (x * x + y * y) < (MAX_CENTER_DISTANCE * side) ** 2
            ):
                near.append(((x * x + y * y) / side**2, t, b))
    pairs: dict[int, int] = {}
    used: set[int] = set()
    for _, t, b in [*sorted(over), *sorted(near)]:
        if t not in pairs and b not in used:
            pairs[t] = b
            used.add(b)
    return pairs


def _intersection_area(a: Box, b: Box) -> float:
    """Pixels in both."""
    wide = min(a.right, b.right) - max(a.left, b.left)
    high = min(a.bottom, b.bottom) - max(a.top, b.top)
    return wide * high if wide > 0 and high > 0 else 0.0
