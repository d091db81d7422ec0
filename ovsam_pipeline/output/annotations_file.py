"""OUT/annotations.json may be corrected by hand: a file that is not as ovsam wrote it is kept.

So that no second file has to agree with it, the COCO file ends with its own length and hash, which
readers of COCO pass over.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import IO

from ovsam.errors import explain
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.storage.remote_path import AnyPath

ANNOTATIONS_FILE, _BESIDE_FILE = "annotations.json", "annotations.ovsam.json"
_SEAL = re.compile(rb',\n"ovsam":\{"bytes":(\d{1,20}),"blake2b":"([0-9a-f]{32})"\}\}\n\Z')
_MOST_SEAL_BYTES = 128
_CHUNK_BYTES = 1 << 20


class SealedStream:
    """A stream to write one JSON object to, without its last brace: `seal` writes the end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = _start_hash()
        self._num_bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        """Write a piece."""
        self._stream.write(data)
        self._hash.update(data)
        self._num_bytes += memoryview(data).nbytes

    def seal(self) -> None:
        """Write length and hash of all before as the last key, and the brace."""
        seal = json.dumps(
            {"bytes": self._num_bytes, "blake2b": self._hash.hexdigest()}, separators=(",", ":")
        )
        self._stream.write(f',\n"ovsam":{seal}}}\n'.encode())


def is_as_written(path: AnyPath, *, is_thorough: bool = True) -> bool:
    """Whether a file is, byte for byte, one that was sealed; False where there is none.

    Not `is_thorough`: by its length alone, for telling only.
    """
    try:
        with explain("cannot read", path, OutputError), path.open("rb") as stream:
            num_bytes = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, num_bytes - _MOST_SEAL_BYTES))
            seal = _SEAL.search(stream.read())
            if seal is None or int(seal[1]) != num_bytes - len(seal[0]):
                return False
            return not is_thorough or _hash_start(stream, int(seal[1])) == seal[2].decode()
    except OutputError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return False
        raise


def choose_annotations(output: AnyPath, *, is_thorough: bool = True) -> AnyPath:
    """Return where the COCO file of an output belongs.

    That is beside annotations.json where somebody edited that. `is_thorough`: as in
    `is_as_written`; always before the file is written.
    """
    path = output / ANNOTATIONS_FILE
    with explain("cannot read", path, OutputError):
        is_there = path.exists()
    if is_there and not is_as_written(path, is_thorough=is_thorough):
        return output / _BESIDE_FILE
    return path


def remove_annotations_beside(output: AnyPath) -> None:
    """Remove what was written beside an edited annotations.json that is not there any more."""
    path = output / _BESIDE_FILE
    with explain("cannot remove", path, OutputError):
        path.unlink(missing_ok=True)


def _start_hash() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


def _hash_start(stream: IO[bytes], num_bytes: int) -> str:
    found = _start_hash()
    stream.seek(0)
    while num_bytes > 0 and (data := stream.read(min(_CHUNK_BYTES, num_bytes))):
        found.update(data)
        num_bytes -= len(data)
    return found.hexdigest()
