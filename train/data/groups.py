"""Which pictures stay together in a split, and which part each group gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pocketsight.device.capture import session_of
from pocketsight.device.errors import DataError
from pocketsight.train.data.fingerprint import Fingerprint, alike
from pocketsight.train.data.survey import Item
from pocketsight.train.expressions import PARTS


@dataclass
class Group:
    """Pictures that must stay together."""

    items: list[int]
    part: str = ""  # where some of them are already
    counts: Counter[str] = field(default_factory=Counter)  # by class, or by with or without boxes


def grouped(items: Sequence[Item], prints: Sequence[Fingerprint], parts: Sequence[str], mix: bool) -> list[Group]:
    """Near-duplicates, what the data calls a group and, unless `mix`, each capture session."""
    together: dict[str, list[int]] = {}
    for n, item in enumerate(items):
        session = None if mix else session_of(item.path.name)
        for key in (f"group {item.group}" if item.group else "", f"session {session}" if session else ""):
            if key:
                together.setdefault(key, []).append(n)
    groups = []
    for numbers in joined(len(items), [*alike(prints), *together.values()]):
        part = next((parts[n] for n in numbers if parts[n]), "")
        groups.append(Group(numbers, part, Counter(stratum(items[n]) for n in numbers)))
    return groups


def joined(count: int, links: Iterable[Sequence[int]]) -> list[list[int]]:
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


def assign(groups: Sequence[Group], shares: Mapping[str, float], seed: int) -> None:
    """Give each group without a part the one that brings every class nearest to its shares; large groups first.

    The same groups and seed give the same parts, and no part that is asked for stays empty. Raises DataError.
    """
    asked = [part for part in PARTS if shares[part] > 0]
    total: Counter[str] = Counter()
    have: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    for group in groups:
        total += group.counts
        if group.part:
            have[group.part] += group.counts
    free = [group for group in groups if not group.part]
    if free and len(groups) < len(asked):
        raise DataError(
            f"the pictures are {len(groups)} group(s) of one capture session or look alike, too few for {len(asked)} "
            "parts; capture in more sessions (other days, places, clothes), or --mix-sessions where that is the reason"
        )
    shuffled = [free[n] for n in np.random.default_rng(seed).permutation(len(free))]
    shuffled.sort(key=lambda group: -len(group.items))
    for number, group in enumerate(shuffled):
        empty = [part for part in asked if not have[part]]
        options = empty if len(empty) >= len(shuffled) - number else asked

        def cost(part: str, group: Group = group) -> float:
            gap = {kind: have[part][kind] - shares[part] * total[kind] for kind in group.counts}
            return sum((gap[kind] + count) ** 2 - gap[kind] ** 2 for kind, count in group.counts.items())

        group.part = min(options, key=cost)
        have[group.part] += group.counts


def stratum(item: Item) -> str:
    """What each part is to have its share of: a class, or pictures with boxes and without."""
    return item.kind or ("with boxes" if item.boxes else "without boxes")
