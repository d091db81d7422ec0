"""Repeat a request: what a network did not answer once it mostly answers a moment later."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable
from typing import TypeVar

ATTEMPTS = 5
# A store that asks for patience gets it: its answers come at once, and cost no time limit.
BUSY_ATTEMPTS = 12
# Pauses double from 0.2 to 1.6 s, at most 3 s together; those of a busy store up to 3 s each.
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 3.0
# A call that hangs until its own time limit (20 or 30 s) is not made five times.
_PATIENCE_S = 25.0
# Another attempt cannot change these: it does not exist, or access is refused.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

_T = TypeVar("_T")


class BusyError(OSError):
    """The server asks for fewer requests: another attempt succeeds, but not at once."""


def retry(
    call: Callable[[], _T],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> _T:
    """Call until it succeeds, at most ATTEMPTS times, with growing pauses between.

    BUSY_ATTEMPTS times where the store says that it is busy. `call` must be harmless to repeat. The
    last attempt begins within 25 seconds of the first.
    """
    start_s = clock()
    for attempt in itertools.count():
        try:
            return call()
        except _FINAL:
            raise
        except OSError as error:
            limit = BUSY_ATTEMPTS if isinstance(error, BusyError) else ATTEMPTS
            if attempt + 1 >= limit or clock() - start_s >= _PATIENCE_S:
                raise
            # A random part of the pause: a thousand workers that failed together must not come
            # back together.
            pause_s = min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)
            sleep(pause_s * random.uniform(0.5, 1.0))
    raise AssertionError("the loop has no end")
