"""An iterator that works ahead in its own thread: how the stages of labelling overlap."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar, cast

T = TypeVar("T")
_POLL_S = 0.2


def run_ahead(source: Iterator[T], depth: int) -> Generator[T]:
    """Yield what `source` yields, with `source` running in a thread up to `depth` items ahead.

    An exception in `source` is raised here. Leaving early stops the thread after its current item
    and closes `source`, in that thread.
    """
    channel = _Channel[T](depth)
    thread = threading.Thread(target=channel.fill, args=(source,), name="ovsam-stage", daemon=True)
    thread.start()
    try:
        yield from channel.drain()
    finally:
        channel.is_closed.set()
        thread.join()


def poll_ahead(
    source: Iterator[T], depth: int, every_s: float, patience_s: float
) -> Generator[T | None]:
    """Yield as `run_ahead` does, and None each time that nothing came for `every_s` seconds.

    Leaving early waits for the current item at most `patience_s`: one that hangs is left behind.
    """
    channel = _Channel[T](depth)
    thread = threading.Thread(target=channel.fill, args=(source,), name="ovsam-stage", daemon=True)
    thread.start()
    try:
        yield from channel.poll(every_s)
    finally:
        channel.is_closed.set()
        thread.join(patience_s)


class _End:
    """Says that no more items come, and why."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Channel(Generic[T]):
    """A bounded queue between one thread that fills and one that drains."""

    def __init__(self, depth: int) -> None:
        self.is_closed = threading.Event()
        self._items: queue.Queue[T | _End] = queue.Queue(depth)

    def fill(self, source: Iterator[T]) -> None:
        """Put every item of `source`, then the end."""
        end = _End(None)
        try:
            for item in source:
                if not self._put(item):
                    break
                del item  # it would live until the next one is there; so would it in `poll`
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that drains
            end = _End(error)
        finally:
            if isinstance(source, Generator):
                source.close()
        self._put(end)

    def drain(self) -> Iterator[T]:
        """Yield items until the end; raise what ended `fill`."""
        yield from cast("Iterator[T]", self.poll(None))  # None comes from waits that end only

    def poll(self, every_s: float | None) -> Iterator[T | None]:
        """Yield as `drain`, and None each time that nothing came for so long."""
        while True:
            try:
                item = self._items.get(timeout=every_s)
            except queue.Empty:
                yield None
                continue
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            items = [item]
            del item
            yield items.pop()

    def _put(self, item: T | _End) -> bool:
        """Wait for room; False when the draining side has left."""
        while not self.is_closed.is_set():
            try:
                self._items.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False
