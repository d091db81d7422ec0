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


def write_attributes(**values: str | float) -> str:
    """Return ` name="value"` for each value, a text or a number."""
    texts = (
        quoteattr(clean_text(value)) if isinstance(value, str) else f'"{value}"'
        for value in values.values()
    )
    return "".join(f" {name}={text}" for name, text in zip(values, texts, strict=True))
