"""Plain values (a YAML mapping) → a frozen settings dataclass, strictly."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ovsam.errors import ConfigError

T = TypeVar("T")

FREE = {"is_free": True}
"""Metadata of a field that a resumed run may change."""


def build_settings(cls: type[T], values: Mapping[str, Any], where: str = "config") -> T:
    """Build a settings dataclass, nested ones too; what is not given keeps its default.

    Args:
        cls: A dataclass.
        values: Values by field name; mappings for nested dataclasses, lists for tuples.
        where: What to call the mapping in messages.

    Raises:
        ConfigError: A key is unknown (the message names the nearest), a value has the wrong type or
            cannot work.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"expected a mapping for {where}, got {values!r}")
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in names:
            near = difflib.get_close_matches(str(key), names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(names)}"
            raise ConfigError(f"unknown setting {key!r} in {where}{hint}")
        arguments[key] = _convert(hints[key], value, f"{where}.{key}")
    try:
        return cls(**arguments)
    except TypeError as error:
        raise ConfigError(f"{where} lacks a setting: {error}") from error


def _convert(kind: Any, value: Any, where: str) -> Any:
    """Turn one YAML value into a field's type."""
    if dataclasses.is_dataclass(kind):
        return build_settings(kind, value, where)  # type: ignore[arg-type]
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"expected a list for {where}, got {value!r}")
        item = next(iter(typing.get_args(kind)), None)
        if dataclasses.is_dataclass(item):
            rows = enumerate(value)
            return tuple(_convert(item, row, f"{where}[{number}]") for number, row in rows)
        return tuple(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (int, float, str, bool) and type(value) is not kind:
        raise ConfigError(f"expected {kind.__name__} for {where}, got {value!r}")
    return value


def list_binding(settings: Any, prefix: str) -> dict[str, Any]:
    """Return what a resumed run must agree on, as plain values by dotted name.

    Args:
        settings: A settings dataclass; fields with `metadata=FREE` are left out, as they do not
            reach the weights.
        prefix: Begins every name.
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        if field.metadata.get("is_free"):
            continue
        name, value = f"{prefix}.{field.name}", getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            found |= list_binding(value, name)
        elif isinstance(value, tuple) and value and dataclasses.is_dataclass(value[0]):
            for number, row in enumerate(value):
                found |= list_binding(row, f"{name}[{number}]")
        else:
            found[name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    """Return a field's value as JSON would have it."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
