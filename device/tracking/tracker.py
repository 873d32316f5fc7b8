"""Follow detected objects, such as faces, from frame to frame, with stable ids and smoothed boxes.

Each track predicts its box from its velocity. A detection belongs to the track of its label that it overlaps most, or
to the nearest one if it moved too far to overlap. What was detected once is not yet a track, and a track that misses
a few detections is kept. `TrackerConfig` has the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from pocketsight.device.inference.classifier import UNSURE, Classification
from pocketsight.device.inference.detector import Detection
from pocketsight.device.tracking.smoother import LabelSmoother
from pocketsight.device.vision.boxes import Box

# Seconds for which a missing track moves on at most, and is confident enough to skip a detection.
MAX_PREDICTION = 1.0


@dataclass(frozen=True)
class TrackerConfig:
    """Parameters of a Tracker. The defaults suit people in front of a camera at 2 to 30 frames a second."""

    min_hits: int = 2
    """Detections after which a face is a track."""
    max_misses: int = 3
    """A track ends when it missed this many detections ..."""
    max_age: float = 0.7
    """... and was last detected this many seconds ago."""
    min_iou: float = 0.2
    """Smallest intersection over union of a track and its face, 0..1."""
    max_center_distance: float = 1.2
    """For faces that do not overlap: largest distance of the centers, in units of their mean side."""
    position_gain: float = 0.35
    """Share of a small deviation that the smoothed box follows, 0..1; it follows large ones fully."""
    velocity_gain: float = 0.5
    """Share of a new velocity that enters the average, 0..1."""
    reset_gap: float = 3.0
    """All tracks end after this many seconds without a detection, unless detections are usually that rare."""


DEFAULT_CONFIG = TrackerConfig()


@dataclass(eq=False)
class Track:
    """One object over time, such as a face."""

    id: int
    """Counts from 1; 0 until the track is confirmed."""
    box: Box
    """Smoothed box at the last detection, in pixels."""
    display_box: Box
    """Box in the current frame, in pixels; predicted if the detector skipped the frame."""
    score: float
    """Score of the detector at the last detection, 0..1."""
    first_seen_monotonic: float
    """Seconds of the monotonic clock."""
    last_seen_monotonic: float
    """Seconds of the monotonic clock."""
    first_seen_at: float
    """Seconds since the epoch."""
    label: str = "face"
    """Label of the detections."""
    smoother: LabelSmoother | None = None
    classification: Classification = Classification(UNSURE, 0.0, 0)  # noqa: RUF009 - frozen
    """Smoothed result of the classifier; without one the label and the score of the detection."""
    best_score: float = 0.0
    """Highest score of the detector so far, 0..1."""
    hits: int = 1
    """Number of detections."""
    misses: int = 0
    """Detections missed since the last hit."""
    velocity: tuple[float, float] = (0.0, 0.0)
    """Pixels a second, to the right and down."""

    @property
    def is_confirmed(self) -> bool:
        """Whether the face was detected often enough to be a track."""
        return bool(self.id)

    def predict_box(self, now: float) -> Box:
        """The box expected at `now`, in seconds of the monotonic clock; it moves for at most MAX_PREDICTION."""
        left, top, right, bottom = self.box
        elapsed = min(now - self.last_seen_monotonic, MAX_PREDICTION)
        x, y = self.velocity[0] * elapsed, self.velocity[1] * elapsed
        return Box(left + x, top + y, right + x, bottom + y)

    def update(self, detection: Detection, now: float, config: TrackerConfig = DEFAULT_CONFIG) -> None:
        """Add a detection at `now`, in seconds of the monotonic clock.

        Plain numbers: arrays take five times as long.
        """
        detected, predicted, previous = detection.box, self.predict_box(now), self.box
        size = max(1.0, (detected.right - detected.left + detected.bottom - detected.top) / 2)
        deviation = sum(abs(d - p) for d, p in zip(detected, predicted, strict=True)) / 4
        gain = min(1.0, config.position_gain + 4 * deviation / size)
        self.box = box = Box(*(p + gain * (d - p) for d, p in zip(detected, predicted, strict=True)))
        elapsed = now - self.last_seen_monotonic
        if elapsed > 0:
            x = (box.left + box.right - previous.left - previous.right) / 2 / elapsed
            y = (box.top + box.bottom - previous.top - previous.bottom) / 2 / elapsed
            self.velocity = (
                self.velocity[0] + config.velocity_gain * (x - self.velocity[0]),
                self.velocity[1] + config.velocity_gain * (y - self.velocity[1]),
            )
        self.display_box = box
        self.score, self.last_seen_monotonic = detection.score, now
        self.best_score = max(self.best_score, detection.score)
        self.hits += 1
        self.misses = 0


class Tracker:
    """Call `update` for every frame in which faces were detected, and `predict` for the frames between."""

    def __init__(self, config: TrackerConfig = DEFAULT_CONFIG) -> None:
        self.config = config
        self.tracks: list[Track] = []  # also those that are not confirmed yet
        self.ended: list[Track] = []  # confirmed tracks that the last update ended
        self.track_count = 0
        self._last_update, self._update_interval = inf, inf

    def update(self, detections: Sequence[Detection], now: float, captured_at: float) -> list[Track]:
        """Match the detections with the tracks of their labels; returns the confirmed tracks among them.

        They come with the best score first. `now` is in seconds of the monotonic clock, `captured_at` in seconds since
        the epoch. `ended` then holds the tracks that ended.
        """
        self.ended = self._end_after_gap(now)
        pairs = self._match(detections, now) if self.tracks and detections else {}
        for number, track in enumerate(self.tracks):
            if number in pairs:
                track.update(detections[pairs[number]], now, self.config)
            else:
                track.misses += 1
        self._end_missing(now)
        matched = set(pairs.values())
        for number, (box, score, label) in enumerate((each.box, each.score, each.label) for each in detections):
            if number not in matched:
                self.tracks.append(Track(0, box, box, score, now, now, captured_at, label, best_score=score))
        return self._visible_tracks()

    def _match(self, detections: Sequence[Detection], now: float) -> dict[int, int]:
        """{index of track: index of detection}: pairs of the same label."""
        predicted = [track.predict_box(now) for track in self.tracks]
        pairs: dict[int, int] = {}
        for label in dict.fromkeys(each.label for each in detections):
            tracks = [n for n, track in enumerate(self.tracks) if track.label == label]
            found = [n for n, each in enumerate(detections) if each.label == label]
            matched = match_tracks([predicted[n] for n in tracks], [detections[n].box for n in found], self.config)
            pairs |= {tracks[track]: found[number] for track, number in matched.items()}
        return pairs

    def predict(self, now: float) -> list[Track]:
        """Move the tracks to `now` (monotonic seconds) in a frame without detection; returns the confirmed ones."""
        for track in self.tracks:
            track.display_box = track.predict_box(now)
        return self._visible_tracks()

    def is_confident(self, now: float) -> bool:
        """Whether a detection may be skipped: there are tracks, all of them confirmed and recently detected."""
        return bool(self.tracks) and all(
            t.is_confirmed and not t.misses and now - t.last_seen_monotonic < MAX_PREDICTION for t in self.tracks
        )

    def close(self) -> list[Track]:
        """End all tracks; returns the confirmed ones."""
        confirmed = [track for track in self.tracks if track.is_confirmed]
        self.tracks, self.ended = [], []
        return confirmed

    def _end_after_gap(self, now: float) -> list[Track]:
        """End all tracks if no detection ran for too long, whatever the reason; returns the confirmed ones."""
        gap, usual = now - self._last_update, self._update_interval
        self._last_update, self._update_interval = now, gap if gap >= 0 else inf
        if not self.tracks or gap <= max(self.config.reset_gap, 3 * usual):
            return []
        return self.close()

    def _end_missing(self, now: float) -> None:
        missing = [t for t in self.tracks if t.misses and (not t.is_confirmed or self._is_lost(t, now))]
        self.ended += [track for track in missing if track.is_confirmed]
        if missing:
            self.tracks = [track for track in self.tracks if track not in missing]

    def _is_lost(self, track: Track, now: float) -> bool:
        config = self.config
        return track.misses >= config.max_misses and now - track.last_seen_monotonic >= config.max_age

    def _visible_tracks(self) -> list[Track]:
        visible = [t for t in self.tracks if t.hits >= self.config.min_hits and not t.misses]
        for track in visible:
            if not track.is_confirmed:
                self.track_count += 1
                track.id = self.track_count
        return sorted(visible, key=lambda track: -track.score)


def match_tracks(tracks: Sequence[Box], boxes: Sequence[Box], config: TrackerConfig = DEFAULT_CONFIG) -> dict[int, int]:
    """Match predicted boxes of tracks with detected boxes, in pixels; returns {index of track: index of box}.

    Greedy: the pairs with the highest IoU first, then pairs of similar size by distance. Plain numbers: arrays take
    three times as long for a few faces.
    """
    min_iou, max_center_distance = config.min_iou, config.max_center_distance
    by_iou, by_distance = [], []
    for t, track in enumerate(tracks):
        track_left, track_top, track_right, track_bottom = track
        track_width, track_height = track_right - track_left, track_bottom - track_top
        for b, box in enumerate(boxes):
            left, top, right, bottom = box
            x, y = abs(track_left + track_right - left - right) / 2, abs(track_top + track_bottom - top - bottom) / 2
            width, height = right - left, bottom - top
            side = (track_width + track_height + width + height) / 4
            if x > 2 * side or y > 2 * side:  # most pairs of a crowd
                continue
            iou = track.iou(box)
            if iou >= min_iou:
                by_iou.append((-iou, t, b))
                continue
            track_size, size, distance = track_width + track_height, width + height, x * x + y * y
            if max(track_size, size) < 2 * min(track_size, size) and distance < (max_center_distance * side) ** 2:
                by_distance.append((distance / side**2, t, b))
    pairs: dict[int, int] = {}
    used: set[int] = set()
    for _, t, b in [*sorted(by_iou), *sorted(by_distance)]:
        if t not in pairs and b not in used:
            pairs[t] = b
            used.add(b)
    return pairs
