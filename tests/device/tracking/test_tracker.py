"""Faces followed over frames: drawn paths, since only for those one knows who is who."""

import numpy as np

from pocketsight.device.inference.detector import Detection
from pocketsight.device.tracking.tracker import Tracker, TrackerConfig, match_tracks
from pocketsight.device.vision.boxes import Box


def face(x: float, y: float, side: float = 40, score: float = 0.9) -> Detection:
    return Detection(Box(x, y, x + side, y + side), score)


def follow(frames: list[list[Detection]], fps: float = 20) -> list[list[int]]:
    """Numbers of the tracks in each frame, from left to right."""
    tracker = Tracker()
    found = []
    for number, faces in enumerate(frames):
        tracks = tracker.update(faces, number / fps, 1000 + number / fps)
        found.append([track.id for track in sorted(tracks, key=lambda t: t.box.left)])
    return found


def test_a_face_is_a_track_when_it_is_seen_again_and_keeps_its_number() -> None:
    assert follow([[face(10 + 3 * n, 20)] for n in range(6)]) == [[], [1], [1], [1], [1], [1]]


def test_what_is_seen_once_is_no_track() -> None:
    assert follow([[face(10, 10)], [], [face(200, 90)], [], []]) == [[], [], [], [], []]


def test_a_face_that_is_missed_for_a_moment_keeps_its_number() -> None:
    frames = [[face(10 + 5 * n, 20)] if n not in (4, 5, 6) else [] for n in range(10)]
    assert follow(frames)[7:] == [[1], [1], [1]]


def test_a_face_that_was_away_for_long_gets_a_new_number() -> None:
    frames = [[face(10, 20)]] * 4 + [[]] * 30 + [[face(10, 20)]] * 3
    assert follow(frames)[-1] == [2]


def test_a_seldom_looking_camera_needs_three_misses_however_long_they_take() -> None:
    frames = [[face(10, 20)]] * 3 + [[], []] + [[face(12, 20)]] * 2
    assert follow(frames, fps=1)[-1] == [1]


def test_faces_that_pass_each_other_keep_their_numbers() -> None:
    """Speed tells them apart while they overlap."""
    tracker = Tracker()
    lanes: dict[int, set[str]] = {}
    for n in range(40):
        right, left = face(10 + 5 * n, 20), face(210 - 5 * n, 50)
        for track in tracker.update([right, left], n / 20, n / 20):
            middle = (track.box.top + track.box.bottom) / 2
            lanes.setdefault(track.id, set()).add("high" if middle < 55 else "low")
    assert lanes == {1: {"high"}, 2: {"low"}}


def test_a_face_that_moves_by_its_width_between_frames_is_followed() -> None:
    assert follow([[face(10 + 45 * n, 20)] for n in range(5)], fps=3)[-1] == [1]


def test_a_box_that_trembles_is_smoothed_and_one_that_jumps_is_followed() -> None:
    rng = np.random.default_rng(0)
    tracker = Tracker()
    raw, smooth = [], []
    for n in range(100):
        seen = face(100 + rng.normal(0, 1.5), 50)
        tracks = tracker.update([seen], n / 20, n)
        raw.append(seen.box.left)
        smooth += [track.box.left for track in tracks]
    assert np.std(np.diff(smooth)) < 0.7 * np.std(np.diff(raw))
    (track,) = tracker.update([face(115, 50)], 5.05, 0)
    (track,) = tracker.update([face(115, 50)], 5.1, 0)
    assert abs(track.box.left - 115) < 4


def test_who_left_is_told_once() -> None:
    tracker = Tracker()
    ended = []
    for n in range(40):
        tracker.update([face(10, 10)] if n < 5 else [], n / 10, n)
        ended += [track.id for track in tracker.ended]
    assert ended == [1] and not tracker.tracks


def test_between_searches_a_track_moves_on_at_its_speed() -> None:
    tracker = Tracker()
    for n in range(30):
        tracker.update([face(10 + 4 * n, 20)], n / 20, n)
    (track,) = tracker.predict(30 / 20)
    assert abs(track.display_box.left - (10 + 4 * 30)) < 4 and track.last_seen_monotonic == 29 / 20


def test_a_face_that_stands_still_stays_where_it_is_however_seldom_it_is_searched() -> None:
    for every in (3, 10, 18):
        rng, tracker, off = np.random.default_rng(0), Tracker(), 0.0
        numbers: set[int] = set()
        for n in range(600):
            now = n / 20
            if n % every and tracker.is_confident(now):
                tracks = tracker.predict(now)
            else:
                tracks = tracker.update([face(100 + rng.normal(0, 1), 60 + rng.normal(0, 1))], now, now)
            off = max([off, *(abs(track.display_box.left - 100) for track in tracks)])
            numbers |= {track.id for track in tracks}
        assert numbers == {1} and off < 10


def test_tracks_that_were_not_searched_for_a_second_are_not_certain() -> None:
    tracker = Tracker()
    for n in range(3):
        tracker.update([face(10, 10)], n / 20, n)
    assert tracker.is_confident(0.5) and not tracker.is_confident(1.2)


def test_who_stands_there_after_the_camera_was_away_is_somebody_else() -> None:
    tracker = Tracker()
    for n in range(5):
        tracker.update([face(10, 10)], n / 20, n)
    tracker.update([face(10, 10)], 600.0, 600)
    assert [track.id for track in tracker.ended] == [1]
    (track,) = tracker.update([face(10, 10)], 600.1, 600)
    assert track.id == 2


def test_searches_that_are_always_that_seldom_are_no_gap() -> None:
    assert follow([[face(10, 20)]] * 5, fps=0.1) == [[], [1], [1], [1], [1]]


def test_many_faces_at_once() -> None:
    rng = np.random.default_rng(1)
    places = [(60 * (n % 6) + 10, 60 * (n // 6) + 10) for n in range(24)]
    frames = [[face(x + rng.normal(0, 1), y + rng.normal(0, 1)) for x, y in rng.permutation(places)] for _ in range(20)]
    tracker = Tracker()
    for n, faces in enumerate(frames):
        tracks = tracker.update(faces, n / 20, n)
    assert sorted(track.id for track in tracks) == list(range(1, 25))


def test_each_box_goes_to_one_track_at_most() -> None:
    pairs = match_tracks([Box(0, 0, 10, 10), Box(1, 0, 11, 10)], [Box(1, 0, 11, 10)])
    assert pairs == {1: 0}


def test_a_box_of_another_size_nearby_is_not_taken() -> None:
    assert match_tracks([Box(0, 0, 10, 10)], [Box(12, 0, 60, 48)]) == {}


def test_the_config_changes_when_a_track_begins_and_ends() -> None:
    tracker = Tracker(TrackerConfig(min_hits=1, max_misses=1, max_age=0.0))
    (track,) = tracker.update([face(10, 10)], 0.0, 0.0)
    assert track.is_confirmed
    tracker.update([], 0.1, 0.1)
    assert tracker.ended == [track] and not tracker.tracks


def test_the_config_changes_what_is_matched_and_how_fast_a_box_follows() -> None:
    boxes = [Box(0, 0, 40, 40)], [Box(20, 0, 60, 40)]
    assert match_tracks(*boxes) == {0: 0}
    assert match_tracks(*boxes, TrackerConfig(min_iou=0.5, max_center_distance=0.4)) == {}
    tracker = Tracker(TrackerConfig(min_hits=1, position_gain=1.0))
    tracker.update([face(10, 10)], 0.0, 0.0)
    (track,) = tracker.update([face(11, 10)], 0.1, 0.1)
    assert track.box == face(11, 10).box
