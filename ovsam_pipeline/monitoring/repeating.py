"""Repeat an action from a thread while a block runs: progress lines, status and metrics files."""

from __future__ import annotations

import threading
import time
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

    `wait_s`: seconds since the start → seconds until the next call. `join_timeout_s`: longest wait
    at the end for a call in progress, which may hang on a network; None waits until it returns.
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
