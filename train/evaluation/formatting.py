"""The scores of `pocketsight evaluate` as text for a terminal."""

from __future__ import annotations

from pocketsight.train.evaluation.detector import plural_noun
from pocketsight.train.evaluation.pipeline import OUTCOMES
from pocketsight.train.evaluation.reports import (
    ClassifierScores,
    DetectorScores,
    PipelineScores,
    Scores,
    SliceRow,
    ThresholdChoice,
)
from pocketsight.train.evaluation.slices import small_slices


def format_scores(scores: Scores) -> str:
    """The report of any task."""
    if scores["task"] == "pipeline":
        lines = format_pipeline_scores(scores)
    else:
        lines = _format_detector(scores) if scores["task"] == "detector" else _format_classifier(scores)
        lines += ["", *scores["recommendations"]]
    if skipped := scores.get("skipped"):
        lines.append(f"{len(skipped)} images could not be read and were skipped")
    if choice := scores.get("threshold_choice"):
        lines += [
            "",
            *format_choice(choice),
            "  chosen on these images: evaluate it on other ones before you quote it",
        ]
    for label, choice in scores.get("threshold_choices", {}).items():
        lines += ["", f"{label}, {format_choice(choice)[0]}", *format_choice(choice)[1:]]
    return "\n".join(lines)


def _format_detector(scores: DetectorScores) -> list[str]:
    width, height = scores["frame"]
    noun = plural_noun(scores["labels"])
    lines = [
        f"{scores['images']} images of the {scores.get('split', 'test')} split, letterboxed to {width}x{height}, "
        f"{scores['faces']} {noun} of {scores['min_face_size']:g} px and more",
        f"AP50          {scores['ap50']:.3f}",
        f"AP 0.5:0.95   {scores['ap']:.3f}",
        f"at threshold {scores['threshold']:.2f}: precision {scores['precision']:.3f}, recall {scores['recall']:.3f}",
        "",
    ]
    if "by_label" in scores:
        return lines + _format_labels(scores)
    lines += [
        f"{'':26}{noun:>7}{'AP50':>8}{'FP':>7}{'precision':>11}{'recall':>8}  (95 %)",
    ]
    for name, rows in scores["slices"].items():
        lines += [f"by {name}", *(_format_slice(row) for row in rows)]
    small = small_slices(scores["slices"], noun)
    return lines + ([f"too few {noun} for a conclusion: {', '.join(small)}"] if small else [])


def _format_labels(scores: DetectorScores) -> list[str]:
    """The metrics of each label, and how often each was taken for which."""
    labels = scores["labels"]
    width = max(map(len, [*labels, "not detected"])) + 2
    lines = [f"{'':{width}}{'objects':>8}{'AP50':>8}{'AP':>8}{'threshold':>11}{'precision':>11}{'recall':>8}"]
    for label in labels:
        if own := scores["by_label"].get(label):
            numbers = f"{own['threshold']:11.2f}{own['precision']:11.3f}{own['recall']:8.3f}"
            lines.append(f"{label:{width}}{own['faces']:8}{own['ap50']:8.3f}{own['ap']:8.3f}{numbers}")
        else:
            lines.append(f"{label:{width}}{0:8}  the images have none")
    lines += ["", f"{'detected as':{width}}" + "".join(f"{name:>{width}}" for name in [*labels, "not detected"])]
    for name, row in zip([*labels, "no object"], scores["confusion"], strict=True):
        lines.append(f"{name:{width}}" + "".join(f"{count:{width}}" for count in row))
    return lines


def _format_slice(row: SliceRow) -> str:
    ap50, precision, recall = (
        "-" if value is None else f"{value:.3f}" for value in (row["ap50"], row["precision"], row["recall"])
    )
    low, high = row["recall_95"]
    interval = "too few faces" if row["too_small"] else f"{low:.2f} to {high:.2f}"
    return (
        f"  {row['slice']:24}{row['faces']:7}{ap50:>8}{row['false_positives']:7g}{precision:>11}{recall:>8}  {interval}"
    )


