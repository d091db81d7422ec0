"""Large JSON files, read item by item: COCO and LVIS data sets, and lists of detection results.

Input: a .json or .json.gz file. Output: its top-level values, one at a time, so that memory holds
one item and a buffer, whatever the size of the file. The fields have no meaning here, except for
how an image entry names its file.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Literal, Protocol

import orjson

from ovsam.checked_json import refuse_pipe

_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 17
# The same where the caller parses: without one object per item, larger blocks are faster.
_OWN_BLOCK_BYTES = 1 << 19
# Items parsed one by one after a block that could not be parsed as a whole.
_SINGLE_ITEMS = 256
# Ends of objects looked at, from the end of a block, for one that ends an item.
_MOST_BOUNDARIES = 64
# Guesses, from the end of a block, at the end of an item.
_MOST_GUESSES = 6
_NEXT_ITEM = re.compile(r"\}[ \t\r\n]*,[ \t\r\n]*(?=\{)")
_AFTER_VALUE = frozenset(",]} \t\r\n")
_CLOSED = (dict, list, str)
_SPACE = re.compile(r"[ \t\r\n]*")


class JsonFile(Protocol):
    """A local file, or one on an object store or at a web address."""

    @property
    def suffix(self) -> str:
        """The end of its name, ".gz" for a compressed one."""

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        """Open it to read."""


BlockParser = Callable[[str, str], Any]
"""The text of whole objects, and the separator of two of them ("}, {") → anything."""


def iterate_json(path: JsonFile) -> Iterator[tuple[str, Any]]:
    """Yield the values of a JSON file whose top level is an object or an array.

    An array comes as `(key, [])` and then each item as `(key + "[]", item)`; every other value as
    `(key, value)`. The key of a top-level array is "". The file is UTF-8, with or without a
    byte-order mark, and gzipped where its name ends in .gz. A ValueError says that it is not JSON,
    is cut off, or has another top level.
    """
    for key, value in iterate_json_blocks(path):
        if key.endswith("[]"):
            for item in value:
                yield key, item
        else:
            yield key, value


def iterate_json_blocks(
    path: JsonFile, parsers: Mapping[str, BlockParser] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield as `iterate_json` does, but items of an array as lists of some: `(key + "[]", items)`.

    Arrays of objects are parsed in blocks, which is several times faster. `parsers` are functions
    by `key + "[]"` that parse a block themselves: their result is yielded instead of a list. Where
    one raises ValueError, the block is parsed here.
    """
    refuse_pipe(path)
    with path.open("rb") as file:
        stream = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
        try:
            yield from _Reader(stream, parsers or {}).iterate()
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        except EOFError as error:
            raise ValueError("the file ends in the middle (cut off?)") from error
        except UnicodeDecodeError as error:
            raise ValueError("bytes that are not UTF-8 text (another kind of file?)") from error


def get_image_file_name(image: dict[str, Any]) -> tuple[str | None, bool]:
    """Return the file name of a COCO or LVIS image entry, and whether it comes from its URL.

    LVIS v1 has no `file_name`: its images are in COCO's folders, which `coco_url` names
    ("http://…/train2017/000000000009.jpg" → "train2017/000000000009.jpg").
    """
    name = image.get("file_name")
    if isinstance(name, str) and name:
        return name, False
    url = image.get("coco_url")
    if isinstance(url, str) and url.count("/") >= 1:
        return "/".join(url.split("/")[-2:]), True
    return None, False


