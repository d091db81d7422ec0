"""JSON text → plain values of bounded depth, whose known keys have the types that they must have.

For every JSON file that is read whole: ovsam's own (run.json, status.json, a model's config, a
checkpoint) and other people's (class names, a baseline). Large lists of annotations are read item
by item instead, by `coco_json.py`.
"""

from __future__ import annotations

import errno
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovsam.errors import ConfigError, show_value
from ovsam.strict import convert

MOST_LEVELS = 100
"""More levels of lists and objects than any file that ovsam reads has."""


_MOST_NUMBER = 1 << 63


def refuse_pipe(path: object) -> None:
    """Raise an OSError for a local pipe, socket or device: reading it could wait for ever."""
    if isinstance(path, Path):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise OSError(errno.EINVAL, "it is a pipe, socket or device, no file")


def parse_json(text: str | bytes, *, refuse_repeated: bool = False) -> Any:
    r"""Return the value of a JSON text; a ValueError where it is none or is nested too deeply.

    Also where a text in it is no text: half of a letter ("\ud800"), which nothing can write. Of
    a key that occurs twice the last counts, unless `refuse_repeated`.
    """
    try:
        value = json.loads(text, object_pairs_hook=_refuse_repeated if refuse_repeated else None)
    except RecursionError:
        raise _describe_depth() from None
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [child for item in level for child in _list_children(item)]
        if not level:
            break
    else:
        raise _describe_depth()
    check_text(value)
    return value


def _refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        key = next(k for i, (k, _) in enumerate(pairs) if k in dict(pairs[:i]))
        raise ValueError(f"the key {key!r} twice; keep one")
    return values


def check_text(value: Any) -> None:
    """Raise a ValueError where a text in plain values of bounded depth cannot be encoded."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise ValueError(f"half of a letter (\\u{ord(half):04x}) in a text") from error


def check_keys(values: Any, kinds: Mapping[str, Any], where: str) -> None:
    """Check the keys of an object that it has, and leave others alone.

    Args:
        values: what a file holds.
        kinds: what a key holds, by name: a type as an annotation spells it, a mapping like this one
            for an object, or a list with one such mapping for a list of objects that have all
            of its keys.
        where: names the object in messages.

    Raises:
        ConfigError: a key holds something else; the message names it.
    """
    checked: dict[str, Any] = convert(dict, values, where)
    for name in checked.keys() & kinds.keys():
        kind, value, place = kinds[name], checked[name], f"{where}.{name}"
        if isinstance(kind, Mapping):
            check_keys(value, kind, place)
        elif isinstance(kind, list):
            for index, item in enumerate(convert(list, value, place)):
                check_keys(item, kind[0], f"{place}[{index}]")
                for missing in kind[0].keys() - item.keys():
                    raise ConfigError(f"expected '{missing}' in {place}[{index}]")
        else:
            _check_numbers(convert(kind, value, place), place)


def _check_numbers(value: Any, name: str) -> None:
    """Refuse numbers that cannot be computed with: not finite, or of more than 64 bits."""
    if isinstance(value, dict):
        value = tuple(value.values())
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, int | float) and not abs(item) < _MOST_NUMBER:  # NaN is not
            raise ConfigError(f"expected {name} as a number of 64 bits, got {show_value(item)}")


def _list_children(value: Any) -> list[Any]:
    """Return the lists and objects inside one."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, dict | list)]


def _describe_depth() -> ValueError:
    return ValueError(f"lists or objects nested more than {MOST_LEVELS} deep")
