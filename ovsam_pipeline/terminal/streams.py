"""stdout and stderr that never end the work, and text that never commands a terminal.

A message that cannot be written (a closed or full stderr, a pipe whose reader left) is lost. A
result that cannot be written to stdout is an `OutputError`: `ovsam report X > FILE` on a full disk
must not look done. A reader of stdout that leaves (`| head -1`) has what it wanted.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from contextlib import suppress
from typing import TextIO

from ovsam.errors import describe_error
from ovsam_pipeline.errors import OutputError

# Control characters, separators of lines, and marks that reverse the direction of writing: from a
# file's or a class's name they would move the cursor, rewrite a line or hide what follows.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# The same inside JSON text, which has escaped the others already.
_CONTROLS_OF_JSON = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def show_controls(text: str, *, keep: str = "") -> str:
    r"""Return text for a terminal: control characters as `\x1b`, but for those of `keep`."""
    return _CONTROLS.sub(lambda m: m[0] if m[0] in keep else _escape(m[0]), text)


def escape_json(text: str) -> str:
    r"""Return JSON text with the control characters that JSON lets pass as `\u009b`."""
    return _CONTROLS_OF_JSON.sub(lambda m: f"\\u{ord(m[0]):04x}", text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def secure_streams() -> None:
    """Make stdout and stderr of this process as described above.

    Streams that a program has put in the place of the process's own are left alone.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # Else the next file that is opened would get the number, and a library's message
            # would be written into it. Opened to read, so that writing is noticed.
            os.open(os.devnull, os.O_RDONLY)
    if sys.stdout is sys.__stdout__ and not isinstance(sys.stdout, _ResultStream):
        sys.stdout = sys.__stdout__ = _ResultStream(sys.stdout)  # type: ignore[misc]
    if sys.stderr is sys.__stderr__ and not isinstance(sys.stderr, _MessageStream):
        sys.stderr = sys.__stderr__ = _MessageStream(sys.stderr)  # type: ignore[misc]


class _MessageStream(io.TextIOWrapper):
    """stderr: a message that cannot be written is lost; a later one may not be."""

    def __init__(self, before: TextIO | None) -> None:
        # Without a buffer, which would keep what failed for the end of the process.
        raw = io.FileIO(2, "wb", closefd=False)
        encoding = _find_encoding(before)
        super().__init__(raw, encoding, errors="backslashreplace", write_through=True)

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            super().flush()


class _ResultStream(io.TextIOWrapper):
    """stdout: a result that cannot be written is an error, unless its reader has left."""

    def __init__(self, before: TextIO | None) -> None:
        stream = open(1, "wb", closefd=False)  # noqa: SIM115 - for all the process
        is_terminal = stream.isatty()
        # A letter that the terminal does not have is shown by its number.
        encoding = _find_encoding(before)
        super().__init__(stream, encoding, errors="backslashreplace", line_buffering=is_terminal)

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Write into nothing from here on, also what is in the buffer."""
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.fileno())
        os.close(nothing)
        if error.errno == errno.EPIPE:
            return
        reason = "it is closed" if error.errno == errno.EBADF else describe_error(error)
        raise OutputError(f"cannot write the result to stdout: {reason}") from error


def _find_encoding(before: TextIO | None) -> str:
    """Flush what a stream has, and return its encoding."""
    if before is None:
        return "utf-8"
    before.flush()
    return before.encoding
