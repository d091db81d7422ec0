"""PLACEHOLDER by H4 until H3's file comes: overwrite it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["retry"]
T = TypeVar("T")


def retry(call: Callable[[], T], what: str) -> T:
    for attempt in range(4):
        try:
            return call()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError:
            if attempt == 3:
                raise
            time.sleep(0.01 * 2**attempt)
    raise AssertionError
