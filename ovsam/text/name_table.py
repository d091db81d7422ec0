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

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from ovsam.text.known_names import KnownNames, load_known_names

if TYPE_CHECKING:
    from ovsam.text.vocabulary import Vocabulary


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
        self.known.check_classes(vocabulary.classes)
        leaves = [self.known.find_leaves(item) for item in vocabulary.classes]
        pairs = share_out(leaves)
        rows = F.normalize(self.prototypes.detach().cpu()[[leaf for _, leaf in pairs]], dim=-1)
        return vocabulary.with_prototypes(rows, torch.tensor([owner for owner, _ in pairs]))


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
