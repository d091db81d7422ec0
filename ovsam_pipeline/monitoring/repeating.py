"""Something done again and again beside the work: progress lines, status and metrics files."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeat(
    action: Callable[[], None],
    wait_s: Callable[[float], float],
    *,
    join_timeout_s: float | None = None,
) -> Iterator[None]:
    """Call `action` again and again from a thread while the block runs.

    Args:
        action: must not raise.
        wait_s: seconds since the start → seconds until the next call.
        join_timeout_s: how long the end waits for a call that is going on, e.g. one that hangs
            on a network; None for as long as it takes.
    """
    is_over = threading.Event()
    start_s = time.monotonic()

    def loop() -> None:
        while not is_over.wait(wait_s(time.monotonic() - start_s)):
            action()

    thread = threading.Thread(target=loop, name="ovsam-repeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(join_timeout_s)


class PaceMeter:
    """Images a second over the last minute, or since the start where that is shorter.

    Args:
        window_s: seconds that count.
        clock: gives the time in seconds.
    """

    def __init__(self, window_s: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque([(clock(), 0)])

    def update(self, done: int) -> float:
        """Return the pace, given how many images are done now."""
        now_s = self._clock()
        self._seen.append((now_s, done))
        # The last sample before the window stays: the window begins between it and the next.
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= self._window_s:
            self._seen.popleft()
        first_s, first = self._seen[0]
        return (done - first) / (now_s - first_s) if now_s > first_s else 0.0
