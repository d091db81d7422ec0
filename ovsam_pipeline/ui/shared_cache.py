"""What threads ask for by key, made once for all of them; what was used last is kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SharedCache(Generic[K, V]):
    """Values by key, those used last, up to a size; one is kept whatever its size.

    Who asks for a value first makes it, and others who ask meanwhile wait. Where that fails each
    of them gets the error, and the next one who asks tries again.
    """

    def __init__(self, most: int, measure: Callable[[V], int]) -> None:
        """`measure` gives the size of a value, in the unit of `most`."""
        self._most, self._measure = most, measure
        self._size = 0
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._coming: dict[K, Future[V]] = {}
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of a key, made by `make` where it is not there."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            coming = self._coming.get(key)
            is_first = coming is None
            if coming is None:
                coming = self._coming[key] = Future()
        if is_first:
            self._make(key, make, coming)
        return coming.result()

    def _make(self, key: K, make: Callable[[], V], coming: Future[V]) -> None:
        try:
            value = make()
        except BaseException as error:  # noqa: BLE001  each who waits for it raises it
            with self._lock:
                del self._coming[key]
            coming.set_exception(error)
            return
        with self._lock:
            del self._coming[key]
            self._keep(key, value)
        coming.set_result(value)

    def _keep(self, key: K, value: V) -> None:
        self._kept[key] = value
        self._size += self._measure(value)
        while self._size > self._most and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._size -= self._measure(oldest)
