"""What a resumed training must agree on with the run that it continues."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

FREE = {"is_free": True}
"""Metadata of a field that a resumed run may change."""


def list_binding(settings: Any, prefix: str) -> dict[str, Any]:
    """Return what a resumed run must agree on, as plain values by dotted name.

    Args:
        settings: A settings dataclass; fields with `metadata=FREE` are left out, as they do not
            reach the weights.
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