def _format_classifier(scores: ClassifierScores) -> list[str]:
    labels = scores["labels"]
    width = max(len(label) for label in labels) + 2
    lines = [
        f"{scores['images']} faces of the {scores.get('split', 'test')} split: {format_accuracy(scores)}",
        f"at threshold {scores['threshold']:.2f}: {scores['unsure_rate']:.1%} unsure, "
        f"{scores['labeled_accuracy'] or 0:.1%} of the labels right",
        f"{'':{width}}{'precision':>10}{'recall':>10}{'F1':>10}   predicted: {', '.join(labels)}",
    ]
    for row, label in enumerate(labels):
        numbers = "".join(f"{values[label]:10.3f}" for values in (scores["precision"], scores["recall"], scores["f1"]))
        lines.append(f"{label:{width}}{numbers}   {', '.join(map(str, scores['confusion'][row]))}")
    calibration = f"calibration error (ECE) {scores['ece']:.3f} at temperature {scores['temperature']:.2f}"
    if scores["rejects"]:
        each = ", ".join(
            f"{row['label_rate']:.1%} of {row['faces']} {name}" for name, row in scores["rejects_by_folder"].items()
        )
        lines.append(f"{scores['rejects']} rejects: {scores['reject_label_rate']:.1%} got a label: {each}")
        calibration += f", without rejects {scores['ece_known']:.3f}"
    return [*lines, calibration, f"{len(scores['likely_mislabeled'])} faces may be in the wrong folder"]


def format_accuracy(scores: ClassifierScores) -> str:
    """The accuracies, or that of the only class that was measured: then neither says how good the classifier is."""
    pairs = list(zip(scores["labels"], map(sum, scores["confusion"]), strict=True))
    missing = [label for label, count in pairs if not count]
    if not missing:
        return f"accuracy {scores['accuracy']:.1%}, balanced {scores['balanced_accuracy']:.1%}"
    measured = ", ".join(label for label, count in pairs if count)
    return f"{scores['accuracy']:.1%} of {measured} right, no accuracy: there is no image of {', '.join(missing)}"


def format_pipeline_scores(scores: PipelineScores) -> list[str]:
    """The outcomes of whole photographs, one line each."""
    width, height = scores["frame"]
    total = scores["all"]
    column = max(len(label) for label in [*scores["classes"], "all"]) + 2
    lines = [
        f"{total['images']} photographs of the {scores.get('split', 'test')} split, letterboxed to {width}x{height}; "
        "the largest face of each counts",
        f"{'':{column}}{'photos':>7}" + "".join(f"{outcome:>16}" for outcome in OUTCOMES),
    ]
    for label, row in [*scores["classes"].items(), ("all", total)]:
        shares = "".join(f"{row[o]:8} {row[o] / max(row['images'], 1):6.1%}" for o in OUTCOMES)
        lines.append(f"{label:{column}}{row['images']:7}{shares}")
    detected = total["images"] - total["no face"]
    labeled = total["right"] + total["wrong"]
    right = f", {total['right'] / labeled:.1%} of the labels are right" if labeled else ""
    lines.append(f"faces detected in {detected} ({detected / total['images']:.1%}), {labeled} got a label{right}")
    if scores["rejects"]:
        lines.append(
            f"{scores['rejects']} photographs of reject folders: {scores['reject_label_rate']:.1%} got a label"
        )
    if others := scores["other_faces"]:
        each = ", ".join(f"{count} {label}" for label, count in others.items())
        lines.append(f"{sum(others.values())} smaller faces in the same photographs: {each}")
    return lines


def format_choice(choice: ThresholdChoice) -> list[str]:
    """The chosen threshold and its cost."""
    before, after = choice["before"], choice["after"]
    lines = [f"{choice['target']}: threshold {choice['threshold']:g}, before {choice['previous_threshold']:g}"]
    for key, value in after.items():
        change = f"{value:,.0f} at most, was {before[key]:,.0f}" if value > 1 else f"{value:.3f}, was {before[key]:.3f}"
        cost = before[key] - value
        price = f": costs {cost:.1%} of the faces" if key in ("recall", "label_rate") and cost > 0 else ""
        lines.append(f"  {key.replace('_', ' '):22} {change}{price}")
    if "precision_95" in choice:
        low, high = choice["precision_95"]
        lines.append(f"  on other images of this kind the precision is {low:.3f} to {high:.3f} (95 %)")
    if "images" in choice:
        lines += [
            f"  counted: {choice['false_positives']} false positives in {choice['images']} images; the rate is the "
            "upper end of its 95 % interval.",
            "  Frames of one camera are not independent: one coat on a hook may be a false positive in every frame.",
        ]
    return lines
