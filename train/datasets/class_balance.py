"""What a person must know of the classes before a training: too uneven, or missing where they are measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pocketsight.train.console import log_message
from pocketsight.train.datasets.classification import ClassificationSample

MAX_RATIO = 10  # of the largest class to the smallest


def count_classes(samples: Iterable[ClassificationSample], classes: Sequence[str]) -> Counter[str]:
    """Images by class; those without a class do not count."""
    return Counter(classes[sample.label] for sample in samples if sample.label >= 0)


def balance_warnings(train: Mapping[str, int], val: Mapping[str, int] | None) -> list[str]:
    """Lines about classes that are rare in `train`, or missing in `val`; None: there is no validation split yet.

    Both give the number of images by class.
    """
    lines = []
    counts = {name: count for name, count in train.items() if count}
    if counts:
        (large, most), (small, fewest) = (pick(counts.items(), key=lambda pair: pair[1]) for pick in (max, min))
        if most > MAX_RATIO * fewest:
            lines.append(
                f"uneven classes: {most} images of {large}, {fewest} of {small} ({most / fewest:.0f} to 1); "
                f"{small} will hardly be learned: collect more of it, or remove some of {large}"
            )
    if val is None:
        single = [name for name, count in counts.items() if count == 1]
        lines += [f"{name} has one image: it cannot be both trained on and validated; add more" for name in single]
    elif missing := [name for name in counts if not val.get(name)]:
        lines.append(
            f"no validation image of {', '.join(missing)}: the scores say nothing of it; add some, or split again "
            "with: pocketsight data split DATA --reassign"
        )
    return lines


def log_balance(
    classes: Sequence[str], train: Sequence[ClassificationSample], val: Sequence[ClassificationSample]
) -> None:
    """Log what a person must know of the classes of a training and its validation."""
    for line in balance_warnings(count_classes(train, classes), count_classes(val, classes)):
        log_message(line)
