"""Which classes of a data set the labels were trained on: base and novel.

A file's own `split` counts; else a vocabulary's split is carried over by class name.
"""

from __future__ import annotations

from dataclasses import replace

from ovsam.class_list import fold_name
from ovsam.errors import VocabularyError
from ovsam.vocabulary import Vocabulary
from ovsam_pipeline.evaluation.structures import GroundTruth

__all__ = ["with_splits"]


def with_splits(truth: GroundTruth, vocabulary: Vocabulary | None) -> GroundTruth:
    """Return the ground truth with base, novel or None for each class.

    Args:
        truth: its own splits stay, where it has any.
        vocabulary: whose split to take; None takes all splits away. A class that the vocabulary
            lacks, or has in neither set, is in neither set.
    """
    categories = truth.categories
    if vocabulary is None:
        splits: tuple[str | None, ...] = (None,) * len(categories)
    elif any(categories.splits):
        return truth
    else:
        by_name = {fold_name(item.name): item.split for item in vocabulary.classes}
        splits = tuple(
            by_name[fold_name(name)]
            if fold_name(name) in by_name
            else _find_split(vocabulary, name, aliases)
            for name, aliases in zip(categories.names, categories.aliases, strict=True)
        )
    return replace(truth, categories=replace(categories, splits=splits))


def _find_split(vocabulary: Vocabulary, name: str, aliases: tuple[str, ...]) -> str | None:
    """Return the split of the one class that has the name, or one of the aliases, as an alias."""
    for text in (name, *aliases):
        try:
            return vocabulary.classes[vocabulary.index_of(text)].split
        except VocabularyError:
            continue
    return None
