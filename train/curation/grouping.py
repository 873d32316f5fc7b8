"""Which pictures stay together in a split, and which part each group gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pocketsight.device.camera.session_name import parse_session_name
from pocketsight.device.errors import DataError
from pocketsight.train.curation.image_hash import Fingerprint, near_duplicate_groups
from pocketsight.train.curation.scan import ScannedImage
from pocketsight.train.datasets.splits import SPLITS


@dataclass
class Group:
    """Pictures that must stay together."""

    indices: list[int]
    split: str = ""  # where some of them are already
    counts: Counter[str] = field(default_factory=Counter)  # by class, or by with or without boxes


def group_images(
    images: Sequence[ScannedImage], fingerprints: Sequence[Fingerprint], splits: Sequence[str], mix_sessions: bool
) -> list[Group]:
    """Near-duplicates, what the data calls a group and, unless `mix`, each capture session."""
    together: dict[str, list[int]] = {}
    for n, item in enumerate(images):
        session = None if mix_sessions else parse_session_name(item.path.name)
        for key in (f"group {item.group}" if item.group else "", f"session {session}" if session else ""):
            if key:
                together.setdefault(key, []).append(n)
    groups = []
    for numbers in union_groups(len(images), [*near_duplicate_groups(fingerprints), *together.values()]):
        part = next((splits[n] for n in numbers if splits[n]), "")
        groups.append(Group(numbers, part, Counter(stratum(images[n]) for n in numbers)))
    return groups


def union_groups(count: int, links: Iterable[Sequence[int]]) -> list[list[int]]:
    """The numbers below `count` in groups: those that a link names together, directly or through others, share one."""
    parent = list(range(count))

    def first(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    for numbers in links:
        low = min(map(first, numbers))
        for n in numbers:
            parent[first(n)] = low
    groups: dict[int, list[int]] = {}
    for n in range(count):
        groups.setdefault(first(n), []).append(n)
    return list(groups.values())


def assign_splits(groups: Sequence[Group], shares: Mapping[str, float], seed: int) -> None:
    """Give each group without a part the one that brings every class nearest to its shares; large groups first.

    The same groups and seed give the same parts, and no part that is asked for stays empty. Raises DataError.
    """
    asked = [part for part in SPLITS if shares[part] > 0]
    total: Counter[str] = Counter()
    have: dict[str, Counter[str]] = {part: Counter() for part in SPLITS}
    for group in groups:
        total += group.counts
        if group.split:
            have[group.split] += group.counts
    free = [group for group in groups if not group.split]
    if free and len(groups) < len(asked):
        raise DataError(
            f"the pictures are {len(groups)} group(s) of one capture session or look alike, too few for {len(asked)} "
            "parts; capture in more sessions (other days, places, clothes), or --mix-sessions where that is the reason"
        )
    shuffled = [free[n] for n in np.random.default_rng(seed).permutation(len(free))]
    shuffled.sort(key=lambda group: -len(group.indices))
    for number, group in enumerate(shuffled):
        empty = [part for part in asked if not have[part]]
        options = empty if len(empty) >= len(shuffled) - number else asked

        def cost(part: str, group: Group = group) -> float:
            gap = {kind: have[part][kind] - shares[part] * total[kind] for kind in group.counts}
            return sum((gap[kind] + count) ** 2 - gap[kind] ** 2 for kind, count in group.counts.items())

        group.part = min(options, key=cost)
        have[group.part] += group.counts


def stratum(image: ScannedImage) -> str:
    """What each part is to have its share of: a class, or pictures with boxes and without."""
    return image.class_name or ("with boxes" if image.objects else "without boxes")