class _Reader:
    """A window over the text; `position` is where the next token begins."""

    def __init__(
        self, stream: IO[bytes] | gzip.GzipFile, parsers: Mapping[str, BlockParser]
    ) -> None:
        self.stream = stream
        self.parsers = parsers
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.text = ""
        self.position = 0
        self.is_complete = False
        self.num_single = 0
        self.parse = json.JSONDecoder().raw_decode

    def iterate(self) -> Iterator[tuple[str, Any]]:
        start = self.peek()
        if start == "[":
            yield "", []
            yield from self.iterate_array("[]")
        elif start == "{":
            yield from self.iterate_object()
        else:
            raise ValueError(f"expected an object or an array, got {start!r} at the start")
        if self.peek(at_end="") != "":
            raise ValueError("expected the end of the file after the closing bracket")

    def iterate_object(self) -> Iterator[tuple[str, Any]]:
        self.position += 1
        if self.take_if("}"):
            return
        while True:
            if self.peek() != '"':
                raise ValueError(f"expected a quoted key, got {self.peek()!r}")
            key = self.take_value()
            self.take(":")
            if self.peek() == "[":
                yield key, []
                yield from self.iterate_array(f"{key}[]")
            else:
                yield key, self.take_value()
            if self.take_if("}"):
                return
            self.take(",")

    def iterate_array(self, key: str) -> Iterator[tuple[str, Any]]:
        self.position += 1
        if self.take_if("]"):
            return
        while True:
            self.peek()
            block = self.take_block(self.parsers.get(key))
            if block is not None:
                yield key, block
                continue
            yield key, [self.take_value()]
            if self.take_if("]"):
                return
            self.take(",")

    def take_block(self, own_parser: BlockParser | None) -> Any:
        """Parse as many whole items as the window holds, but the array's last; None for none.

        The end of an item is a guess, which the strict parser confirms: brackets and quotes of a
        wrong one do not match. What it refuses is left to `take_value`, which explains the fault.
        """
        if self.num_single:
            self.num_single -= 1
            return None
        size = _OWN_BLOCK_BYTES if own_parser else _BLOCK_BYTES
        if len(self.text) - self.position < size:
            self.read_more(size)
        end = min(len(self.text), self.position + size)
        for _ in range(_MOST_GUESSES):
            boundary = self.find_boundary(end)
            if boundary is None:
                break
            text = self.text[self.position : boundary[0]]
            separator = self.text[boundary[0] - 1 : boundary[1] + 1]
            try:
                items = _parse_block(text, separator, own_parser)
            except orjson.JSONDecodeError as error:
                # The parser counts the bracket before the block. An earlier guess may be right.
                end = min(self.position + error.pos - 1, boundary[0] - 1)
            else:
                self.position = boundary[1]
                return items
        self.num_single = _SINGLE_ITEMS
        return None

    def find_boundary(self, end: int) -> tuple[int, int] | None:
        """Return where, before `end`, an item seems to end and where the next one starts."""
        for _ in range(_MOST_BOUNDARIES):
            end = self.text.rfind("}", self.position, end)
            if end < 0:
                return None
            if match := _NEXT_ITEM.match(self.text, end):
                return end + 1, match.end()
        return None

    def peek(self, at_end: str | None = None) -> str:
        """Return the next character that is not white space, without passing it."""
        while True:
            match = _SPACE.match(self.text, self.position)
            self.position = match.end() if match else self.position
            if self.position < len(self.text):
                return self.text[self.position]
            if not self.read_more(_CHUNK_BYTES):
                if at_end is None:
                    raise EOFError
                return at_end

    def take(self, expected: str) -> None:
        came = self.peek()
        if came != expected:
            raise ValueError(f"expected {expected!r}, got {came!r}")
        self.position += 1

    def take_if(self, wanted: str) -> bool:
        if self.peek() != wanted:
            return False
        self.position += 1
        return True

    def take_value(self) -> Any:
        """Parse one whole value; the window grows until it holds it."""
        size = _CHUNK_BYTES
        while True:
            try:
                value, end = self.parse(self.text, self.position)
            except json.JSONDecodeError:
                # Cut by the window, or wrong: only the rest of the file can show which, but a
                # value that fails for megabytes is not worth reading gigabytes.
                if size > 64 * _CHUNK_BYTES or not self.read_more(size):
                    raise
            else:
                # A number at the end of the window may continue after it: "2" or "2." of "2.5".
                is_whole = self.text[end : end + 1] in _AFTER_VALUE or isinstance(value, _CLOSED)
                if is_whole or not self.read_more(size):
                    self.position = end
                    return value
            size *= 2

    def read_more(self, size: int) -> bool:
        """Drop the text before `position` and append more; False at the end of the file."""
        if self.is_complete:
            return False
        data = self.stream.read(size)
        self.is_complete = not data
        text = self.decoder.decode(data, final=self.is_complete)
        self.text = self.text[self.position :] + text
        self.position = 0
        return not self.is_complete or bool(text)


def _parse_block(text: str, separator: str, own_parser: BlockParser | None) -> Any:
    if own_parser is not None:
        try:
            return own_parser(text, separator)
        except ValueError:
            pass  # the caller's parser is for plain blocks; orjson takes the others
    return orjson.loads(f"[{text}]")
