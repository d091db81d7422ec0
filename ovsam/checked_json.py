"""JSON text → plain values of bounded depth, whose known keys have the types that they must have.

For every JSON file that is read whole: ovsam's own (run.json, status.json, a model's config, a
checkpoint) and other people's (class names, a baseline). Large lists of annotations are read item
by item instead, by `coco_json.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ovsam.errors import ConfigError
from ovsam.strict import convert

MOST_LEVELS = 100
"""More levels of lists and objects than any file that ovsam reads has."""


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text; a ValueError where it is none or is nested too deeply."""
    try:
        value = json.loads(text)
    except RecursionError:
        raise _describe_depth() from None
    level = [value]
    for _ in range(MOST_LEVELS):
        level = [child for item in level for child in _list_children(item)]
        if not level:
            return value
    raise _describe_depth()


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
            convert(kind, value, place)


def _list_children(value: Any) -> list[Any]:
    """Return the lists and objects inside one."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, dict | list)]


def _describe_depth() -> ValueError:
    return ValueError(f"lists or objects nested more than {MOST_LEVELS} deep")
