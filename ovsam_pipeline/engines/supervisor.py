"""The process of a command watches over the one that labels, and starts another one where it dies.

A picture may kill the process that decodes it, or never end; nothing in that process can help. So
`supervise` forks before anything is loaded: the child is the command, the parent waits, passes
signals on, and forks again when the child died with images in hand. Which images those were the
child has written to a journal (`journal.py`): the next one labels them last, one at a time.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING

from ovsam_pipeline.monitoring.repeating import repeat
from ovsam_pipeline.terminal.app import expect_echoes

if TYPE_CHECKING:
    from ovsam_pipeline.settings.label import LabelConfig

# Those that label images, and so decode them.
_COMMANDS = ("label", "detect", "eval")
# How a process ends itself that has an image which never ends.
_GIVEN_UP = 70
_BEAT_S = 1.0
# A library that never lets Python run is hung; anything else is told by the process itself.
_MOST_SILENT_S = 300.0
_MOST_SILENT_AFTER_SIGNAL_S = 15.0
_ECHO_S = 0.3
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PR_SET_PDEATHSIG = 1


@dataclass
class _Child:
    """What a watched process knows of its command.

    Attributes:
        channel: to the parent: a byte a beat while images are labelled, and one when they are not.
        started_s: when the command was typed.
        death: how the process before this one ended; "" for the first.
    """

    channel: int
    started_s: float
    death: str = ""


# Set in the child by the fork; None in a process that nobody watches.
_child: _Child | None = None


def find_death() -> str:
    """Return how the process ended that this one replaces; "" where it replaces none."""
    return _child.death if _child else ""


def get_command() -> str:
    """Return an id of the command, the same in all processes of it; "" where nobody watches."""
    return f"{get_process()}-{_child.started_s}" if _child else ""


def get_process() -> int:
    """Return the number of the command's process: the one that watches, where one does."""
    return os.getppid() if _child else os.getpid()


def continue_command(config: LabelConfig) -> LabelConfig:
    """Return the settings of a process that replaces one: it goes on where that one ended."""
    if _child is None or not _child.death:
        return config
    left_s = config.time_limit
    if left_s is not None:
        left_s = max(left_s - (time.monotonic() - _child.started_s), 1e-3)
    return replace(config, on_existing="resume", time_limit=left_s)


def end_for_another() -> None:
    """End this process in good order for another one to go on; return where nobody watches."""
    if _child:
        sys.exit(_GIVEN_UP)


@contextmanager
def beat() -> Iterator[None]:
    """Tell the parent, while the block labels images, that Python runs."""
    if _child is None:
        yield
        return
    channel = _child.channel
    _send(channel, b".")
    with repeat(lambda: _send(channel, b"."), lambda _: _BEAT_S, join_timeout_s=_BEAT_S):
        yield
    _send(channel, b"!")


def supervise(run: Callable[[], None]) -> None:
    """Run a command in a process that is watched; does not return."""
    if not _is_possible():
        run()
        return
    started_s, death = time.monotonic(), ""
    while True:
        receiver, channel = os.pipe()
        parent, child = os.getpid(), os.fork()
        if child == 0:
            os.close(receiver)
            _end_with(parent)
            global _child  # noqa: PLW0603 - this process is the child from now on
            _child = _Child(channel, started_s, death)
            expect_echoes(_ECHO_S)
            os._exit(_run_to_the_end(run))
        os.close(channel)
        watcher = _Watcher(child, receiver)
        death = watcher.wait()
        if not death or watcher.is_asked or not watcher.has_labelled:
            _flush()
            os._exit(watcher.explain())


def _is_possible() -> bool:
    """Whether this process is the command's own: no notebook, no test, no Windows."""
    is_command = len(sys.argv) > 1 and sys.argv[1] in _COMMANDS
    is_own = sys.stdout is sys.__stdout__ and threading.active_count() == 1
    # What came from stdin cannot be read again.
    is_other = {"-", "/dev/stdin", "--help", "-h"} & set(sys.argv)
    return is_command and is_own and not is_other and hasattr(os, "fork")


def _run_to_the_end(run: Callable[[], None]) -> int:
    """Return the exit code of the command; threads that hang do not hold the process."""
    try:
        run()
    except SystemExit as stop:
        code = stop.code
        return _flush() or (code if isinstance(code, int) else int(code is not None))
    except BaseException:  # noqa: BLE001 - what the interpreter does with it
        traceback.print_exc()
        return _flush() or 1
    return _flush()


def _flush() -> int:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # it is full, closed or missing
            stream.flush()
    return 0


def _send(channel: int, word: bytes) -> None:
    with suppress(OSError):
        os.write(channel, word)


def _end_with(parent: int) -> None:
    """Let the kernel kill this process when its parent is killed, on Linux."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was faster
        os._exit(1)


class _Watcher:
    """Waits for a child, and passes signals on to it.

    Attributes:
        is_asked: whether a signal asked for the end.
        has_labelled: whether the child was labelling images when it was last heard of.
    """

    def __init__(self, child: int, receiver: int) -> None:
        self.is_asked = self.has_labelled = False
        self._child, self._receiver = child, receiver
        self._status = 0
        self._asked_s = 0.0
        for number in _SIGNALS:
            signal.signal(number, self._pass_on)

    def wait(self) -> str:
        """Return how the child died; "" where it ended as commands do."""
        heard_s = time.monotonic()
        while True:
            ready, _, _ = select.select([self._receiver], [], [], 5 * _BEAT_S)
            now_s, before_s = time.monotonic(), heard_s
            if ready:
                words = os.read(self._receiver, 1 << 12)
                if not words:
                    break
                self.has_labelled = not words.endswith(b"!")
                heard_s = now_s
            elif self.has_labelled and self._is_silent(now_s - before_s, now_s):
                with suppress(ProcessLookupError):
                    os.kill(self._child, signal.SIGKILL)
        os.close(self._receiver)
        _, self._status = os.waitpid(self._child, 0)
        if os.WIFSIGNALED(self._status):
            number = os.WTERMSIG(self._status)
            return f"signal {number}, {signal.strsignal(number)}"
        return "an image did not end" if os.WEXITSTATUS(self._status) == _GIVEN_UP else ""

    def explain(self) -> int:
        """Return the exit code of the command, and say why where the child could not."""
        if not os.WIFSIGNALED(self._status):
            return os.WEXITSTATUS(self._status)
        if self.is_asked:
            return 130
        number = os.WTERMSIG(self._status)
        name = signal.strsignal(number)
        sys.stderr.write(
            f"ovsam: the process was ended from outside or by a library (signal {number}, {name}; "
            "9 may be the system's answer to a lack of memory); the same command goes on\n"
        )
        return 1

    def _pass_on(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal's signature
        self.is_asked, self._asked_s = True, time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(self._child, number)

    def _is_silent(self, silent_s: float, now_s: float) -> bool:
        if self.is_asked and now_s - self._asked_s > _MOST_SILENT_AFTER_SIGNAL_S:
            return silent_s > _MOST_SILENT_AFTER_SIGNAL_S
        return silent_s > _MOST_SILENT_S
