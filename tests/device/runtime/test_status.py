"""What a run tells those who look from outside."""

import json
import time

from pocketsight.device.inference.classifier import Classification
from pocketsight.device.results import FaceResult, FrameResult
from pocketsight.device.runtime.status import MAX_ENTRIES, RunStatus
from pocketsight.device.vision.boxes import Box


def record(number: int, born: float, label: str = "happy", taken: float = 0.0) -> FrameResult:
    faces = [FaceResult(Box(1, 2, 3, 4), 0.9, Classification(label, 0.8, 0), track_id=7)]
    return FrameResult(
        taken or 6000 + number / 10,
        born,
        number,
        None,
        faces,
        {"detect": 2.0 + number % 3, "total": 5.0},
        processed_monotonic=born,
    )


def test_a_snapshot_is_json_and_says_what_is_seen() -> None:
    state = RunStatus("run-1", ("happy", "sad"))
    assert json.loads(json.dumps(state.snapshot()))["faces"] == []
    now = time.monotonic()
    for n in range(30):
        state.add_frame(record(n, now - 3 + n / 10), latency=0.02)
    found = json.loads(json.dumps(state.snapshot()))
    assert found["frames"] == 30 and 7 < found["fps"] < 11
    assert found["stages_ms"] == {"detect": 3.0, "total": 5.0} and found["latency_ms"] == 20.0
    assert found["faces"][0] == {
        "track_id": 7,
        "box": [1, 2, 3, 4],
        "score": 0.9,
        "object": "face",
        "label": "happy",
        "label_score": 0.8,
    }
    assert 0 <= found["last_frame_age_s"] < 1


def test_a_camera_that_stands_still_has_no_frame_rate() -> None:
    state = RunStatus("r", ())
    for n in range(30):
        state.add_frame(record(n, time.monotonic() - 60 + n / 10), latency=0.0)
    assert state.snapshot()["fps"] < 1


def test_seconds_of_each_sentiment_are_added_up_by_the_minute() -> None:
    state = RunStatus("r", ("happy", "sad"))
    for n in range(1200):  # two minutes at ten frames a second
        state.add_frame(record(n, 100 + n / 10, "happy" if n < 900 else "sad"), latency=0.0)
    minutes = state.snapshot()["history"]
    assert [row["minute"] for row in minutes] == [6000, 6060]
    assert minutes[0]["seconds"] == {"happy": 59.9} and minutes[1]["seconds"] == {"happy": 30.0, "sad": 30.0}


def test_a_gap_counts_for_a_second_at_most_and_an_hour_is_kept() -> None:
    state = RunStatus("r", ())
    for n in range(100):
        state.add_frame(record(n, 100 + 60 * n, taken=6000 + 60 * n), latency=0.0)
    minutes = state.snapshot()["history"]
    assert len(minutes) == 60 and minutes[-1]["seconds"] == {"happy": 1.0}


def test_events_are_numbered_and_the_old_ones_fall_out() -> None:
    state = RunStatus("r", ())
    for n in range(MAX_ENTRIES + 20):
        state.add_event({"kind": "face", "event": "appeared", "n": n})
    count, entries = state.events()
    assert count == MAX_ENTRIES + 20 and len(entries) == MAX_ENTRIES and entries[0]["n"] == 20
    assert [entry["n"] for entry in state.events(count - 2)[1]] == [MAX_ENTRIES + 18, MAX_ENTRIES + 19]
    assert state.events(count) == (count, [])
    assert state.snapshot()["counters"] == {"face appeared": MAX_ENTRIES + 20}
