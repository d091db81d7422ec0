"""Class names → rows of an ImageNet classifier, by WordNet: what the photo model has for a CLIP.

The classifier tells 1,000 classes apart, each one WordNet noun: the table's leaves. A name leads to
the leaves below every noun that it can stand for ("cat" to 13 breeds and wild cats). A class of a
vocabulary scores by the best of its leaves' rows, as a class of several texts does with CLIP
(`Classifier.cosine_logits`). Where names of one vocabulary lead to the same leaf, the most specific
one has it: with "bird" and "duck", a drake is a duck.

A detector can know classes that ImageNet lacks ("person"): such a class has no row, and only the
detector can name it.

Letters: C classes, L leaves, P rows in use, D feature width.
"""

from __future__ import annotations

import difflib
import functools
import gzip
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from ovsam.errors import VocabularyError
from ovsam.text.class_list import VocabularyClass, fold_name, strip_qualifier

if TYPE_CHECKING:
    from ovsam.text.vocabulary import Vocabulary

_FILE = Path(__file__).parent.parent / "data" / "photo" / "names.json.gz"
_MOST_SHOWN = 8


@dataclass(frozen=True)
class KnownNames:
    """Which names lead to which leaves.

    Attributes:
        leaves: (L) names of the classifier's classes, in its order.
        of_name: indices of leaves for each name, in lower case.
        detector_only: names that have no leaf of their own but are a detector's classes.
    """

    leaves: tuple[str, ...]
    of_name: Mapping[str, frozenset[int]]
    detector_only: frozenset[str]

    def find_leaves(self, item: VocabularyClass) -> frozenset[int]:
        """Return the leaves of a class: of its texts, else of its synonyms; none where unknown."""
        if self.is_detector_only(item):
            return frozenset()
        own = [self._look_up(text) for text in (item.name, *item.aliases)]
        return frozenset().union(*own) or frozenset().union(*map(self._look_up, item.synonyms))

    def is_detector_only(self, item: VocabularyClass) -> bool:
        """Whether only a detector can name a class."""
        return fold_name(item.name) in self.detector_only

    def _look_up(self, text: str) -> frozenset[int]:
        """Return the leaves of a text, also in the singular or written as one word."""
        text = strip_qualifier(text)
        singular = re.sub(r"ies$", "y", text), re.sub(r"es$", "", text), re.sub(r"s$", "", text)
        for form in (text, text.replace("-", " "), text.replace(" ", ""), *singular):
            if form in self.of_name:
                return self.of_name[form]
        return frozenset()


class NameTable(nn.Module):
    """The classifier's rows, centred, and the names that lead to them.

    Attributes:
        prototypes: (L, D) float32 rows.
        known: the names.
    """

    known_texts = None

    def __init__(self, dim: int, known: KnownNames | None = None) -> None:
        super().__init__()
        self.known = known or load_known_names()
        self.prototypes = nn.Parameter(torch.zeros(len(self.known.leaves), dim))

    @torch.no_grad()
    def embed(self, vocabulary: Vocabulary) -> Vocabulary:
        """Return a vocabulary with the rows of its classes.

        Raises:
            VocabularyError: a class has no name that leads to a leaf; the message has near names.
        """
        self.check_classes(vocabulary.classes)
        leaves = [self.known.find_leaves(item) for item in vocabulary.classes]
        pairs = share_out(leaves)
        rows = F.normalize(self.prototypes.detach().cpu()[[leaf for _, leaf in pairs]], dim=-1)
        return vocabulary.with_prototypes(rows, torch.tensor([owner for owner, _ in pairs]))

    def check_classes(self, classes: Iterable[VocabularyClass]) -> None:
        """Refuse classes that no name leads to."""
        unknown = [
            item.name
            for item in classes
            if not self.known.find_leaves(item) and not self.known.is_detector_only(item)
        ]
        if unknown:
            raise VocabularyError(self._describe_unknown(unknown))

    def _describe_unknown(self, unknown: list[str]) -> str:
        names = list(self.known.of_name)
        shown = ", ".join(_suggest(name, names) for name in unknown[:_MOST_SHOWN])
        more = f" and {len(unknown) - _MOST_SHOWN} more" if len(unknown) > _MOST_SHOWN else ""
        return (
            f"the embedded photo model knows {len(names):,} English names, not {shown}{more}; "
            "`ovsam vocabularies photo` lists them. It is no CLIP: for any other name fetch real "
            "weights, `ovsam models fetch rn50x16-lvis`, then `--model rn50x16-lvis`"
        )


def _suggest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(fold_name(name), known, n=2, cutoff=0.75)
    return f"'{name}'" + (f" (near: {', '.join(near)})" if near else "")


def share_out(leaves: list[frozenset[int]]) -> list[tuple[int, int]]:
    """Return (class, leaf) pairs: each leaf goes to the class, or classes, of the fewest leaves."""
    fewest: dict[int, int] = {}
    for own in leaves:
        for leaf in own:
            fewest[leaf] = min(len(own), fewest.get(leaf, len(own)))
    return [
        (index, leaf)
        for index, own in enumerate(leaves)
        for leaf in sorted(own)
        if len(own) == fewest[leaf]
    ]


@functools.cache
def load_known_names() -> KnownNames:
    """Read the embedded table of names."""
    content: dict[str, Any] = json.loads(gzip.decompress(_FILE.read_bytes()))
    return KnownNames(
        leaves=tuple(content["leaves"]),
        of_name={name: frozenset(leaves) for name, leaves in content["names"].items()},
        detector_only=frozenset(content["detector_only"]),
    )
