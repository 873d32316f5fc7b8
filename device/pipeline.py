"""From a frame to its record: detect, follow, classify. `run` logs its records, `bench` counts their timings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from time import perf_counter

from pocketsight.device.boxes import Box
from pocketsight.device.camera import Frame
from pocketsight.device.detector import Face, detect
from pocketsight.device.follow.steady import Steady
from pocketsight.device.follow.tracker import Track, Tracker
from pocketsight.device.follow.zones import Zone, counts
from pocketsight.device.interpreter import Loaded
from pocketsight.device.record import Record, Seen
from pocketsight.device.sentiment import classify, weigh
from pocketsight.device.timing import Laps

STAGES = "wait", "fit", "detect", "decode", "track", "crop", "classify", "write", "whole"  # whole: from its arrival


class Pipeline:
    """Both models and what they remember of the frames before."""

    def __init__(self, detector: Loaded, sentiment: Loaded, zones: Sequence[Zone] = (), every: int = 1) -> None:
        self.detector, self.sentiment, self.zones = detector, sentiment, zones
        self.every = every  # the detector looks at one frame in so many; between, tracks move on
        self.tracker = Tracker()
        self.skipped = 0

    def look(self, frame: Frame, laps: Laps) -> Record:
        """What is seen in a frame. `laps` was started when the frame was asked for."""
        laps("wait")
        arrived = laps.last
        faces, others = self._alone(frame, laps) if frame.source is not None else self._followed(frame, laps)
        laps.ms["whole"] = 1000 * (perf_counter() - arrived)
        return Record(frame.taken, frame.born, frame.index, frame.source, faces, laps.ms, others=others)

    def _alone(self, frame: Frame, laps: Laps) -> tuple[list[Seen], list[Box]]:
        """In a picture that has nothing to do with the one before."""
        faces, others = self._search(frame, laps)
        return [Seen(f.box, f.score, classify(frame.image, f.box, self.sentiment, laps)) for f in faces], others

    def _followed(self, frame: Frame, laps: Laps) -> tuple[list[Seen], list[Box]]:
        self.skipped += 1
        others: list[Box] = []
        if self.skipped < self.every and self.tracker.certain(frame.born):
            tracks = self.tracker.between(frame.born)
            laps("track")
        else:
            self.skipped = 0
            faces, others = self._search(frame, laps)
            tracks = self.tracker.update(faces, frame.born, frame.taken)
            laps("track")
            for track in tracks:
                self._name(track, frame, laps)
        if len(tracks) < len(self.tracker.tracks):
            others += [track.shown for track in self.tracker.tracks if not track.id or track.misses]
        height, width = frame.image.shape[:2]
        return [Seen(_within(t.shown, width, height), t.score, t.sentiment, t.id) for t in tracks], others

    def _search(self, frame: Frame, laps: Laps) -> tuple[list[Face], list[Box]]:
        """Faces that count, and the boxes of those outside the zones."""
        found = detect(frame.image, self.detector, laps)
        if not self.zones:
            return found, []
        inside = [counts(face.box, frame.image.shape, self.zones) for face in found]
        return list(compress(found, inside)), [f.box for f, here in zip(found, inside, strict=True) if not here]

    def _name(self, track: Track, frame: Frame, laps: Laps) -> None:
        if track.steady is None:
            track.steady = Steady(self.sentiment.spec)
        track.sentiment = track.steady.update(weigh(frame.image, track.box, self.sentiment, laps), frame.born)


def _within(box: Box, width: int, height: int) -> Box:
    """What of a box lies in the frame; smoothing and moving on may take it beyond."""
    left, top, right, bottom = box
    return Box(min(max(left, 0.0), width), min(max(top, 0.0), height), min(right, width), min(bottom, height))


def records(frames: Iterable[Frame], detector: Loaded, sentiment: Loaded) -> Iterator[tuple[Frame, Record]]:
    """Run both models on every frame; each record comes with its frame, for those who draw."""
    pipeline = Pipeline(detector, sentiment)
    laps = Laps()
    for frame in frames:
        yield frame, pipeline.look(frame, laps)
        laps = Laps()
