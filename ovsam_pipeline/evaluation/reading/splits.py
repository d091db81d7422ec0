"""Which classes of a data set the labels were trained on: base and novel.

A file's own `split` counts; else a vocabulary's split is carried over by class name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import compress
from typing import Any

import numpy as np

from ovsam.errors import VocabularyError
from ovsam.text.class_list import fold_name
from ovsam.text.vocabulary import Vocabulary
from ovsam_pipeline.evaluation.structures import Categories, GroundTruth


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


def keep_split_classes(truth: GroundTruth) -> GroundTruth:
    """Return the ground truth of the base and novel classes alone.

    As the paper's COCO numbers are measured: classes in neither set are left out, and with them
    images that have no annotation of another class. Where every class is in one of the sets, or
    none is, nothing changes.
    """
    categories = truth.categories
    is_kept = np.array([split is not None for split in categories.splits], bool)
    if is_kept.all() or not is_kept.any():
        return truth
    rows = np.flatnonzero(is_kept[truth.category_index])
    images = np.unique(truth.image_index[rows])
    new_category = np.cumsum(is_kept) - 1
    new_image = np.full(truth.num_images, -1)
    new_image[images] = np.arange(len(images))

    def translate(codes: np.ndarray) -> np.ndarray:
        image, category = codes // len(categories), codes % len(categories)
        kept = is_kept[category] & (new_image[image] >= 0)
        return new_image[image[kept]] * int(is_kept.sum()) + new_category[category[kept]]

    def select(values: tuple[Any, ...], flags: Iterable[bool]) -> tuple[Any, ...]:
        return tuple(compress(values, flags))

    return replace(
        truth,
        image_ids=truth.image_ids[images],
        image_sizes_hw=truth.image_sizes_hw[images],
        file_names=select(truth.file_names, new_image >= 0),
        categories=Categories(
            categories.ids[is_kept],
            select(categories.names, is_kept),
            select(categories.frequencies, is_kept),
            select(categories.splits, is_kept),
            select(categories.aliases, is_kept),
        ),
        annotation_ids=truth.annotation_ids[rows],
        image_index=new_image[truth.image_index[rows]].astype(np.int32),
        category_index=new_category[truth.category_index[rows]].astype(np.int32),
        areas=truth.areas[rows],
        boxes_xywh=truth.boxes_xywh[rows],
        is_crowd=truth.is_crowd[rows],
        is_ignored=truth.is_ignored[rows],
        segment_rows=truth.segment_rows[rows],
        negative=translate(truth.negative),
        not_exhaustive=translate(truth.not_exhaustive),
        num_left_out=truth.num_left_out + truth.num_images - len(images),
    )


def _find_split(vocabulary: Vocabulary, name: str, aliases: tuple[str, ...]) -> str | None:
    """Return the split of the one class that has the name, or one of the aliases, as an alias."""
    for text in (name, *aliases):
        try:
            return vocabulary.classes[vocabulary.index_of(text)].split
        except VocabularyError:
            continue
    return None
