"""`pocketsight score`: open a model, run it once on the labelled pictures, and say in words how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pocketsight.device.errors import DataError, ModelError
from pocketsight.device.interpreter import Loaded, TfliteModel
from pocketsight.device.spec import ModelSpec, unpack
from pocketsight.train import answers, mistakes, pick, report, score, whole
from pocketsight.train.aligned import as_trained
from pocketsight.train.answers import Judged, Named
from pocketsight.train.expressions import read_expressions
from pocketsight.train.faces import Example, read_faces
from pocketsight.train.gallery import write_gallery
from pocketsight.train.say import bar
from pocketsight.train.slices import advice, slices, unknown

PARTS = "test", "val", "train"  # that scores are made on, the first that there is
PICKING = "val", "test", "train"  # that a threshold is chosen on: what was chosen on the test part is no test any more
PAGE = "failures.html"


def open_model(path: Path) -> Loaded:
    """A run folder through Keras, a .tflite file through the interpreter. Raises ModelError."""
    if path.is_dir():
        from pocketsight.train.run import as_model, load_run  # Keras only where it is needed

        return as_model(*load_run(path))
    flatbuffer, spec = unpack(path)
    return Loaded(TfliteModel(flatbuffer, threads=1, origin=path), spec)


def scoring(items: Any) -> Any:
    """A progress bar of the pictures that are scored."""
    return bar(list(items), what="scoring")


def model(
    path: Path, data: Sequence[Path], frame: tuple[int, int] | None, smallest: float, votes: Sequence[Path],
    plots: Path | None, asked: str | None, finder: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Scores of one model of either task. `finder` is the detector that finds the faces in portraits."""
    loaded = open_model(path)
    if loaded.spec.task == "detector":
        if finder:
            raise DataError(f"{path} is a detector itself; --detector is for classifiers and the pipeline")
        return detector(loaded, data, frame or score.FRAME, smallest, plots, asked)
    return sentiment(loaded, data, votes, plots, asked, finder)


