import json

from pocketsight.device.inference.classifier import Classification
from pocketsight.device.results import FaceResult, FrameResult, frame_entry, to_json_line
from pocketsight.device.vision.boxes import Box

FACE = FaceResult(Box(1.04, 2, 3.06, 4), 0.98765, Classification("sad", 0.80049, 1))


def record(*faces: FaceResult, source: str | None = None) -> FrameResult:
    return FrameResult(1.0, 5.0, 17, source, list(faces), {"total": 1.00049})


def test_a_frame_is_an_entry_of_plain_numbers() -> None:
    assert frame_entry(record(FACE), 0.01234, None) == {
        "v": 2,
        "kind": "frame",
        "time": "1970-01-01T00:00:01.000+00:00",
        "clock_synced": None,
        "frame": 17,
        "faces": [{"box": [1.0, 2, 3.1, 4], "score": 0.988, "object": "face", "label": "sad", "label_score": 0.8}],
        "latency_ms": 12.3,
        "stages_ms": {"total": 1.0},
    }


def test_a_face_that_is_followed_has_its_number() -> None:
    followed = FaceResult(FACE.box, FACE.score, FACE.classification, track_id=7)
    faces = frame_entry(record(FACE, followed), 0.0, True)["faces"]
    assert "track_id" not in faces[0] and faces[1]["track_id"] == 7


def test_the_source_stands_where_frames_are_pictures() -> None:
    assert "source" not in frame_entry(record(), 0.0, True)
    assert frame_entry(record(source="a.jpg"), 0.0, True)["source"] == "a.jpg"


def test_a_line_is_an_entry_whatever_it_holds() -> None:
    entry = frame_entry(record(FACE, source='two\nlines, "quoted" and a snowman \u2603'), 0.0, False)
    line = to_json_line(entry)
    assert "\n" not in line and line.isascii()
    assert json.loads(line) == entry
