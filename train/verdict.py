"""`edgekit score`: open a model, read the labelled pictures, score, and say it in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.device.errors import DataError
from edgekit.device.image import read_image
from edgekit.device.interpreter import Loaded, TfliteModel
from edgekit.device.spec import unpack
from edgekit.train import report, score
from edgekit.train.expressions import read_expressions
from edgekit.train.faces import Example, read_faces
from edgekit.train.say import bar


def open_model(path: Path) -> Loaded:
    """A run folder through Keras, a .tflite file through the interpreter. Raises ModelError."""
    if path.is_dir():
        from edgekit.train.run import as_model, load_run  # Keras only where it is needed

        return as_model(*load_run(path))
    flatbuffer, spec = unpack(path)
    return Loaded(TfliteModel(flatbuffer, threads=1, origin=path), spec)


def scoring(items: Any) -> Any:
    """A progress bar of the pictures that are scored."""
    return bar(list(items), what="scoring")


def detector(
    loaded: Loaded, data: Sequence[Path], frame: tuple[int, int], smallest: float, plots: Path | None
) -> dict[str, Any]:
    """Scores of a detector, and its pictures in `plots`."""
    examples: list[Example] = []
    part = "test"
    for path in data:
        parts = read_faces(path).parts
        part = _best_part(parts)
        examples += parts[part]
    scores = {"part": part} | score.score_detector(loaded, examples, frame, smallest, scoring)
    if plots:
        _make(plots)
        report.precision_recall(scores, plots / "precision_recall.png")
        full = [example for example in examples if len(example.boxes)]
        some = full[:: max(1, len(full) // 25)][:25]
        report.found(list(score.see(loaded, some, frame, smallest, [])), loaded.spec.threshold, plots / "found.png")
    return scores


def sentiment(loaded: Loaded, data: Sequence[Path], votes: Sequence[Path], plots: Path | None) -> dict[str, Any]:
    """Scores of a classifier, and its pictures in `plots`."""
    labels = loaded.spec.answers
    parts = read_expressions(list(data), list(votes), labels, part="test").parts
    part = _best_part(parts)
    portraits = parts[part]
    scores = {"part": part} | score.score_sentiment(loaded, portraits, bool(votes), scoring)
    if plots:
        _make(plots)
        report.confusion(scores, plots / "confusion.png")
        ours = [p for p in portraits if p.label >= 0]
        answers = list(score.name(loaded, ours[:: max(1, len(ours) // 48)][:48], []))
        report.named(answers, [read_image(a.portrait.path) for a in answers], labels, plots / "named.png")
    return scores


def _best_part(parts: Mapping[str, Sequence[Any]]) -> str:
    """The part to score on: test, else val, else train."""
    found = next((name for name in ("test", "val", "train") if parts.get(name)), None)
    if not found:
        raise DataError("the data holds no pictures to score on")
    return found


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror}") from error


def text(scores: dict[str, Any]) -> str:
    """The scores for people."""
    lines = _detector_text(scores) if "ap50" in scores else _sentiment_text(scores)
    if scores["skipped"]:
        lines.append(f"{len(scores['skipped'])} pictures could not be read and were skipped")
    return "\n".join(lines)


def _detector_text(scores: dict[str, Any]) -> list[str]:
    width, height = scores["frame"]
    faces = f"{scores['faces']} faces of {scores['min_face']:g} px and more"
    return [
        f"{scores['images']} pictures of part {scores['part']}, fitted to {width}x{height}, {faces}",
        f"AP50          {scores['ap50']:.3f}",
        f"AP 0.5:0.95   {scores['ap']:.3f}",
        f"at threshold {scores['threshold']:.2f}: precision {scores['precision']:.3f}, recall {scores['recall']:.3f}",
    ]


def _sentiment_text(scores: dict[str, Any]) -> list[str]:
    labels = scores["labels"]
    wide = max(len(label) for label in labels) + 2
    lines = [
        f"{scores['images']} faces of part {scores['part']}: accuracy {scores['accuracy']:.1%}, "
        f"balanced {scores['balanced_accuracy']:.1%}",
        f"at threshold {scores['threshold']:.2f}: {scores['unsure_rate']:.1%} unsure, "
        f"{scores['accuracy_when_sure'] or 0:.1%} of the others right",
        f"{'':{wide}}{'precision':>10}{'recall':>10}{'F1':>10}   answers: {', '.join(labels)}",
    ]
    for row, label in enumerate(labels):
        numbers = "".join(f"{scores[kind][label]:10.3f}" for kind in ("precision", "recall", "f1"))
        lines.append(f"{label:{wide}}{numbers}   {', '.join(map(str, scores['confusion'][row]))}")
    if scores["others"]:
        lines.append(f"{scores['others']} faces of other folders: {scores['others_called']:.1%} got a label")
    return lines
