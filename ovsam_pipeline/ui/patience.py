"""How long a connection may take to say what it wants.

uvicorn bounds idle connections, and only after their first request: one that sends nothing, or a
byte now and then, would be kept for ever and be one less for others.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0


class ImpatientProtocol(H11Protocol):
    """uvicorn's HTTP, which ends a connection whose next request line and headers take too long."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take data; the wait ends with a whole head, and begins with a part of one."""
        super().data_received(data)
        if self._is_served():
            self._end_wait()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the wait."""
        self._end_wait()
        super().connection_lost(exc)

    def _is_served(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _end_wait(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self._is_served():
            self.transport.abort()
