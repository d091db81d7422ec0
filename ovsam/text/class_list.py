"""Class lists as people write them → `VocabularyClass` records.

Reads text files (one class per line), JSON, YAML and COCO-format files, and comma lists. A name is
whole, whatever signs it has ("30 km/h"); only in the built-in lists it is split into several texts,
by the rules of the released OV-SAM.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ovsam.checked_json import parse_json, refuse_pipe
from ovsam.coco_fields import to_id, to_text
from ovsam.errors import VocabularyError, show_value
from ovsam.text.class_rules import ClassRules, read_class_rules

Split = Literal["base", "novel"]

MAX_NAME_CHARACTERS = 256
# " # " and not "#": C# and "player #1" are names.
_COMMENT = re.compile(r"^\s*#.*|\s#(?:\s.*)?$")
_NUMBERED = re.compile(r"(\d{1,6})(?:\s*[,:;.)]\s*|\s+)(\S.*)")
_HEADING = re.compile(
    r"(?:class_?)?(?:id|index|number)\s*[,;\s]\s*(?:class_?)?(?:name|class|label)", re.I
)
_YAML_KEY = re.compile(r"(?:names|classes|categories|nc)\s*:.*")
_FREQUENCIES = {"f": "frequent", "c": "common", "r": "rare"}


@dataclass(frozen=True, slots=True)
class VocabularyClass:
    """One class: its id and name in the output, and the texts that stand for it in the model.

    Attributes:
        category_id: id written to COCO files.
        name: unique in its vocabulary, whatever the case.
        aliases: texts to embed, the name's own prototypes first unless the list replaces them
            (COCO's "orange" is embedded as "orange fruit").
        split: "base" where the model's labels were trained on it, "novel" where not, None where the
            vocabulary has no split or leaves the class out of both.
        synonyms: other names; found by `Vocabulary.index_of`, embedded only by `with_synonyms`.
        rules: which of its objects come out.
    """

    category_id: int
    name: str
    aliases: tuple[str, ...]
    split: Split | None = None
    frequency: str | None = None
    synonyms: tuple[str, ...] = ()
    rules: ClassRules = field(default_factory=ClassRules)


def split_prototypes(name: str) -> tuple[str, ...]:
    """Return the texts that a name stands for: lower case, `_or_`, `/` and `,` split, `_` a space.

    Source: `seg/datasets/concat_dataset.py` of the OV-SAM release (behaviour, not code).
    """
    pieces = name.lower().replace("_or_", ",").replace("/", ",").replace("_", " ").split(",")
    return tuple(dict.fromkeys(text for piece in pieces if (text := " ".join(piece.split()))))


def keep_whole(name: str) -> tuple[str, ...]:
    """Return the text of a name: itself as names are compared; nothing for an empty one."""
    return tuple(filter(None, (fold_name(name),)))


def make_class(
    name: str,
    *,
    category_id: int,
    aliases: Sequence[str] = (),
    where: str = "class",
    split: Callable[[str], tuple[str, ...]] = keep_whole,
) -> VocabularyClass:
    """Build a class from a name and further texts for it; `where` is their place, for messages.

    `split` gives the texts to embed of a name, and of each alias.
    """
    if not isinstance(name, str):
        raise VocabularyError(
            f"expected a class name at {where}, got {show_value(name, 80)}; write a text"
        )
    shown = " ".join((to_text(name) or "").split())
    prototypes = split(shown)
    if not prototypes:
        raise VocabularyError(f"expected a class name at {where}, got {name!r}; write or remove it")
    for text in (shown, *aliases):
        if len(text) > MAX_NAME_CHARACTERS:
            raise VocabularyError(
                f"expected a class name of at most {MAX_NAME_CHARACTERS} characters at {where}, "
                f"got {len(text)} characters starting with {text[:40]!r}; shorten it"
            )
    texts = [*prototypes, *(t for alias in aliases for t in split(to_text(alias) or ""))]
    return VocabularyClass(category_id, shown, tuple(dict.fromkeys(texts)))


def parse_class_names(text: str) -> list[VocabularyClass]:
    """Read a comma list such as `cat,dog, traffic light` into classes numbered from 1."""
    if not text.strip():
        raise VocabularyError("expected class names such as 'cat,dog', got an empty list")
    parts = text.split(",")
    classes = [
        make_class(name, category_id=index, where=f"place {index} of {text!r}")
        for index, name in enumerate(parts, start=1)
    ]
    check_unique(classes, [f"place {index}" for index in range(1, len(parts) + 1)], repr(text))
    return classes


def read_class_file(
    path: Path, split: Callable[[str], tuple[str, ...]] = keep_whole
) -> tuple[list[VocabularyClass], str]:
    """Read a class list from a file; the second value is its title.

    Formats by suffix: `.json`, `.yaml` or `.yml`, anything else is text; `.gz` after it is allowed.
    Whatever cannot be used is a VocabularyError that names the line or entry. `split` as in
    `make_class`.
    """
    text = _read_text(path)
    if not text.strip():
        raise VocabularyError(
            f"expected class names in {path}, got an empty file; write one class per line, "
            "'cat, kitty' for a class with an alias"
        )
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes = suffixes[:-1]
    if suffixes[-1:] == [".json"]:
        return _classes_from_data(_parse_json(text, path), path, split)
    if suffixes[-1:] in ([".yaml"], [".yml"]):
        return _classes_from_data(_parse_yaml(text, path), path, split)
    return _classes_from_lines(text, path), path.stem


def read_class_entries(entries: Sequence[Any], path: Path) -> list[VocabularyClass]:
    """Return the classes of a COCO file's `categories`, whose other content is read elsewhere.

    Raises:
        VocabularyError: as `read_class_file`.
    """
    return _classes_from_data(list(entries), path, keep_whole)[0]


def check_unique(classes: Sequence[VocabularyClass], places: Sequence[str], source: str) -> None:
    """Refuse a list in which two classes share a name or alias; the message names both places."""
    seen: dict[str, int] = {}
    for index, item in enumerate(classes):
        for text in dict.fromkeys((fold_name(item.name), *item.aliases)):
            first = seen.setdefault(text, index)
            if first != index:
                raise VocabularyError(
                    f"expected different class names in {source}, got {text!r} at "
                    f"{places[first]} ({classes[first].name!r}) and at {places[index]} "
                    f"({item.name!r}); remove one of them"
                )


def fold_name(name: str) -> str:
    """Return a name as names are compared: lower case, `_` a space, single spaces."""
    return " ".join(name.lower().replace("_", " ").split())


def strip_qualifier(name: str) -> str:
    """Return a folded name without what is in brackets: LVIS's "car_(automobile)" is a car."""
    return fold_name(re.sub(r"[ _]*\(.*?\)", "", name))


def check_texts(texts: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the texts of one class; a single text is refused, its letters would be the texts."""
    if isinstance(texts, str) or not all(isinstance(t, str) and t.strip() for t in texts):
        raise VocabularyError(
            f"expected a list of texts as aliases at {where}, got {show_value(texts, 80)}"
        )
    return tuple(texts)


def check_indices(
    indices: Iterable[int] | None, num_classes: int, name: str
) -> tuple[int, ...] | None:
    """Return class indices once each, in order; a VocabularyError for one out of range."""
    if indices is None:
        return None
    checked = tuple(dict.fromkeys(int(index) for index in indices))
    for index in checked:
        if not 0 <= index < num_classes:
            raise VocabularyError(
                f"expected indices from 0 to {num_classes - 1} in {name}, got {index}"
            )
    return checked


def _read_text(path: Path) -> str:
    try:
        refuse_pipe(path)
        raw = path.read_bytes()
        if path.suffix.lower() == ".gz":
            raw = gzip.decompress(raw)
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise VocabularyError(
            f"vocabulary file {path} does not exist; give a built-in name or the path of a file"
        ) from None
    except IsADirectoryError:
        raise VocabularyError(
            f"expected a file with class names, got the directory {path}; name the file in it"
        ) from None
    except UnicodeDecodeError as error:
        raise VocabularyError(
            f"expected UTF-8 text in {path}, got a byte that is not at {error.start}; "
            "save the file as UTF-8"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise VocabularyError(f"cannot read {path}: {reason}") from error


def _parse_json(text: str, path: Path) -> Any:
    try:
        return parse_json(text, refuse_repeated=True)
    except json.JSONDecodeError as error:
        raise VocabularyError(
            f"expected JSON in {path}, got an error at line {error.lineno}: {error.msg}"
        ) from error
    except ValueError as error:
        raise VocabularyError(f"expected JSON in {path}, got {error}") from error


def _parse_yaml(text: str, path: Path) -> Any:
    from ovsam.checked_yaml import parse_yaml

    try:
        return parse_yaml(text, as_texts=True)
    except ValueError as error:
        raise VocabularyError(f"expected YAML in {path}, got {error}") from error


def _classes_from_lines(text: str, path: Path) -> list[VocabularyClass]:
    """Read one class per line, `name, alias, alias`; see docs/vocabularies.md for what else."""
    lines = [
        (number, content)
        for number, line in enumerate(text.splitlines(), start=1)
        if (content := _COMMENT.sub("", line).strip())
    ]
    if not lines:
        raise VocabularyError(f"expected class names in {path}, got only comments; add a class")
    _refuse_other_formats([content for _, content in lines], path)
    numbered = _take_numbers([content for _, content in lines])
    if numbered and len(numbered) < len(lines):
        lines = lines[1:]
    classes: list[VocabularyClass] = []
    places: list[str] = []
    for index, (number, content) in enumerate(lines):
        category_id, names = numbered[index] if numbered else (index + 1, content)
        name, *aliases = names.split(",")
        where = f"line {number} of {path}"
        classes.append(make_class(name, category_id=category_id, aliases=aliases, where=where))
        places.append(f"line {number}")
    check_unique(classes, places, str(path))
    return classes


def _take_numbers(lines: Sequence[str]) -> list[tuple[int, str]] | None:
    """Return number and rest of lines that count from 0 or 1 ("0 cat", "1 dog"); else None.

    "1 euro" and "2 euro" do not count: without their numbers the names would be equal. A heading
    ("id,name") is left out.
    """
    if len(lines) > 2 and _HEADING.fullmatch(lines[0]):
        lines = lines[1:]
    found = [_NUMBERED.fullmatch(line) for line in lines]
    numbers = [(int(match[1]), match[2]) for match in found if match]
    rests = {fold_name(rest) for _, rest in numbers}
    if len(lines) < 2 or len(numbers) < len(lines) or len(rests) < len(lines):
        return None
    first = numbers[0][0]
    is_count = [number for number, _ in numbers] == list(range(first, first + len(numbers)))
    return numbers if first in (0, 1) and is_count else None


def _refuse_other_formats(lines: Sequence[str], path: Path) -> None:
    """Refuse JSON, YAML, XML and protocol buffers in a text file: its lines would be names."""
    kind = "XML" if lines[0].startswith("<") else ""
    if lines[0][0] in "[{" or any(line[-1] in "[{" or line in "]}" for line in lines):
        kind = "JSON"
    if all(line.startswith("- ") for line in lines) or any(map(_YAML_KEY.fullmatch, lines)):
        kind = "YAML"
    if kind:
        raise VocabularyError(
            f"expected one class name per line in {path}, got what looks like {kind}; write one "
            "name per line, or name the file .json or .yaml if it is that"
        )


def _classes_from_data(
    data: Any, path: Path, split: Callable[[str], tuple[str, ...]]
) -> tuple[list[VocabularyClass], str]:
    title = path.stem
    if isinstance(data, Mapping):
        title = str(data.get("title", title))
        for key in ("categories", "classes", "names"):
            if isinstance(data.get(key), list | Mapping):
                data = data[key]
                break
    if isinstance(data, Mapping):
        entries: list[Any] = [_entry_from_pair(key, value, path) for key, value in data.items()]
    elif isinstance(data, list):
        entries = data
    else:
        raise VocabularyError(
            f"expected a list or a mapping of class names in {path}, got "
            f"{type(data).__name__}; see docs/vocabularies.md for the forms"
        )
    if not entries:
        raise VocabularyError(f"expected class names in {path}, got an empty list; add a class")
    classes = [_class_from_entry(entry, i, path, split) for i, entry in enumerate(entries, start=1)]
    places = [f"entry {index}" for index in range(1, len(classes) + 1)]
    check_unique(classes, places, str(path))
    _check_ids(classes, path)
    # Prompts are chosen by hand and two classes may share one, so they come after the check.
    prompted = [
        _with_prompts(c, e, p, split) for c, e, p in zip(classes, entries, places, strict=True)
    ]
    return _split_by_frequency(prompted), title


def _entry_from_pair(key: Any, value: Any, path: Path) -> dict[str, Any]:
    """Read `name: aliases`, or `id: name` as in Ultralytics data files."""
    is_id = str(key).isdecimal()
    if value in ("", "~") or (value == "null" and not is_id):  # YAML's ways to write nothing
        value = None
    if isinstance(value, str) and is_id:
        return {"id": int(key), "name": value}
    if isinstance(value, Mapping):
        return {**value, "name": key}
    if value is None:
        return {"name": key}
    if isinstance(value, str):
        return {"name": key, "aliases": [value]}
    if isinstance(value, list):
        return {"name": key, "aliases": value}
    raise VocabularyError(
        f"expected a list of aliases for class {key!r} in {path}, got {type(value).__name__}"
    )


def _class_from_entry(
    entry: Any, number: int, path: Path, split: Callable[[str], tuple[str, ...]]
) -> VocabularyClass:
    where = f"entry {number} of {path}"
    if isinstance(entry, str):
        return make_class(entry, category_id=number, where=where, split=split)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise VocabularyError(
            f"expected a name or an object with a text 'name' at {where}, "
            f"got {show_value(entry, 80)}"
        )
    built = make_class(
        entry["name"],
        category_id=_read_id(entry, number, where),
        aliases=_read_texts(entry, "aliases", where),
        where=where,
        split=split,
    )
    frequency = entry.get("frequency")
    return replace(
        built,
        split=_read_split(entry, where),
        frequency=_FREQUENCIES.get(str(frequency), frequency),
        synonyms=tuple(t for t in _read_texts(entry, "synonyms", where) if t != built.name),
        rules=read_class_rules(entry, where),
    )


def _with_prompts(
    built: VocabularyClass, entry: Any, where: str, split: Callable[[str], tuple[str, ...]]
) -> VocabularyClass:
    """Put an entry's `prompts` in place of the texts that follow from its name."""
    prompts = _read_texts(entry, "prompts", where) if isinstance(entry, Mapping) else []
    texts = tuple(dict.fromkeys(t for prompt in prompts for t in split(prompt)))
    return replace(built, aliases=texts) if texts else built


def _read_id(entry: Mapping[str, Any], number: int, where: str) -> int:
    given = entry.get("id", entry.get("category_id", number))
    category_id = to_id(given)
    if category_id is None or category_id < 0:
        raise VocabularyError(
            f"expected a whole number as 'id' at {where}, got {show_value(given)}"
        )
    return category_id


def _read_texts(entry: Mapping[str, Any], key: str, where: str) -> list[str]:
    texts = entry.get(key) or []
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise VocabularyError(
            f"expected a list of texts as {key!r} at {where}, got {show_value(texts, 80)}"
        )
    return texts


def _read_split(entry: Mapping[str, Any], where: str) -> Split | None:
    split = entry.get("split")
    if split not in ("base", "novel", None):
        raise VocabularyError(f"expected 'base' or 'novel' as 'split' at {where}, got {split!r}")
    return split


def _check_ids(classes: Sequence[VocabularyClass], path: Path) -> None:
    seen: dict[int, str] = {}
    for item in classes:
        if item.category_id in seen:
            raise VocabularyError(
                f"expected different ids in {path}, got {item.category_id} for both "
                f"{seen[item.category_id]!r} and {item.name!r}; renumber one"
            )
        seen[item.category_id] = item.name


def _split_by_frequency(classes: list[VocabularyClass]) -> list[VocabularyClass]:
    """Make LVIS's rare classes novel and the rest base: its files have no split (paper 4.1)."""
    if any(item.split for item in classes) or not all(item.frequency for item in classes):
        return classes
    return [
        replace(item, split="novel" if item.frequency == "rare" else "base") for item in classes
    ]
