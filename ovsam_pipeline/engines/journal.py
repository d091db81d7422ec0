"""The images in hand, in a small file of the output folder, for the process after one that dies.

Written at each step of each image, without waiting for the disk: a killed process loses nothing of
it, and a power cut takes the process's images for innocent. What a process had in hand when it died
is suspected, and labelled last, one image at a time. An image that was alone in hand is given up:
a failed row, which is tried again, last and alone, by the next command. Where the whole command
died, nobody saw why: a kill from outside is no fault of the image, but a container that ends for
lack of memory may be. So such an image becomes the last suspect, and is given up at its third time.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ovsam.checked_json import check_keys, parse_json
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.storage.remote_path import AnyPath

# Whole commands that may die with one image alone in hand.
_MOST_ALONE = 3
_KEYS = {
    "command": str,
    "in_hand": tuple[str, ...],
    "is_alone": bool,
    "why": str,
    "num_done": int,
    "num_vain": int,
    "suspects": tuple[str, ...],
    "given_up": dict[str, str],
    "num_alone": dict[str, int],
}


def choose_journal(output: AnyPath) -> Path:
    """Return where the journal of an output is: of one on a store, among temporary files."""
    if isinstance(output, Path):
        return output / ".in-hand"
    name = hashlib.blake2b(str(output).encode(), digest_size=8).hexdigest()
    return Path(tempfile.gettempdir()) / f"ovsam-in-hand-{os.getuid()}-{name}"


class Journal:
    """The journal of a process that labels; made once it holds the output folder.

    Images are known by their `identity`: one that changed is another one.

    Attributes:
        suspects: images that were in hand, together with others, when a process died.
        given_up: images that were alone in hand when a process of this command died → how it did.
        num_vain: processes of this command in a row that died before they had labelled an image.
        death: how that process died.
        died: images in hand of the process that died before this one; empty where none did.
    """

    def __init__(self, path: Path, command: str, death: str) -> None:
        self._path, self._command = path, command
        self._guard = threading.Lock()
        self._in_hand: dict[str, None] = {}
        self._is_alone, self._why, self._num_done = False, "", 0
        before = _read(path)
        is_same = bool(command) and before["command"] == command
        self.suspects: dict[str, None] = dict.fromkeys(before["suspects"])
        self.given_up: dict[str, str] = dict(before["given_up"]) if is_same else {}
        self.suspects |= {} if is_same else dict.fromkeys(before["given_up"])
        died, self.death = tuple(before["in_hand"]), before["why"] or death
        self.died: tuple[str, ...] = died
        self._num_alone: dict[str, int] = dict(before["num_alone"])
        if len(died) == 1 and before["is_alone"]:
            self._judge(died[0], is_seen=is_same or bool(before["why"]))
        else:
            self.suspects |= dict.fromkeys(died)
        is_vain = bool(died) and not before["num_done"] and not before["is_alone"]
        self.num_vain = before["num_vain"] + 1 if is_vain and is_same else int(is_vain)
        with suppress(OSError):  # a disk that is full: the run itself finds that out
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            self._write()

    def _judge(self, identity: str, *, is_seen: bool) -> None:
        """Give up an image that was alone in hand, or suspect it after all others."""
        self.suspects.pop(identity, None)
        count = self._num_alone.pop(identity, 0) + 1
        if is_seen or count >= _MOST_ALONE:
            self.given_up[identity] = self.death
        else:
            self.suspects[identity] = None
            self._num_alone[identity] = count

    def watch(
        self, images: Iterable[ImageRecord], *, is_alone: bool = False
    ) -> Iterator[ImageRecord]:
        """Yield images, each of which is in hand from then on; `is_alone`: one at a time."""
        for image in images:
            with self._guard:
                self._is_alone = is_alone
                self._in_hand[image.identity] = None
                self._write()
            yield image

    def release(self, identity: str) -> None:
        """Take an image out of hand: it has a row."""
        with self._guard:
            self._in_hand.pop(identity, None)
            self.suspects.pop(identity, None)
            self._num_alone.pop(identity, None)
            self._num_done += 1
            self._write()

    def blame(self, why: str, *, is_alone: bool | None = None) -> None:
        """Record why the images in hand will be suspected, before the process ends itself."""
        with self._guard:
            self._why = why
            self._is_alone = self._is_alone if is_alone is None else is_alone
            self._write()

    def close(self) -> None:
        """Keep what the next run has to know; remove the file where that is nothing."""
        with suppress(OSError, AttributeError):
            os.close(self._file)
            if not (self._in_hand or self.suspects or self.given_up):
                self._path.unlink()

    @property
    def in_hand(self) -> tuple[str, ...]:
        """The images in hand of this process."""
        with self._guard:
            return tuple(self._in_hand)

    def _write(self) -> None:
        values = {
            "command": self._command,
            "in_hand": list(self._in_hand),
            "is_alone": self._is_alone,
            "why": self._why,
            "num_done": self._num_done,
            "num_vain": self.num_vain,
            "suspects": list(self.suspects),
            "given_up": self.given_up,
            "num_alone": self._num_alone,
        }
        # What is left of a longer text before follows the first line, and is not read.
        with suppress(OSError, AttributeError):
            os.pwrite(self._file, json.dumps(values).encode() + b"\n", 0)


def describe_images(identities: Sequence[str]) -> str:
    """Return the names of images, the first few."""
    names = [identity.rpartition("|")[0] for identity in identities]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _read(path: Path) -> dict[str, Any]:
    """Return what a process left; nothing where the file is missing or damaged."""
    found: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        loaded = parse_json(path.read_bytes().partition(b"\n")[0])
        check_keys(loaded, _KEYS, "the journal")
        found = loaded
    empty = {"command": "", "in_hand": [], "is_alone": False, "why": "", "num_done": 0}
    return {**empty, "num_vain": 0, "suspects": [], "given_up": {}, "num_alone": {}, **found}
