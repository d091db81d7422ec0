"""Braces as shells and WebDataset write them: "train-{000..099}.tar", "{a,b}.jpg"."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ovsam_pipeline.errors import SourceError

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_MOST = 1_000_000


def expand_braces(text: str) -> list[str]:
    """Return the texts that one with braces stands for, in order; itself where it has none.

    "{000..099}" counts up with as many digits as its first number; "{a,b}" are alternatives. Braces
    that are neither stay as they are.

    Raises:
        SourceError: a range counts down, or there are more than a million texts.
    """
    texts = [""]
    end = 0
    for match in _BRACES.finditer(text):
        choices = _list_choices(match.group(1), text)
        if choices is None:
            continue
        if len(texts) * len(choices) > _MOST:
            raise SourceError(f"expected at most {_MOST} names from the braces of {text}, got more")
        before = text[end : match.start()]
        texts = [start + before + choice for start in texts for choice in choices]
        end = match.end()
    return [start + text[end:] for start in texts]


def _list_choices(inner: str, text: str) -> list[str] | None:
    if match := _RANGE.fullmatch(inner):
        first, last = int(match.group(1)), int(match.group(2))
        if last < first:
            raise SourceError(f"expected braces that count up, got {{{inner}}} in {text}")
        if last - first >= _MOST:
            raise SourceError(f"expected at most {_MOST} names from the braces of {text}, got more")
        return list(_count(first, last, len(match.group(1))))
    return inner.split(",") if "," in inner else None


def _count(first: int, last: int, digits: int) -> Iterator[str]:
    for number in range(first, last + 1):
        yield f"{number:0{digits}d}"
