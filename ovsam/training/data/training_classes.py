"""The classes that a head learns: a vocabulary's base classes, then what other data sets add.

Names are compared folded (`fold_name`): case, `_` and runs of spaces do not count. A class that the
vocabulary keeps out of its base set (novel, or in neither set) is never learned, whichever data set
brings it: else COCO's novel classes would come back through Objects365.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ovsam.text.class_list import VocabularyClass, fold_name, make_class
from ovsam.text.vocabulary import Vocabulary

HIDDEN = -1


@dataclass(frozen=True)
class CategoryMatch:
    """How one data set's categories meet the training classes.

    Attributes:
        labels: (C,) int64 training class of each category; -1 where it is not learned.
        hidden: Categories that the vocabulary has, outside its base classes.
        unknown: Categories that are a class neither of the vocabulary nor of the training.
    """

    labels: np.ndarray
    hidden: tuple[str, ...]
    unknown: tuple[str, ...]


class TrainingClasses:
    """Training classes, in order; grows by `add`."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Begin with a vocabulary's base classes; without a split, with all of them."""
        self.title = vocabulary.title
        base = vocabulary.base or tuple(range(vocabulary.num_classes))
        self.classes: list[VocabularyClass] = [vocabulary.classes[index] for index in base]
        self._row = {fold_name(item.name): row for row, item in enumerate(self.classes)}
        names = {fold_name(name) for name in vocabulary.names}
        self._kept_out = names - self._row.keys()

    def __len__(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def add(self, names: Sequence[str]) -> int:
        """Add the names that are not yet a class and not kept out; return how many."""
        before = len(self.classes)
        for name in names:
            folded = fold_name(name)
            if folded not in self._row and folded not in self._kept_out:
                self._row[folded] = len(self.classes)
                self.classes.append(make_class(name, category_id=len(self.classes) + 1))
        return len(self.classes) - before

    def match(self, names: Sequence[str]) -> CategoryMatch:
        """Match the category names of a data set."""
        folded = [fold_name(name) for name in names]
        rows = [self._row.get(name, HIDDEN) for name in folded]
        pairs = list(zip(names, folded, rows, strict=True))
        return CategoryMatch(
            labels=np.array(rows, np.int64).reshape(-1),
            hidden=tuple(name for name, key, _ in pairs if key in self._kept_out),
            unknown=tuple(
                name for name, key, row in pairs if row == HIDDEN and key not in self._kept_out
            ),
        )

    def vocabulary(self) -> Vocabulary:
        """Return the training classes as a vocabulary without a split, to be embedded.

        They keep their ids, unless two sets gave one to different classes: then they count from 1.
        """
        ids = [item.category_id for item in self.classes]
        if len(set(ids)) < len(ids):
            ids = list(range(1, len(ids) + 1))
        classes = [
            VocabularyClass(
                number, item.name, item.aliases, synonyms=item.synonyms, rules=item.rules
            )
            for number, item in zip(ids, self.classes, strict=True)
        ]
        return Vocabulary.from_classes(classes, f"{self.title} for training")
