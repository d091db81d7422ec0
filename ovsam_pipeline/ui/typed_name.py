"""A class name that a person typed into a page: one rule for all pages."""

from __future__ import annotations

import unicodedata
from typing import Any

from ovsam.errors import ConfigError, show_value
from ovsam.text.class_list import MAX_NAME_CHARACTERS

# Ends of lines, other control characters, halves of letters. Marks that join letters are no such.
_REFUSED = ("Cc", "Cs", "Zl", "Zp")
# They turn what follows around, so that a name looks like another.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def read_typed_name(value: Any, key: str = "category") -> str:
    """Return a name without blanks around it; a ConfigError, with the key, for anything else."""
    name = value.strip() if isinstance(value, str) else ""
    is_plain = not any(x in _TURNING or unicodedata.category(x) in _REFUSED for x in name)
    if not 0 < len(name) <= MAX_NAME_CHARACTERS or not is_plain:
        raise ConfigError(
            f"expected {key} as a name of 1 to {MAX_NAME_CHARACTERS} letters in one line, got "
            f"{show_value(value, 40)}"
        )
    return name
