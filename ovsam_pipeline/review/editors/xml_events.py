"""XML of others, read piece by piece; without a document type there are no entities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple
from xml.parsers import expat

_CHUNK_BYTES = 1 << 20
_MOST_LEVELS = 100
_MOST_TEXT = 1 << 20


class Start(NamedTuple):
    """An element begins."""

    tag: str
    attributes: dict[str, str]


class End(NamedTuple):
    """An element ends; `text` is what stood in it, without that of elements inside."""

    tag: str
    text: str


def iterate_xml(stream: IO[bytes]) -> Iterator[Start | End]:
    """Yield the elements of an XML file; memory is that of a megabyte of it.

    Raises:
        ValueError: it is no XML, is cut off, has a document type, or is nested too deeply.
    """
    events: list[Start | End] = []
    texts: list[list[str]] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(texts) >= _MOST_LEVELS:
            raise ValueError(f"elements nested more than {_MOST_LEVELS} deep")
        texts.append([])
        events.append(Start(tag, attributes))

    def end(tag: str) -> None:
        events.append(End(tag, "".join(texts.pop())))

    def add(text: str) -> None:
        if texts and sum(map(len, texts[-1][-1:])) < _MOST_TEXT:
            texts[-1].append(text)

    def refuse(*_: object) -> None:
        raise ValueError("it has a document type (<!DOCTYPE>), which no editor writes")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = add
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    while True:
        data = stream.read(_CHUNK_BYTES)
        try:
            parser.Parse(data, not data)
        except expat.ExpatError as error:
            raise ValueError(f"it is no XML, or cut off: {error}") from error
        yield from events
        events.clear()
        if not data:
            return
