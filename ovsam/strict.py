"""Plain values of a YAML or JSON file → frozen dataclasses, strictly.

An unknown key, a value of another type and a word that is not among the choices are refused with a
`ConfigError` that names the place. Model configs, training configs and settings of runs share this.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from ovsam.errors import ConfigError, show_value

T = TypeVar("T")

_KIND_NAMES = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    dict: "an object",
    list: "a list",
}


def build_strict(cls: type[T], values: Any, where: str = "config") -> T:
    """Build a dataclass, nested ones too, from a mapping; what is not given keeps its default.

    Lists become tuples and whole numbers become floats where a field wants them: YAML and JSON
    cannot tell them apart. `where` names the mapping in messages.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"expected {where} as a mapping, got {show_value(values)}")
    kinds = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ConfigError(f"unknown key '{key}' in {where}{suggest_keys(str(key), fields)}")
    missing = [
        name
        for name, field in fields.items()
        if name not in values
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(
            f"expected '{missing[0]}' in {where}, got only {', '.join(values) or 'an empty one'}"
        )
    return cls(**{key: convert(kinds[key], v, f"{where}.{key}") for key, v in values.items()})


def check_fields(config: Any) -> None:
    """Refuse a dataclass with a value that its annotation does not allow, with a ConfigError."""
    for name, kind in typing.get_type_hints(type(config)).items():
        convert(kind, getattr(config, name), name)


def convert(kind: Any, value: Any, name: str) -> Any:
    """Return `value` as the annotated type `kind` has it; `name` names it in messages."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):  # X | None
        (kind,) = (each for each in arguments if each is not types.NoneType)
        return None if value is None else convert(kind, value, name)
    if origin is typing.Literal:
        convert(str, value, name)
        if value not in arguments:
            raise ConfigError(
                f"expected {name} as one of {', '.join(arguments)}, got {show_value(value)}"
            )
        return value
    if origin is tuple:
        return _convert_items(arguments, value, name)
    if origin is dict:
        items = convert(dict, value, name).items()
        return {key: convert(arguments[1], item, f"{name}.{key}") for key, item in items}
    if dataclasses.is_dataclass(kind) and not isinstance(value, typing.cast("type", kind)):
        return build_strict(typing.cast("type", kind), value, name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        if value.bit_length() > 1023:  # more than a float holds
            raise ConfigError(f"expected {name} as a number, got {show_value(value)}")
        return float(value)
    is_bool_for_number = isinstance(value, bool) and kind is not bool
    if is_bool_for_number or not isinstance(value, kind):
        expected = _KIND_NAMES.get(kind, kind.__name__)
        raise ConfigError(f"expected {name} as {expected}, got {show_value(value)}")
    return value


def _convert_items(kinds: tuple[Any, ...], values: Any, name: str) -> tuple[Any, ...]:
    """Convert a list; `kinds` are the arguments of a tuple's annotation."""
    if not isinstance(values, list | tuple):
        raise ConfigError(f"expected {name} as a list, got {show_value(values)}")
    if kinds[-1] is ...:
        kinds = kinds[:1] * len(values)
    if len(values) != len(kinds):
        raise ConfigError(f"expected {name} as a list of {len(kinds)}, got {show_value(values)}")
    pairs = enumerate(zip(kinds, values, strict=True))
    return tuple(convert(kind, value, f"{name}[{index}]") for index, (kind, value) in pairs)


def suggest_names(name: str, known: Iterable[str], most: int = 3) -> str:
    """Return ` (did you mean ...?)` with the known names nearest to `name`, or nothing."""
    nearest = difflib.get_close_matches(name, list(known), n=most, cutoff=0.5)
    if not nearest:
        return ""
    return f" (did you mean {' or '.join(repr(item) for item in nearest)}?)"


def suggest_keys(name: str, known: Iterable[str]) -> str:
    """Return the same with the nearest known key, or all of them where none is near."""
    return suggest_names(name, known, most=1) or f"; known keys: {', '.join(sorted(known))}"
