"""Which class of a list a name means: by an explicit map, by name, or by alias.

Used where a detector's classes meet the vocabulary, and where predicted classes meet those of a
ground truth. Names are compared folded: case, "_" and runs of spaces do not matter. Aliases are
those that the list states itself and those of the built-in vocabularies coco and lvis, so that
"tv" and "television_set", "car" and "car_(automobile)" are one class. An alias that two classes
share belongs to neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam.errors import ConfigError
from ovsam.text.class_list import fold_name
from ovsam_pipeline.errors import DatasetError

if TYPE_CHECKING:
    from ovsam.text.vocabulary import Vocabulary

_MOST_NAMES = 20


def match_names(
    names: Sequence[str],
    targets: Sequence[str],
    target_aliases: Sequence[Sequence[str]],
    explicit: Mapping[str, int],
) -> dict[str, int]:
    """Return the index in `targets` of each name that has a counterpart there.

    Args:
        names: what to look up.
        targets: names of the classes.
        target_aliases: further names of each class.
        explicit: name → index, as `read_class_map` gives it; goes before names and aliases.
    """
    by_name = _index_names(targets, target_aliases)
    found: dict[str, int] = {}
    for name in names:
        texts = [name, *_find_aliases(name)]
        index = next((by_name[fold_name(t)] for t in texts if fold_name(t) in by_name), None)
        index = explicit.get(name, index)
        if index is not None:
            found[name] = index
    return found


def read_class_map(
    path: Path, names: Sequence[str], targets: Sequence[str], owners: tuple[str, str]
) -> dict[str, int]:
    """Return name → index in `targets`, as a file says.

    Args:
        path: YAML or JSON, a mapping of name → name of a class.
        names: the names that may stand on the left.
        targets: the classes that may stand on the right.
        owners: whose they are, for messages: "the predictions", "the data set".

    Raises:
        DatasetError: the file cannot be read, names classes that are not there, or gives two
            spellings of one name two classes.
    """
    import yaml

    from ovsam_pipeline.settings.config_file import load_strict_yaml

    try:
        values: Any = load_strict_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DatasetError(f"cannot read the class map {path}: {reason}") from error
    if not isinstance(values, dict):
        raise DatasetError(
            f"expected {path} to map names of {owners[0]} to names of {owners[1]}, "
            f"got {values!r:.60}"
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
        raise DatasetError(f"{path} names classes that are not there: {'; '.join(lacks)}")
    _refuse_two_meanings(path, pairs)
    return {
        name: index_of[fold_name(str(value))]
        for key, value in values.items()
        for name in spelled[fold_name(str(key))]
    }


def _refuse_two_meanings(path: Path, pairs: Sequence[tuple[str, str]]) -> None:
    """Refuse spellings of one name ("Skis", "skis") with different classes behind them."""
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
    """Return the vocabulary's index for each class of a detector that has a counterpart.

    Args:
        class_names: of the detector.
        vocabulary: of the run.
        class_map: JSON or YAML file, detector's name → vocabulary's name; goes first.

    Raises:
        DatasetError: the file cannot be read, or names classes that are not there.
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
    """Return the error that says which classes of a detector the vocabulary lacks.

    Args:
        detector: its name.
        names: of the classes without a counterpart, at least one.
        num_classes: of the detector.
        vocabulary: of the run.
    """
    return ConfigError(
        f"{len(names)} of the {num_classes} classes of {detector} are not in the vocabulary "
        f"{vocabulary.title}: {_list_names(names)}; say with --class-map FILE which names they "
        "are there, give another --vocabulary, or --allow-unmatched to let OV-SAM name them"
    )


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _index_names(targets: Sequence[str], aliases: Sequence[Sequence[str]]) -> dict[str, int]:
    """Return every name of every class; an alias that two of them share belongs to none."""
    owners: dict[str, set[int]] = {}
    for index, name in enumerate(targets):
        for alias in (*_find_aliases(name), *aliases[index]):
            owners.setdefault(fold_name(alias), set()).add(index)
    by_alias = {alias: min(found) for alias, found in owners.items() if len(found) == 1}
    return by_alias | {fold_name(name): i for i, name in enumerate(targets)}


def _find_aliases(name: str) -> tuple[str, ...]:
    """Return what the built-in vocabularies call the same thing."""
    return _aliases_by_name().get(fold_name(name), ())


def _aliases_by_name() -> dict[str, tuple[str, ...]]:
    if not _ALIASES:
        from ovsam.text.vocabulary_files import load_vocabulary

        for title in ("coco", "lvis"):
            classes = load_vocabulary(title).classes
            texts = [(item.name, *item.aliases, *item.synonyms) for item in classes]
            plain = Counter(name for row in texts for name in _strip_qualifiers(row))
            for row in texts:
                single = [name for name in _strip_qualifiers(row) if plain[name] == 1]
                key = fold_name(row[0])
                _ALIASES[key] = (*_ALIASES.get(key, ()), *row[1:], *single)
    return _ALIASES


def _strip_qualifiers(names: Sequence[str]) -> set[str]:
    """Return "car" of "car_(automobile)", as LVIS tells one meaning of a word from another."""
    return {base for n in names if "(" in n and (base := fold_name(n.partition("(")[0]))}


_ALIASES: dict[str, tuple[str, ...]] = {}
