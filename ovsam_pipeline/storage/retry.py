"""Repeat a request: what a network did not answer once it mostly answers a moment later."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

ATTEMPTS = 5
# Pauses double from 0.2 to 1.6 s: at most 3 s together.
_FIRST_PAUSE_S = 0.2
# A call that hangs until its own time limit (20 or 30 s) is not made five times.
_PATIENCE_S = 25.0
# Another attempt cannot change these: it does not exist, or access is refused.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

_T = TypeVar("_T")


def retry(
    call: Callable[[], _T],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> _T:
    """Call until it succeeds, at most ATTEMPTS times, with growing pauses between.

    `call` must be harmless to repeat. The last attempt begins within 25 seconds of the first.
    """
    start_s = clock()
    for attempt in range(ATTEMPTS - 1):
        try:
            return call()
        except _FINAL:
            raise
        except OSError:
            if clock() - start_s >= _PATIENCE_S:
                raise
            # A random part of the pause: a thousand workers that failed together must not come
            # back together.
            sleep(_FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.0))
    return call()