def detector(
    loaded: Loaded, data: Sequence[Path], frame: tuple[int, int], smallest: float, plots: Path | None = None,
    asked: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Scores of a detector, at the threshold that keeps the promise `asked` for, and its pictures in `plots`."""
    promise = pick.parse(asked, "detector") if asked else None
    examples: list[Example] = []
    part = "test"
    for path in data:
        parts = read_faces(path).parts
        part = _part(parts, PICKING if promise else PARTS)
        named = path.stem if len(data) > 1 else ""
        examples += [replace(example, source=example.source or named) for example in parts[part]]
    looked = score.look(loaded, examples, frame, smallest, scoring)
    picked = pick.pick_detector(promise, looked, loaded.spec.threshold) if promise else None
    threshold = picked["threshold"] if picked else loaded.spec.threshold
    scores = {"part": part, **detector_scores(looked, threshold)} | ({"picked": picked} if picked else {})
    if plots:
        _make(plots)
        draw_detector(looked, scores, plots)
    return scores


def detector_scores(looked: score.Looked, threshold: float) -> dict[str, Any]:
    """The figures of all faces and of their parts, and what to collect next."""
    tables = slices(looked, threshold)
    return score.measure(looked, threshold) | {"slices": tables, "advice": advice(looked, threshold, tables)}


def draw_detector(looked: score.Looked, scores: dict[str, Any], folder: Path) -> None:
    """The plots of a detector and its failures, into a folder that is there."""
    report.precision_recall(scores, folder / "precision_recall.png")
    report.detector_thresholds(scores, folder / "threshold.png")
    report.found(looked.seen, looked.frame, scores["threshold"], folder / "found.png")
    write_gallery(looked, scores, "What the detector did not find, and what it found wrongly", folder / PAGE)


def sentiment(
    loaded: Loaded, data: Sequence[Path], votes: Sequence[Path], plots: Path | None = None, asked: str | None = None,
    finder: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Scores of a classifier, at the threshold that keeps the promise `asked` for, and its pictures in `plots`."""
    promise = pick.parse(asked, "sentiment") if asked else None
    known, silent = loaded.spec.answers, loaded.spec.labels[len(loaded.spec.answers) :]
    parts = read_expressions(list(data), list(votes), known, part="test", silent=silent).parts
    part = _part(parts, PICKING if promise else PARTS)
    skipped: list[str] = []
    portraits = as_trained(parts[part], loaded.spec, finder)
    named = list(answers.name(loaded, scoring(portraits), skipped))
    judged = answers.judge(named, len(loaded.spec.answers), bool(votes))
    picked = pick.pick_sentiment(promise, judged, loaded.spec.threshold) if promise else None
    spec = replace(loaded.spec, threshold=picked["threshold"]) if picked else loaded.spec
    scores = {"part": part, **sentiment_scores(named, judged, spec), "skipped": skipped}
    scores |= {"picked": picked} if picked else {}
    if plots:
        _make(plots)
        draw_sentiment(named, judged, scores, plots)
    return scores


def sentiment_scores(named: Sequence[Named], judged: Judged, spec: ModelSpec) -> dict[str, Any]:
    """The figures of all faces, what to collect next, and which labels to look at."""
    advice = mistakes.wish(mistakes.pairs(named, judged, spec.answers), judged, spec.threshold)
    doubts = [_doubt(named[n], spec.answers) for n in mistakes.suspects(named, judged)]
    return answers.measure(judged, spec) | {"advice": [advice], "suspects": doubts}


def _doubt(face: Named, labels: Sequence[str]) -> dict[str, Any]:
    path, answer = face.portrait.path, face.answer
    return {
        "file": str(path),
        "folder": path.parent.name,
        "answer": labels[answer.best],
        "score": round(answer.score, 3),
    }


def draw_sentiment(named: Sequence[Named], judged: Judged, scores: dict[str, Any], folder: Path) -> None:
    """The plots of a classifier and its failures, into a folder that is there."""
    report.confusion(scores, folder / "confusion.png")
    report.sentiment_thresholds(scores, folder / "threshold.png")
    report.calibration(judged, folder / "calibration.png")
    ours = [face for face in named if 0 <= face.portrait.label < len(scores["labels"])]
    report.named(ours, scores["labels"], scores["threshold"], folder / "named.png")
    mistakes.write_mistakes(named, judged, scores, "Where the classifier was wrong", folder / PAGE)


def pipeline(
    models: Sequence[Path], data: Sequence[Path], frame: tuple[int, int] | None = None, plots: Path | None = None
) -> dict[str, Any]:
    """What detector and classifier together make of whole photographs in class folders."""
    frame = frame or whole.FRAME
    loaded = [open_model(path) for path in models]
    for path, one, task in zip(models, loaded, ("detector", "sentiment"), strict=True):
        if one.spec.task != task:
            raise ModelError(f"{path} is a {one.spec.task} model, and a {task} model is needed here")
    labels = loaded[1].spec.answers
    parts = read_expressions(list(data), [], labels, part="test").parts
    part = _part(parts, PARTS)
    skipped: list[str] = []
    photos = list(whole.watch(loaded[0], loaded[1], parts[part], frame, skipped, scoring))
    scores = {"part": part, "frame": [frame[1], frame[0]], **whole.measure(photos, labels), "skipped": skipped}
    if plots:
        _make(plots)
        whole.write_page(photos, loaded[1].spec, frame, plots / PAGE)
    return scores


def _part(parts: Mapping[str, Sequence[Any]], order: Sequence[str]) -> str:
    """The first part that holds pictures. Raises DataError."""
    found = next((name for name in order if parts.get(name)), None)
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
    if "classes" in scores:
        return whole.text(scores)
    lines = _detector_text(scores) if "ap50" in scores else _sentiment_text(scores)
    lines += ["", *scores["advice"]]
    if scores["skipped"]:
        lines.append(f"{len(scores['skipped'])} pictures could not be read and were skipped")
    if "picked" in scores:
        lines += [
            "",
            *pick.text(scores["picked"]),
            "  it was chosen on these pictures: score it on others before you quote it",
        ]
    return "\n".join(lines)


def _detector_text(scores: dict[str, Any]) -> list[str]:
    width, height = scores["frame"]
    faces = f"{scores['faces']} faces of {scores['min_face']:g} px and more"
    lines = [
        f"{scores['images']} pictures of part {scores['part']}, fitted to {width}x{height}, {faces}",
        f"AP50          {scores['ap50']:.3f}",
        f"AP 0.5:0.95   {scores['ap']:.3f}",
        f"at threshold {scores['threshold']:.2f}: precision {scores['precision']:.3f}, recall {scores['recall']:.3f}",
        "",
        f"{'':26}{'faces':>7}{'AP50':>8}{'false':>7}{'precision':>11}{'recall':>8}  (95 %)",
    ]
    for kind, rows in scores["slices"].items():
        lines += [f"by {kind}", *(_slice_text(row) for row in rows)]
    few = unknown(scores["slices"])
    return lines + ([f"too few to say: {', '.join(few)}"] if few else [])


def _slice_text(row: dict[str, Any]) -> str:
    ap50, precision, recall = (
        "-" if row[key] is None else f"{row[key]:.3f}" for key in ("ap50", "precision", "recall")
    )
    low, high = row["recall_95"]
    sure = "too few to say" if row["few"] else f"{low:.2f} to {high:.2f}"
    return f"  {row['slice']:24}{row['faces']:7}{ap50:>8}{row['false_alarms']:7g}{precision:>11}{recall:>8}  {sure}"


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
    calibration = f"calibration error (ECE) {scores['ece']:.3f} at temperature {scores['temperature']:.2f}"
    if scores["others"]:
        each = ", ".join(f"{row['called']:.1%} of {row['faces']} {n}" for n, row in scores["others_by_folder"].items())
        lines.append(f"{scores['others']} faces of other folders: {scores['others_called']:.1%} got a label: {each}")
        calibration += f", without those {scores['ece_of_answers']:.3f}"
    return [*lines, calibration, f"{len(scores['suspects'])} faces may lie in the wrong folder"]
