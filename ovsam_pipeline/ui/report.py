"""Labels or results as one self-contained file: `ovsam report --html`, and what eval writes.

Labels: the gallery of `ovsam view` with its data in the page, below a head of plain text. Pictures
and outlines are as small as a page of 2,000 images needs them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ovsam.errors import ConfigError, ImageError
from ovsam_pipeline.storage.remote_path import AnyPath
from ovsam_pipeline.ui.gallery.opened import OpenedOutput
from ovsam_pipeline.ui.pictures import Picture
from ovsam_pipeline.ui.report_page import DataElement, Section, write_page
from ovsam_pipeline.ui.results.data import EvalResults
from ovsam_pipeline.ui.results.embed import embed_results, to_data_url
from ovsam_pipeline.ui.start_page import escape_script_json

MOST_IMAGES = 2000
_THUMBNAIL_SIDE = 320
# An image may take its share of these: of pictures as they are encoded, and of outlines as JSON.
_PICTURE_BYTES, _OUTLINE_BYTES = 36 << 20, 10 << 20
_QUALITIES = (70, 50, 30, 15)
# Sides of pictures that outlines are drawn for: twice the thumbnail, or less where they are many.
_OUTLINE_SIDES = (640, 320, 120)
_AT_ONCE, _READERS = 32, 4
_SEED = 0


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written: its size, and how many of all images are in it.

    Attributes:
        lacking: why a picture is not in it, for each image that was labelled and lacks its own.
    """

    num_bytes: int
    num_images: int
    num_all: int
    lacking: tuple[str, ...] = ()


def write_results_report(results: EvalResults, path: AnyPath) -> int:
    """Write the results of an evaluation as one page; return its size in bytes.

    Raises:
        ConfigError: another file is there. OutputError: it cannot be written.
    """
    title = f"{results.metrics['dataset'].get('name', '')}: results of ovsam eval"
    data = DataElement("results", "application/json", [escape_script_json(embed_results(results))])
    return write_page(path, title, (), {"kind": "results", "embedded": True}, [data])


def choose_images(num_images: int, limit: int | None) -> list[int]:
    """Return the rows of a report: all, or `limit` of them drawn uniformly, in their order.

    Always the same of one output. A ConfigError where there are too many for one file.
    """
    wanted = num_images if limit is None else min(limit, num_images)
    if wanted > MOST_IMAGES:
        raise ConfigError(
            f"expected at most {MOST_IMAGES} images in one file, got {wanted}; look at them with "
            f"`ovsam view`, or draw a uniform sample: --limit {MOST_IMAGES}"
        )
    drawn = np.random.default_rng(_SEED).choice(num_images, wanted, replace=False)
    return sorted(drawn.tolist())


def write_labels_report(
    opened: OpenedOutput,
    path: AnyPath,
    name: str,
    sections: Sequence[Section],
    limit: int | None = None,
) -> WrittenReport:
    """Write an output's labels as one page below `sections`.

    `name`: what the page calls the output. `limit`: see `choose_images`.

    Raises:
        ConfigError: there are too many images, or another file is there.
        OutputError: it cannot be written.
    """
    rows = choose_images(opened.snapshot.num_images, limit)
    index = base64.b64encode(opened.encode_index(rows)).decode("ascii")
    columns = opened.snapshot.join_columns()
    start = {
        "kind": "gallery",
        **opened.describe(),
        "output": name,
        "images": len(rows),
        "objects": int(columns.num_objects[rows].sum()),
        "can_answer": False,
        "compare": None,
        "results": False,
        "embedded": True,
    }
    lacking: list[str] = []
    elements = [
        DataElement("index", "text/plain", [index]),
        DataElement("images", "application/json", _write_images(opened, rows, lacking)),
    ]
    size = write_page(path, f"Labels in {name}", sections, start, elements)
    return WrittenReport(size, len(rows), opened.snapshot.num_images, tuple(lacking))


def _write_images(opened: OpenedOutput, rows: Sequence[int], lacking: list[str]) -> Iterator[str]:
    """Yield the images of a page as pieces of a JSON list, with few in memory at a time.

    To `lacking` is added why a picture cannot be read, of images that did not fail.
    """
    share = max(len(rows), 1)
    yield "["
    with ThreadPoolExecutor(_READERS) as pool:

        def read(row: int) -> str | ImageError:
            return _read_thumbnail(opened, row, _PICTURE_BYTES // share)

        for first in range(0, len(rows), _AT_ONCE):
            some = rows[first : first + _AT_ONCE]
            thumbnails = pool.map(read, some)
            for place, (row, thumbnail) in enumerate(zip(some, thumbnails, strict=True), first):
                image = _draw_image(opened, row, _OUTLINE_BYTES // share)
                image |= {"row": place, "thumbnail": thumbnail}
                if isinstance(thumbnail, ImageError):
                    image["thumbnail"] = None
                    lacking += [] if image["status"] == "failed" else [str(thumbnail)]
                yield ("," if place else "") + escape_script_json(image)
    yield "]"


def _draw_image(opened: OpenedOutput, row: int, most_bytes: int) -> dict[str, Any]:
    """Return a row as pages draw it, with outlines as exact as its share of bytes allows."""
    [known] = opened.read_rows([row])
    drawn: dict[str, Any] = {}
    for side in _OUTLINE_SIDES:
        drawn = opened.draw_row(known, side)
        if len(json.dumps(drawn)) <= most_bytes:
            break
    return drawn


def _read_thumbnail(opened: OpenedOutput, row: int, most_bytes: int) -> str | ImageError:
    """Return the picture of a row as a data: URL, or why it cannot be read."""
    try:
        picture = opened.get_picture(row, _THUMBNAIL_SIDE)
    except ImageError as error:
        return error
    return to_data_url(shrink_picture(picture, most_bytes))


def shrink_picture(picture: Picture, most_bytes: int) -> Picture:
    """Return a WebP picture of at most so many bytes, as good as that allows."""
    if len(picture.data) <= most_bytes:
        return picture
    pixels = cv2.imdecode(np.frombuffer(picture.data, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    smaller = picture
    for quality in _QUALITIES:
        _, data = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, quality])
        smaller = Picture(data.tobytes(), "image/webp")
        if len(smaller.data) <= most_bytes:
            break
    return smaller
