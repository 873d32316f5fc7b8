"""The loop: frames in, records out. `run` logs its records, `bench` counts their timings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter

from edgekit.device.camera import Frame
from edgekit.device.detector import detect
from edgekit.device.interpreter import Loaded
from edgekit.device.record import Record
from edgekit.device.sentiment import classify
from edgekit.device.timing import Laps

STAGES = "wait", "fit", "detect", "decode", "crop", "classify", "whole"  # whole: from the frame's arrival to its record


def records(frames: Iterable[Frame], detector: Loaded, sentiment: Loaded) -> Iterator[tuple[Frame, Record]]:
    """Run both models on every frame; each record comes with its frame, for those who draw."""
    laps = Laps()
    for frame in frames:
        laps("wait")
        arrived = laps.last
        faces = detect(frame.image, detector, laps)
        named = [(face, classify(frame.image, face.box, sentiment, laps)) for face in faces]
        laps.ms["whole"] = 1000 * (perf_counter() - arrived)
        yield frame, Record(frame.taken, frame.index, frame.source, named, laps.ms)
        laps = Laps()
