"""Text of others → XML: what XML 1.0 cannot hold is replaced, the rest is escaped."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

# Neither as they are nor as references: control characters, half letters, two non-characters.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean_text(text: str) -> str:
    """Return a text that XML can hold."""
    return _FORBIDDEN.sub("\ufffd", text)


def write_text(text: str) -> str:
    """Return a text as the content of an element; a CR stays one."""
    return escape(clean_text(text), {"\r": "&#13;"})


def write_attributes(**values: object) -> str:
    """Return ` name="value"` for each value, escaped; those that are None are left out."""
    return "".join(
        f" {name}={quoteattr(clean_text(str(value)))}"
        for name, value in values.items()
        if value is not None
    )
