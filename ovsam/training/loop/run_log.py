"""A run's numbers: one JSON object a line in `log.jsonl`, TensorBoard's files, and `logging`.

A resumed run repeats the steps since its checkpoint: lines past it are dropped first, so that the
log has each step once.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam.checked_json import parse_json
from ovsam.errors import TrainingError, explain
from ovsam.weights.files import write_atomically

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

_NOT_DRAWN = ("step", "elapsed_s")


class RunLog:
    """The log of one run; only the first process has one that writes."""

    def __init__(self, path: Path, *, is_written: bool = True) -> None:
        """Bind a log to its file.

        `path`: `log.jsonl`; TensorBoard's files go into its folder, where it is installed.
        """
        self.path = path
        self.is_written = is_written
        self._board: SummaryWriter | None = None
        self._written: set[tuple[object, str]] = set()

    def begin(self, step: int) -> None:
        """Drop the lines past a step, and one that was cut in the middle.

        The rest is written to a temporary name first: a log is never half there.
        """
        if not self.is_written:
            return
        with explain("cannot write", self.path, TrainingError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                self._keep_lines(step)
            self.path.open("ab").close()
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            # `purge_step` hides what an earlier sitting drew past the checkpoint.
            self._board = SummaryWriter(str(self.path.parent), purge_step=step + 1)

    def _keep_lines(self, step: int) -> None:
        """Write the log again with the lines up to a step; a damaged one is kept aside first."""
        content = self.path.read_bytes()
        *lines, _ = content.decode(errors="replace").split("\n")
        steps = [_step_of(line) for line in lines]
        kept = [
            line for line, of in zip(lines, steps, strict=True) if of is not None and of <= step
        ]
        self._written = {_name_line(parse_json(line)) for line in kept}
        if None in steps:
            aside = self.path.with_name(f"{self.path.stem}-damaged{self.path.suffix}")
            write_atomically(aside, content)
            logger.warning(
                "%s has %d damaged lines, which are left out; it is kept as %s",
                self.path, steps.count(None), aside.name,
            )  # fmt: skip
        write_atomically(self.path, "".join(f"{line}\n" for line in kept).encode())

    def write(self, **values: Any) -> None:
        """Append one line, draw its numbers, and say it through `logging`.

        What the log has of that step already, a resumed run does not write again. `values`: `step`,
        and what is known of it; a mapping is drawn by its own names.
        """
        if not self.is_written:
            return
        line = json.dumps(values)
        logger.info("%s", line, extra={"numbers": values})
        if _name_line(values) in self._written:
            return
        self._written.add(_name_line(values))
        with (
            explain("cannot write", self.path, TrainingError),
            self.path.open("a", encoding="utf-8") as file,
        ):
            file.write(line + "\n")
        self._draw(values)

    def sync(self) -> None:
        """Make the lines survive a power cut, as the checkpoint that follows will."""
        if self.is_written and self.path.is_file():
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._board is not None:
            self._board.close()
            self._board = None

    def _draw(self, values: Mapping[str, Any]) -> None:
        if self._board is None:
            return
        step = values.get("step")
        for name, value in values.items():
            if isinstance(value, Mapping):
                for key, number in value.items():
                    self._board.add_scalar(f"{name}/{key}", number, step)
            elif name not in _NOT_DRAWN and isinstance(value, int | float):
                self._board.add_scalar(f"training/{name}", value, step)


def _name_line(values: Mapping[str, Any]) -> tuple[object, str]:
    """Return step and kind of a line: of losses "", else what its mapping is called."""
    kinds = [name for name, value in values.items() if isinstance(value, Mapping)]
    return values.get("step"), kinds[0] if kinds else ""


def _step_of(line: str) -> int | None:
    """Return the step of a line; None for a line that is none of ours."""
    try:
        return int(parse_json(line)["step"])
    except (ValueError, LookupError, TypeError, OverflowError):
        return None
