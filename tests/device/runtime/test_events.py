"""What happened, from what the tracks did."""

import threading
import time

from pocketsight.device.inference.classifier import Classification
from pocketsight.device.inference.detector import Detection
from pocketsight.device.results import LogEntry
from pocketsight.device.runtime.events import EntryFactory, EventDetector, Faults
from pocketsight.device.tracking.tracker import Tracker
from pocketsight.device.vision.boxes import Box


def numbered() -> EntryFactory:
    return EntryFactory("20261122T000000Z-abcd", lambda: True)


def test_a_face_appears_changes_and_leaves() -> None:
    events, tracker = EventDetector(numbered()), Tracker()
    entries: list[LogEntry] = []
    for n in range(60):
        there = [Detection(Box(10, 10, 50, 60), 0.7 + (n == 7) * 0.2)] if n < 20 else []
        tracks = tracker.update(there, 50 + n / 10, 1000 + n / 10)
        for track in tracks:
            track.classification = Classification("happy" if n < 12 else "sad", 0.9, 0)
        entries += events.update(tracks, tracker.ended, 1000 + n / 10)
    assert [(e["event"], e["label"]) for e in entries] == [
        ("appeared", "happy"),
        ("changed", "sad"),
        ("left", "sad"),
    ]
    _, changed, left = entries
    assert changed["previous"] == "happy" and "previous" not in left
    assert {e["track_id"] for e in entries} == {1} and {e["first_seen"] for e in entries} == {
        "1970-01-01T00:16:40.000+00:00"
    }
    assert left["duration_s"] == 1.9 and left["score"] == 0.9
    assert [e["id"].rsplit("-", 1)[1] for e in entries] == ["1", "2", "3"]
    assert left["v"] == 2 and left["kind"] == "face" and left["clock_synced"] is True


def test_who_is_still_there_at_the_end_leaves() -> None:
    events, tracker = EventDetector(numbered()), Tracker()
    for n in range(3):
        tracks = tracker.update([Detection(Box(10, 10, 50, 60), 0.7)], n / 10, n)
        events.update(tracks, tracker.ended, n)
    (left,) = events.update((), tracker.close(), 9)
    assert left["event"] == "left" and left["duration_s"] == 0.2
    assert events.update((), tracker.close(), 9) == []


def test_a_fault_is_told_when_it_begins_and_when_it_is_over() -> None:
    told: list[LogEntry] = []
    faults = Faults(numbered(), told.append)
    faults.report("camera lost", False, "it never was")
    for _ in range(3):
        faults.report("camera lost", True, "no frame for 10 s")
    assert list(faults.active) == ["camera lost"]
    time.sleep(0.02)
    faults.report("camera lost", False, "it is back")
    assert not faults.active
    assert [(e["event"], e["active"], e["detail"]) for e in told] == [
        ("camera lost", True, "no frame for 10 s"),
        ("camera lost", False, "it is back"),
    ]
    assert "duration_s" not in told[0] and told[1]["duration_s"] > 0


def test_faults_from_many_threads_have_numbers_of_their_own() -> None:
    told: list[LogEntry] = []
    faults = Faults(numbered(), told.append)
    threads = [threading.Thread(target=faults.report_once, args=("x", "y")) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({e["id"] for e in told}) == 50
