"""Which class of the ground truth a predicted class is: by id, by name, by alias, by explicit map.

Zero-shot transfer needs the last two: names of one vocabulary measured on another's annotations.
How names are compared is `detectors/class_match.py`'s, as for a detector and the vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ovsam_pipeline.detectors.class_match import match_names, read_class_map
from ovsam_pipeline.evaluation.structures import Categories


@dataclass(frozen=True)
class ClassMap:
    """Predicted classes and their places in the ground truth.

    Attributes:
        index_of_id: predicted category id → index of the ground truth's category; absent where it
            has no counterpart.
        names: predicted category id → its name.
        unmatched: names without a counterpart.
    """

    index_of_id: Mapping[int, int]
    names: Mapping[int, str]
    unmatched: tuple[str, ...]


def map_by_id(categories: Categories) -> ClassMap:
    """Return the map of predictions that use the ground truth's own ids."""
    ids = categories.ids.tolist()
    return ClassMap(
        {number: index for index, number in enumerate(ids)},
        dict(zip(ids, categories.names, strict=True)),
        (),
    )


def map_classes(
    predicted: Sequence[tuple[int, str]], categories: Categories, class_map: Path | None = None
) -> ClassMap:
    """Match classes by name.

    Args:
        predicted: id and name of each predicted class.
        categories: of the ground truth.
        class_map: JSON or YAML file, predicted name → name in the ground truth; goes first.

    Raises:
        DatasetError: the file cannot be read, or names classes that are not there.
    """
    names = [name for _, name in predicted]
    explicit: dict[str, int] = {}
    if class_map is not None:
        owners = ("the predictions", "the data set")
        explicit = read_class_map(class_map, names, categories.names, owners)
    index_of = match_names(names, categories.names, categories.aliases, explicit)
    return ClassMap(
        {number: index_of[name] for number, name in predicted if name in index_of},
        dict(predicted),
        tuple(name for name in names if name not in index_of),
    )
