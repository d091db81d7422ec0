"""Images → train, val and test: every class in the shares asked for, near-duplicates together.

Groups of images are dealt out one after the other, those with the rarest class first, to the split
that lacks that class most: iterative stratification (Sechidis et al., 2011). The same labels are
always split the same way.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ovsam.errors import ConfigError
from ovsam_pipeline.export.labels import iterate_labelled
from ovsam_pipeline.export.options import ExportOptions
from ovsam_pipeline.output.near_duplicates import group_near_duplicates
from ovsam_pipeline.storage.remote_path import AnyPath

SPLITS = ("train", "val", "test")
# Counted as a class, so that images without objects are spread as well.
_ALL = -1


@dataclass(frozen=True)
class Splits:
    """Which split each image is in; `used` are those that were asked for."""

    used: tuple[str, ...] = SPLITS[:1]
    by_name: dict[str, str] = field(default_factory=dict)

    def find(self, file_name: str) -> str:
        """Return the split of an image."""
        return self.by_name.get(file_name, self.used[0])


def parse_split(text: str) -> tuple[float, ...]:
    """Return ".8/.1/.1" as shares of train, val and test; two numbers are train and val."""
    try:
        shares = tuple(float(share) for share in text.split("/"))
    except ValueError:
        shares = ()
    is_sum = abs(sum(shares) - 1) < 1e-6
    if not 2 <= len(shares) <= 3 or not is_sum or any(not 0 < share < 1 for share in shares):
        raise ConfigError(f"expected --split as shares that add up to 1, as .8/.1/.1, got '{text}'")
    return shares


def assign_splits(output: AnyPath, options: ExportOptions) -> Splits:
    """Return the split of each image of an output. Memory: its names and classes."""
    if not options.split:
        return Splits()
    classes: dict[str, Counter[int]] = {}
    for image in iterate_labelled(output, options.choice, ("category_id",)):
        classes[image.file_name] = Counter(item["category_id"] for item in image.objects)
    return deal(classes, _group(classes, group_near_duplicates(output)), options.split)


def _group(names: Iterable[str], numbers: Mapping[str, int]) -> list[list[str]]:
    """Return the names, near-duplicates together; `numbers` are their groups by name."""
    groups: dict[int | str, list[str]] = defaultdict(list)
    for name in names:
        groups[numbers.get(name, name)].append(name)
    return list(groups.values())


def deal(
    classes: dict[str, Counter[int]], groups: list[list[str]], shares: tuple[float, ...]
) -> Splits:
    """Return a split for each name: `classes` count its objects by class, `groups` hold all names.

    `shares`: of train, val and test.
    """
    classes = {name: found + Counter({_ALL: 1}) for name, found in classes.items()}
    counts = [sum((classes[name] for name in group), Counter[int]()) for group in groups]
    totals = sum(counts, Counter[int]())
    lacking = [Counter({kind: share * n for kind, n in totals.items()}) for share in shares]
    used = SPLITS[: len(shares)]
    by_name: dict[str, str] = {}
    by_rarest: dict[int, list[int]] = defaultdict(list)
    for index, found in enumerate(counts):
        by_rarest[min(found, key=lambda kind: (totals[kind], kind))].append(index)
    for rarest in sorted(by_rarest, key=lambda kind: (totals[kind], kind)):
        # Large groups first, while there is room for them everywhere.
        order = sorted(by_rarest[rarest], key=lambda i: (-len(groups[i]), _hash(groups[i])))
        for index in order:
            chosen = max(
                range(len(used)),
                key=lambda split: (lacking[split][rarest], lacking[split][_ALL], -split),
            )
            lacking[chosen].subtract(counts[index])
            by_name.update(dict.fromkeys(groups[index], used[chosen]))
    return Splits(used, by_name)


def _hash(group: list[str]) -> bytes:
    """Return an order of groups that has nothing to do with names, dates or folders."""
    return hashlib.blake2b(min(group).encode("utf-8", "replace"), digest_size=8).digest()
