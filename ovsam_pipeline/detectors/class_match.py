"""Find the class of a list that a name means: by an explicit map, by name, or by alias.

Detectors' classes are matched with the vocabulary, predicted classes with those of a ground truth.
Case, "_" and runs of spaces do not matter. Aliases are those of the list itself and those of the
built-in vocabularies coco and lvis: "tv" is "television_set", "car" is "car_(automobile)". An alias
that two classes share ("bow") means neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam.checked_json import refuse_pipe
from ovsam.errors import ConfigError, describe_error, show_value
from ovsam.text.class_list import fold_name
from ovsam_pipeline.errors import DatasetError

if TYPE_CHECKING:
    from ovsam.text.vocabulary import Vocabulary

_MOST_NAMES = 20  # in a message: LVIS alone has 1,203


def match_names(
    names: Sequence[str],
    targets: Sequence[str],
    target_aliases: Sequence[Sequence[str]],
    explicit: Mapping[str, int],
) -> dict[str, int]:
    """Return the index in `targets` of each name that has a counterpart there.

    `explicit` (name → index, from `read_class_map`) goes before names, and names before aliases.
    """
    by_name = _index_names(targets, target_aliases)
    found: dict[str, int] = {}
    for name in names:
        texts = [fold_name(text) for text in (name, *_find_aliases(name))]
        index = explicit.get(name, next((by_name[t] for t in texts if t in by_name), None))
        if index is not None:
            found[name] = index
    return found


def read_class_map(
    path: Path, names: Sequence[str], targets: Sequence[str], owners: tuple[str, str]
) -> dict[str, int]:
    """Return name → index in `targets` from a YAML or JSON file of name → name of a class.

    `owners` are those of `names` and `targets` for messages: ("the predictions", "the data set").
    Raises a DatasetError where the file cannot be read, names a class that does not exist, or gives
    two spellings of one name two classes.
    """
    from ovsam.checked_yaml import parse_yaml

    try:
        refuse_pipe(path)
        values: Any = parse_yaml(path.read_text(encoding="utf-8"), as_texts=True)
    except (OSError, ValueError) as error:
        raise DatasetError(f"cannot read the class map {path}: {describe_error(error)}") from error
    if not isinstance(values, dict):
        raise DatasetError(
            f"expected {path} to map names of {owners[0]} to names of {owners[1]}, "
            f"got {show_value(values)}"
        )
    index_of = {fold_name(name): index for index, name in enumerate(targets)}
    spelled: dict[str, list[str]] = {}
    for name in names:
        spelled.setdefault(fold_name(name), []).append(name)
    pairs = [(str(key), str(value)) for key, value in values.items()]
    unknown = (
        [key for key, _ in pairs if fold_name(key) not in spelled],
        [value for _, value in pairs if fold_name(value) not in index_of],
    )
    if any(unknown):
        lacks = [
            f"{_list_names(lacking)} not among the classes of {owner}"
            for lacking, owner in zip(unknown, owners, strict=True)
            if lacking
        ]
        raise DatasetError(f"{path} names unknown classes: {'; '.join(lacks)}")
    _refuse_two_meanings(path, pairs)
    return {
        name: index_of[fold_name(value)] for key, value in pairs for name in spelled[fold_name(key)]
    }


def _refuse_two_meanings(path: Path, pairs: Sequence[tuple[str, str]]) -> None:
    """Refuse spellings of one name ("Skis", "skis") that are given different classes."""
    first: dict[str, tuple[str, str]] = {}
    for key, value in pairs:
        old_key, old_value = first.setdefault(fold_name(key), (key, value))
        if fold_name(old_value) != fold_name(value):
            raise DatasetError(
                f"expected one class for each name in {path}, got '{old_key}: {old_value}' and "
                f"'{key}: {value}', whose names differ in spelling only; keep one of them"
            )


def match_detector_classes(
    class_names: Sequence[str], vocabulary: Vocabulary, class_map: Path | None = None
) -> dict[str, int]:
    """Return the vocabulary's index of each class of a detector that has a counterpart.

    A class map (see `read_class_map`) goes before names and aliases.
    """
    explicit: dict[str, int] = {}
    if class_map is not None:
        owners = ("the detector", f"the vocabulary {vocabulary.title}")
        explicit = read_class_map(class_map, class_names, vocabulary.names, owners)
    aliases = [(*item.aliases, *item.synonyms) for item in vocabulary.classes]
    return match_names(class_names, vocabulary.names, aliases, explicit)


def describe_unmatched(
    detector: str, names: Sequence[str], num_classes: int, vocabulary: Vocabulary
) -> ConfigError:
    """Return the error that lists those of a detector's classes that the vocabulary lacks."""
    return ConfigError(
        f"{len(names)} of the {num_classes} classes of {detector} are not in the vocabulary "
        f"{vocabulary.title}: {_list_names(names)}; give their names there with --class-map FILE, "
        "use another --vocabulary, or --allow-unmatched to let OV-SAM name them"
    )


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _index_names(targets: Sequence[str], aliases: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return the index of each name and of each alias that no two classes share."""
    owners: dict[str, set[int]] = {}
    for index, name in enumerate(targets):
        for alias in (*_find_aliases(name), *aliases[index]):
            owners.setdefault(fold_name(alias), set()).add(index)
    by_alias = {alias: min(found) for alias, found in owners.items() if len(found) == 1}
    # Names last: a class's own name goes before an alias of another class.
    return by_alias | {fold_name(name): i for i, name in enumerate(targets)}


def _find_aliases(name: str) -> tuple[str, ...]:
    """Return the other names of a class in the built-in vocabularies."""
    return _read_aliases().get(fold_name(name), ())


@cache
def _read_aliases() -> dict[str, tuple[str, ...]]:
    from ovsam.text.vocabulary_files import load_vocabulary

    aliases: dict[str, tuple[str, ...]] = {}
    for title in ("coco", "lvis"):
        classes = load_vocabulary(title).classes
        texts = [(item.name, *item.aliases, *item.synonyms) for item in classes]
        plain = Counter(name for row in texts for name in _strip_qualifiers(row))
        for row in texts:
            # "bow" of "bow_(weapon)" and "bow_(decorative_ribbons)" would mean both.
            single = [name for name in _strip_qualifiers(row) if plain[name] == 1]
            key = fold_name(row[0])
            aliases[key] = (*aliases.get(key, ()), *row[1:], *single)
    return aliases


def _strip_qualifiers(names: Sequence[str]) -> set[str]:
    """Return "car" of "car_(automobile)": LVIS qualifies words that have several meanings."""
    return {base for n in names if "(" in n and (base := fold_name(n.partition("(")[0]))}
