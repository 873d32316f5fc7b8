"""Groups of images that must stay in one split, and the assignment of groups to splits."""

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
    """Images that must stay in one split."""

    indices: list[int]  # of the images
    split: str = ""  # the split of those that have one already
    counts: Counter[str] = field(default_factory=Counter)  # images by stratum


def group_images(
    images: Sequence[ScannedImage], fingerprints: Sequence[Fingerprint], splits: Sequence[str], mix_sessions: bool
) -> list[Group]:
    """Group near-duplicates, images of one COCO `group` and, unless `mix_sessions`, of one capture session.

    `fingerprints` and `splits` belong to `images`, in the same order; "" is an image without a split.
    """
    linked: dict[str, list[int]] = {}
    for n, image in enumerate(images):
        session = None if mix_sessions else parse_session_name(image.path.name)
        for key in (f"group {image.group}" if image.group else "", f"session {session}" if session else ""):
            if key:
                linked.setdefault(key, []).append(n)
    groups = []
    for indices in union_groups(len(images), [*near_duplicate_groups(fingerprints), *linked.values()]):
        split = next((splits[n] for n in indices if splits[n]), "")
        groups.append(Group(indices, split, Counter(stratum(images[n]) for n in indices)))
    return groups


def union_groups(count: int, links: Iterable[Sequence[int]]) -> list[list[int]]:
    """Connected components of the numbers 0 to `count` - 1, by union-find. A link connects all its numbers."""
    parent = list(range(count))

    def find_root(n: int) -> int:
        while parent[n] != n:
            parent[n] = parent[parent[n]]
            n = parent[n]
        return n

    for indices in links:
        lowest = min(map(find_root, indices))
        for n in indices:
            parent[find_root(n)] = lowest
    groups: dict[int, list[int]] = {}
    for n in range(count):
        groups.setdefault(find_root(n), []).append(n)
    return list(groups.values())


def assign_splits(groups: Sequence[Group], shares: Mapping[str, float], seed: int) -> None:
    """Assign each group without a split to the one that brings every stratum nearest to its shares.

    Large groups come first; `seed` orders groups of equal size. The result is deterministic, and no split with a share
    above 0 stays empty. Raises DataError when there are fewer groups than such splits.
    """
    requested = [split for split in SPLITS if shares[split] > 0]
    total: Counter[str] = Counter()
    assigned: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for group in groups:
        total += group.counts
        if group.split:
            assigned[group.split] += group.counts
    unassigned = [group for group in groups if not group.split]
    if unassigned and len(groups) < len(requested):
        raise DataError(
            f"sessions and near-duplicates make {len(groups)} group(s), too few for {len(requested)} splits; "
            "capture in more sessions (other days, places, clothes), or use --mix-sessions if sessions are the cause"
        )
    queue = [unassigned[n] for n in np.random.default_rng(seed).permutation(len(unassigned))]
    queue.sort(key=lambda group: -len(group.indices))
    for number, group in enumerate(queue):
        empty = [split for split in requested if not assigned[split]]
        options = empty if len(empty) >= len(queue) - number else requested

        def cost(split: str, group: Group = group) -> float:
            gap = {name: assigned[split][name] - shares[split] * total[name] for name in group.counts}
            return sum((gap[name] + count) ** 2 - gap[name] ** 2 for name, count in group.counts.items())

        group.split = min(options, key=cost)
        assigned[group.split] += group.counts


def stratum(image: ScannedImage) -> str:
    """The category that is kept in proportion in every split: a class, "with boxes" or "without boxes"."""
    return image.class_name or ("with boxes" if image.objects else "without boxes")
