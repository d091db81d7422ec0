"""An evaluation with its pictures as one JSON text: for a page that asks nobody."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, zip_longest
from typing import Any

from ovsam.errors import OvsamError
from ovsam_pipeline.ui.pictures import Picture
from ovsam_pipeline.ui.results.crops import read_crop
from ovsam_pipeline.ui.results.data import EvalResults

logger = logging.getLogger(__name__)

MOST_CROPS = 240
"""Examples with pictures: about 5 MB. Those of the worst first, then one of each pair, …"""
_READERS = 4

_Place = tuple[str, int]


def embed_results(results: EvalResults) -> dict[str, Any]:
    """Return {"results": as in `data.py`, "examples": by group}, with pictures as data: URLs.

    Examples beyond `MOST_CROPS` are left out; those whose image cannot be read have no picture.
    """
    places = choose_places(results.count_groups())
    with ThreadPoolExecutor(_READERS) as pool:
        crops = dict(
            zip(places, pool.map(lambda place: _read(results, place), places), strict=True)
        )
    examples = {}
    for group in results.count_groups():
        listed = results.list_examples(group, lambda *place: crops.get(place), lambda *_: None)
        examples[group] = [item for n, item in enumerate(listed) if (group, n) in crops]
    return {"results": results.describe(), "examples": examples}


def choose_places(counts: Mapping[str, int]) -> list[_Place]:
    """Return which examples of groups of some sizes are shown: (group, number in it) each."""
    worst = [("worst", number) for number in range(counts.get("worst", 0))]
    pairs = [
        [(group, number) for number in range(count)]
        for group, count in counts.items()
        if group != "worst"
    ]
    turns = chain.from_iterable(zip_longest(*pairs))
    return [*worst, *(place for place in turns if place is not None)][:MOST_CROPS]


def to_data_url(picture: Picture) -> str:
    """Return a picture as the address that holds it."""
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode('ascii')}"


def _read(results: EvalResults, place: _Place) -> str | None:
    try:
        return to_data_url(read_crop(results.find_picture(*place)))
    except OvsamError as error:
        logger.debug("an example without its picture: %s", error)
        return None
