"""YAML text → plain values, by the rules of YAML 1.2 and nothing that surprises.

Texts, numbers, true, false, null, lists and mappings with plain keys. What YAML 1.1 makes of other
words is text here: `1:30` (90 there), `yes`, `on`, `012`,
`2024-02-30`. Refused, as nobody who
writes settings or class names needs them: tags, aliases (nine lines of them can mean terabytes),
keys that occur twice, and lists nested more than a hundred deep.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from ovsam.checked_json import MOST_LEVELS, check_text
from ovsam.errors import describe_error

# Python refuses to read numbers of more than 4,300 digits; nothing that is set has a hundred.
_MOST_DIGITS = 100
_NUMBERS = {
    "int": (re.compile(r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+"), "-+0123456789"),
    "float": (
        re.compile(
            r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
        ),
        "-+0123456789.",
    ),
}
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


def parse_yaml(text: str, *, as_texts: bool = False) -> Any:
    """Return the value of a YAML document; a ValueError where it is none, or has what is refused.

    The message is one line and names the line of the text. `as_texts`: `5`, `true` and nothing are
    texts too, for files whose values are names.
    """
    try:
        value = yaml.load(text, Loader=_TextLoader if as_texts else _PlainLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(_describe(error)) from error
    check_text(value)
    return value


def _describe(error: Exception) -> str:
    """Return what is wrong, and where, on one line."""
    mark = getattr(error, "problem_mark", None)
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return describe_error(error)
    context = f"{error.context}: " if error.context else ""
    return f"line {mark.line + 1}: {context}{error.problem}"


class _PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader with fewer kinds of values, and bounded."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's way
    yaml_constructors = {}  # noqa: RUF012
    levels = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refuse("aliases (*name) are not read; write the value out", event)
        if getattr(event, "tag", None) is not None:
            raise _refuse(f"the tag {event.tag} is not read; leave it out", event)
        self.levels += 1
        if self.levels > MOST_LEVELS:
            raise _refuse(f"lists or mappings nested more than {MOST_LEVELS} deep", event)
        node = super().compose_node(parent, index)
        self.levels -= 1
        return node


_PLAIN_TAG = "tag:yaml.org,2002:"


def _refuse(reason: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=reason, problem_mark=event.start_mark)


def _build_mapping(loader: _PlainLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise _refuse("expected a text or a number as key", key_node)
        key = loader.construct_object(key_node, deep=True)
        if key in mapping:
            raise _refuse(f"duplicate key '{key}'; keep one", key_node)
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


def _build_list(loader: _PlainLoader, node: yaml.SequenceNode) -> list[Any]:
    return [loader.construct_object(child, deep=True) for child in node.value]


def _build_text(loader: _PlainLoader, node: yaml.ScalarNode) -> str:
    return str(loader.construct_scalar(node))


def _build_number(loader: _PlainLoader, node: yaml.ScalarNode) -> int | float:
    text = str(loader.construct_scalar(node))
    if len(text) > _MOST_DIGITS:
        raise _refuse(f"a number of {len(text)} digits", node)
    if node.tag.endswith("int"):
        return int(text, 10 if text.lstrip("+-").isdigit() else 0)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _build_word(loader: _PlainLoader, node: yaml.ScalarNode) -> bool | None:
    return _WORDS[str(loader.construct_scalar(node)).lower()]


for _name, (_pattern, _first) in _NUMBERS.items():
    _whole = re.compile(f"(?:{_pattern.pattern})$")
    _PlainLoader.add_implicit_resolver(f"{_PLAIN_TAG}{_name}", _whole, list(_first))
_PlainLoader.add_implicit_resolver(
    f"{_PLAIN_TAG}bool", re.compile("(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_PlainLoader.add_implicit_resolver(
    f"{_PLAIN_TAG}null", re.compile("(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]
)
_BUILDERS: dict[str, Any] = {
    "map": _build_mapping,
    "seq": _build_list,
    "str": _build_text,
    "int": _build_number,
    "float": _build_number,
    "bool": _build_word,
    "null": _build_word,
}
for _name, _build in _BUILDERS.items():
    _PlainLoader.add_constructor(f"{_PLAIN_TAG}{_name}", _build)


class _TextLoader(_PlainLoader):
    """The same, where every word is a text."""

    yaml_implicit_resolvers = {}  # noqa: RUF012
