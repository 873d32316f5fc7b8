import json
import subprocess
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.interpreter import load_on_cpu
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec, SmoothingConfig
from pocketsight.device.inference.model_file import pack_model_file, read_model_file
from pocketsight.device.inference.shipped import MODELS_DIR

BUFFER = b"\x1c\0\0\0TFL3" + bytes(range(256)) * 8
SPEC = ModelSpec(
    "detector",
    "net",
    (192, 256),
    ("face",),
    0.5,
    strides=(8, 16),
    nms_iou_threshold=0.4,
    sha256=sha256(BUFFER).hexdigest(),
)

CLASSIFIER = ModelSpec("classifier", "net", (64, 64), ("happy", "sad"), 0.5, sha256=sha256(BUFFER).hexdigest())


def write(path: Path, flatbuffer: bytes = BUFFER, spec: ModelSpec = SPEC) -> Path:
    path.write_bytes(pack_model_file(flatbuffer, spec))
    return path


def test_a_file_gives_back_what_was_packed(tmp_path: Path) -> None:
    path = write(tmp_path / "m.tflite")
    assert read_model_file(path) == (BUFFER, SPEC)
    assert path.read_bytes().startswith(BUFFER)  # where every interpreter finds it
    assert json.loads(zipfile.ZipFile(path).read(MANIFEST_NAME))["input_size"] == [192, 256]
    assert pack_model_file(*read_model_file(path)) == path.read_bytes()


def test_a_change_of_any_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    """Of the net and the manifest each is noticed; of the zip's own fields some mean nothing, but none may crash."""
    path = write(tmp_path / "m.tflite")
    good = path.read_bytes()
    start = good.index(SPEC.to_json().encode())
    matters = [*range(len(BUFFER)), *range(start, start + len(SPEC.to_json()))]
    for flip in (0x01, 0x80, 0xFF):
        for place in [*matters[::37], *(n for n in range(len(BUFFER), len(good)) if n not in matters)]:
            bad = bytearray(good)
            bad[place] ^= flip
            path.write_bytes(bad)
            try:
                assert read_model_file(path) == (BUFFER, SPEC)
                assert place not in matters
            except ModelError as error:
                assert "m.tflite" in str(error)


def test_a_file_cut_anywhere_is_noticed(tmp_path: Path) -> None:
    good = write(tmp_path / "m.tflite").read_bytes()
    for length in range(0, len(good), 50):
        (tmp_path / "m.tflite").write_bytes(good[:length])
        with pytest.raises(ModelError, match=r"cut short|not a model file"):
            read_model_file(tmp_path / "m.tflite")


def test_a_flatbuffer_without_manifest_says_how_to_get_one(tmp_path: Path) -> None:
    bare = read_model_file(MODELS_DIR / "sentiment.tflite")[0]
    (tmp_path / "bare.tflite").write_bytes(bare)
    with pytest.raises(ModelError, match=r"another program made it.*pocketsight export adopt"):
        read_model_file(tmp_path / "bare.tflite")


def test_a_model_for_another_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a detector; use a classifier"):
        load_on_cpu(write(tmp_path / "m.tflite"), "classifier")


def test_a_flatbuffer_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    junk = b"\x1c\0\0\0XXXX" + bytes(100)
    path = write(tmp_path / "m.tflite", junk, replace(SPEC, sha256=sha256(junk).hexdigest()))
    with pytest.raises(ModelError, match=r"does not load in .*litert") as raised:
        load_on_cpu(path, "detector")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("fact", "value"),
    [
        ("format", 3),
        ("task", "poet"),
        ("input_size", [192]),
        ("input_size", ["a", "b"]),
        ("labels", []),
        ("score_threshold", "high"),
        ("strides", [0]),
        ("crop_margin", -1),
        ("temperature", 0),
        ("temperature", -1),
        ("temperature", "hot"),
        ("temperature", True),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("color", "red"),
    ],
)
def test_a_manifest_that_cannot_be_true_is_refused(fact: str, value: object) -> None:
    facts = json.loads(SPEC.to_json()) | {fact: value}
    with pytest.raises(ModelError, match=r"here\.tflite"):
        ModelSpec.from_json(json.dumps(facts), Path("here.tflite"))


