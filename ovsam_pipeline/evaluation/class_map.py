"""Which class of the ground truth a predicted class is: by id, by name, by alias, by explicit map.

Zero-shot transfer needs the last two: names of one vocabulary measured on another's annotations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovsam.class_list import fold_name
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.structures import Categories

__all__ = ["ClassMap", "map_by_id", "map_classes"]


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
    explicit = _read_map(class_map, predicted, categories) if class_map else {}
    by_name = _index_names(categories)
    found: dict[int, int] = {}
    for number, name in predicted:
        index = explicit.get(name)
        if index is None:
            texts = [name, *_find_aliases(name)]
            index = next((by_name[fold_name(t)] for t in texts if fold_name(t) in by_name), None)
        if index is not None:
            found[number] = index
    unmatched = tuple(name for number, name in predicted if number not in found)
    return ClassMap(found, dict(predicted), unmatched)


def _index_names(categories: Categories) -> dict[str, int]:
    """Return every name of every category; an alias that two of them share belongs to none."""
    owners: dict[str, set[int]] = {}
    for index, name in enumerate(categories.names):
        for alias in (*_find_aliases(name), *categories.aliases[index]):
            owners.setdefault(fold_name(alias), set()).add(index)
    by_alias = {alias: min(found) for alias, found in owners.items() if len(found) == 1}
    return by_alias | {fold_name(name): i for i, name in enumerate(categories.names)}


def _find_aliases(name: str) -> tuple[str, ...]:
    """Return what the built-in vocabularies call the same thing."""
    return _aliases_by_name().get(fold_name(name), ())


def _aliases_by_name() -> dict[str, tuple[str, ...]]:
    if not _ALIASES:
        from ovsam.vocabulary import load_vocabulary

        for title in ("coco", "lvis"):
            for item in load_vocabulary(title).classes:
                key = fold_name(item.name)
                _ALIASES[key] = (*_ALIASES.get(key, ()), *item.aliases, *item.synonyms)
    return _ALIASES


_ALIASES: dict[str, tuple[str, ...]] = {}


def _read_map(
    path: Path, predicted: Sequence[tuple[int, str]], categories: Categories
) -> dict[str, int]:
    import yaml

    from ovsam_pipeline.strict_yaml import load_strict_yaml

    try:
        values: Any = load_strict_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DatasetError(f"cannot read the class map {path}: {error}") from error
    if not isinstance(values, dict):
        raise DatasetError(f"expected {path} to map predicted names to names in the data set")
    targets = {fold_name(name): index for index, name in enumerate(categories.names)}
    sources = {fold_name(name): name for _, name in predicted}
    unknown = [str(k) for k in values if fold_name(str(k)) not in sources]
    unknown += [str(v) for v in values.values() if fold_name(str(v)) not in targets]
    if unknown:
        raise DatasetError(
            f"{path} names classes that neither the predictions nor the data set have: "
            + ", ".join(unknown[:10])
        )
    return {sources[fold_name(str(k))]: targets[fold_name(str(v))] for k, v in values.items()}
