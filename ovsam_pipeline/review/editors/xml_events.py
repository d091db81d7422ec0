"""XML of others, read piece by piece; without a document type there are no entities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple
from xml.parsers import expat

_CHUNK_BYTES = 1 << 20
_MOST_LEVELS = 100
# Pieces of text of an element, each of a buffer's size.
_MOST_TEXTS = 64
# Longer than the run lengths of any mask: an element as long as that is held in memory.
_MOST_ELEMENT = 1 << 28


class Start(NamedTuple):
    """An element begins."""

    tag: str
    attributes: dict[str, str]


class End(NamedTuple):
    """An element ends; `text` is what stood in it, without that of elements inside."""

    tag: str
    text: str


class _Collector:
    """Takes what the parser finds."""

    def __init__(self) -> None:
        self.events: list[Start | End] = []
        self._texts: list[list[str]] = []

    def make_parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._add
        parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = self._refuse
        return parser

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._texts) >= _MOST_LEVELS:
            raise ValueError(f"elements nested more than {_MOST_LEVELS} deep")
        self._texts.append([])
        self.events.append(Start(tag, attributes))

    def _end(self, tag: str) -> None:
        self.events.append(End(tag, "".join(self._texts.pop())))

    def _add(self, text: str) -> None:
        if self._texts and len(self._texts[-1]) < _MOST_TEXTS:
            self._texts[-1].append(text)

    def _refuse(self, *_: object) -> None:
        raise ValueError("it has a document type (<!DOCTYPE>), which no editor writes")


def iterate_xml(stream: IO[bytes]) -> Iterator[Start | End]:
    """Yield the elements of an XML file; memory is that of a megabyte of it.

    Raises:
        ValueError: it is no XML, is cut off, has a document type, or is nested too deeply.
    """
    collector = _Collector()
    parser = collector.make_parser()
    waiting = 0
    while True:
        data = stream.read(_CHUNK_BYTES)
        waiting += len(data)
        if waiting > _MOST_ELEMENT:
            raise ValueError("an element of more than 256 MB")
        try:
            parser.Parse(data, not data)
        except expat.ExpatError as error:
            raise ValueError(f"it is no XML, or cut off: {error}") from error
        if collector.events:
            yield from collector.events
            collector.events.clear()
            waiting = 0
        if not data:
            return
