"""Asking again: what a network did not answer once it mostly answers a moment later."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

ATTEMPTS = 5
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
# A call that hangs until its own time limit is not made five times.
_PATIENCE_S = 25.0
# Asking again changes nothing: it is not there, or we may not.
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)

_T = TypeVar("_T")


def retry(
    call: Callable[[], _T],
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> _T:
    """Call until it answers, at most ATTEMPTS times, with growing pauses between.

    The pauses double, and each is a random part of its length, so that a thousand workers that
    failed together do not come back together. All of them together are below six seconds; where
    the calls themselves are slow, the last one begins within 25 seconds.

    Args:
        call: what to do; must be harmless to do again.
        sleep: waits for some seconds.
        clock: seconds since some moment.

    Raises:
        OSError: of the last attempt; of the first one where the file is not there or not allowed.
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
            pause_s = min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S)
            sleep(pause_s * random.uniform(0.5, 1.0))
    return call()