def test_a_temperature_stays_with_its_model_and_older_models_have_none(tmp_path: Path) -> None:
    hot = replace(SPEC, temperature=1.32)
    assert read_model_file(write(tmp_path / "m.tflite", spec=hot))[1] == hot
    facts = json.loads(SPEC.to_json())
    del facts["temperature"]
    assert ModelSpec.from_json(json.dumps(facts), tmp_path).temperature == 1


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"format": 1}', "\0"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match=r"here\.tflite"):
        ModelSpec.from_json(text, Path("here.tflite"))


def with_smoothing(spec: ModelSpec, smoothing: object) -> ModelSpec:
    facts = json.loads(spec.to_json()) | {"smoothing": smoothing}
    return ModelSpec.from_json(json.dumps(facts), Path("here.tflite"))


def test_a_classifier_says_how_steady_its_label_is(tmp_path: Path) -> None:
    calm = replace(CLASSIFIER, smoothing=SmoothingConfig(time_constant=2, hysteresis=0.2, min_duration=0))
    path = write(tmp_path / "m.tflite", spec=calm)
    assert read_model_file(path) == (BUFFER, calm)
    written = json.loads(zipfile.ZipFile(path).read(MANIFEST_NAME))["smoothing"]
    assert written == {"time_constant": 2, "hysteresis": 0.2, "min_duration": 0}
    assert with_smoothing(CLASSIFIER, written) == calm


def test_what_an_older_or_shorter_manifest_does_not_say_is_as_usual() -> None:
    facts = json.loads(CLASSIFIER.to_json())
    del facts["smoothing"]
    assert ModelSpec.from_json(json.dumps(facts), Path("old.tflite")) == CLASSIFIER
    assert with_smoothing(CLASSIFIER, {"min_duration": 1}).smoothing == replace(SmoothingConfig(), min_duration=1)


@pytest.mark.debian("unzip", "zip")
def test_facts_of_a_model_file_can_be_changed_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(pack_model_file(BUFFER, CLASSIFIER, {"golden/a.bin": b"x" * 1000}))
    for min_duration in (1.5, 0.0):
        subprocess.run("unzip -p m.tflite manifest.json > manifest.json", shell=True, check=True, cwd=tmp_path)
        facts = json.loads((tmp_path / MANIFEST_NAME).read_text())
        facts["smoothing"]["min_duration"] = min_duration
        (tmp_path / MANIFEST_NAME).write_text(json.dumps(facts))
        subprocess.run(["zip", "-q", "m.tflite", "manifest.json"], check=True, cwd=tmp_path)
        assert read_model_file(path) == (
            BUFFER,
            replace(CLASSIFIER, smoothing=replace(SmoothingConfig(), min_duration=min_duration)),
        )
        assert zipfile.ZipFile(path).read("golden/a.bin") == b"x" * 1000


def test_a_detector_has_no_smoothing() -> None:
    assert "smoothing" not in json.loads(SPEC.to_json())
    with pytest.raises(ModelError, match=r"here\.tflite has unknown keys in its manifest: smoothing$"):
        with_smoothing(SPEC, {"time_constant": 1})


@pytest.mark.parametrize(
    ("smoothing", "message"),
    [
        ({"time_constant": -0.1}, "smoothing time_constant -0.1 is not seconds, 0 to 3600"),
        ({"time_constant": float("inf")}, "smoothing time_constant inf is not seconds"),
        ({"min_duration": float("nan")}, "smoothing min_duration nan is not seconds"),
        ({"min_duration": "1 s"}, "smoothing min_duration '1 s' is not seconds"),
        ({"min_duration": 10**400}, "is not seconds"),
        ({"hysteresis": 1.5}, "smoothing hysteresis 1.5 is not a fraction, 0 to 1"),
        ({"hysteresis": True}, "smoothing hysteresis True is not a fraction"),
        ({"hysteresis": None}, "smoothing hysteresis None is not a fraction"),
        ({"calm": 1}, "unknown keys in its manifest: smoothing calm"),
        ([0.6, 0.1, 0.4], "does not name time_constant, hysteresis and min_duration"),
        (None, "does not name time_constant, hysteresis and min_duration"),
        ("calm", "does not name time_constant, hysteresis and min_duration"),
    ],
)
def test_a_smoothing_that_cannot_be_is_refused(smoothing: object, message: str) -> None:
    with pytest.raises(ModelError, match=r"here\.tflite") as raised:
        with_smoothing(CLASSIFIER, smoothing)
    assert message in str(raised.value) and "\n" not in str(raised.value)
