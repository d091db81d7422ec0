"""Braces as shells and WebDataset write them ("train-{000..099}.tar"), and parts of globs."""

from __future__ import annotations

import os
import re

from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.storage.remote_path import is_remote

_BRACES = re.compile(r"\{([^{}]*)\}")
_WILD = re.compile(r"[*?[{]")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
# A slip of the keyboard ("{0..99999999}") must not fill the memory.
_MAX_NAMES = 1_000_000


def expand_braces(text: str) -> list[str]:
    """Return the texts that one with braces stands for, in order; itself where it has none.

    "{000..099}" counts up with as many digits as its first number; "{a,b}" are alternatives. Other
    braces stay as they are.
    """
    texts = [""]
    end = 0
    for match in _BRACES.finditer(text):
        choices = _list_choices(match.group(1), text)
        if choices is None:
            continue
        if len(texts) * len(choices) > _MAX_NAMES:
            raise _complain(text)
        before = text[end : match.start()]
        texts = [start + before + choice for start in texts for choice in choices]
        end = match.end()
    return [start + text[end:] for start in texts]


def _list_choices(inner: str, text: str) -> list[str] | None:
    if match := _RANGE.fullmatch(inner):
        first, last = int(match.group(1)), int(match.group(2))
        if last < first:
            raise SourceError(f"expected braces that count up, got {{{inner}}} in {text}")
        if last - first >= _MAX_NAMES:
            raise _complain(text)
        digits = len(match.group(1))
        return [f"{number:0{digits}d}" for number in range(first, last + 1)]
    return inner.split(",") if "," in inner else None


def _complain(text: str) -> SourceError:
    return SourceError(f"expected at most {_MAX_NAMES} names from the braces of {text}, got more")


def split_existing(text: str) -> tuple[str, str]:
    """Return the start of a local path that exists, and the rest: only that can be a pattern."""
    head = "" if is_remote(text) else text
    while head and not os.path.lexists(head):
        head = os.path.dirname(head.rstrip("/"))  # noqa: PTH120  of a text, to keep its length
    return head, text[len(head) :]


def split_pattern(text: str) -> tuple[str, str]:
    """Return the folder in front of the first wildcard of a path or address, and the rest.

    What exists is never a pattern: of "trip [1]/*.jpg" the rest is "*.jpg" where there is such a
    folder. Without a wildcard the rest is "".
    """
    head, rest = split_existing(text)
    wild = _WILD.search(rest)
    if wild is None:
        return text, ""
    start = len(head) + rest.rfind("/", 0, wild.start()) + 1
    return text[:start], text[start:]
