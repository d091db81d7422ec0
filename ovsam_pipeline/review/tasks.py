"""A batch of questions → tasks for an editor, with the place of each picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ovsam_pipeline.export.review_tasks import ReviewTask
from ovsam_pipeline.output.answered_rows import match_answers
from ovsam_pipeline.output.folder import list_parts, read_run_file
from ovsam_pipeline.output.parts import iterate_part_rows, read_part_index
from ovsam_pipeline.output.reviews import Answers
from ovsam_pipeline.records import Origin
from ovsam_pipeline.review.batches import AskedImage, Batch
from ovsam_pipeline.storage.remote_path import AnyPath


def make_tasks(output: AnyPath, batch: Batch, answers: Answers) -> Iterator[ReviewTask]:
    """Yield the images of a batch to look at, in its order.

    Of a sample only objects without an answer are shown: it measures what is known already, too.
    """
    run = read_run_file(output)
    categories = answers.extend_categories(run.get("categories", []))
    for image in batch.images:
        objects = find_open(image, answers) if batch.kind == "sample" else image.objects
        if not objects:
            continue
        yield ReviewTask(
            batch=batch.id,
            image_id=image.image_id,
            file_name=image.file_name,
            width=image.width,
            height=image.height,
            objects=tuple(objects),
            names=tuple(category["name"] for category in categories),
            model=str(run.get("model", {}).get("name", "ovsam")),
            sample=batch.id if batch.kind == "sample" else None,
            picture=None,
        )


def find_open(image: AskedImage, answers: Answers) -> list[Mapping[str, Any]]:
    """Return the objects of an image that nobody has answered."""
    current = answers.of(image.file_name)
    answered = set(match_answers(image.objects, current).values()) if current else set()
    return [item for index, item in enumerate(image.objects) if index not in answered]


def find_origins(output: AnyPath, file_names: set[str]) -> dict[str, Origin]:
    """Return from where images were listed, by file name."""
    found: dict[str, Origin] = {}
    for part in list_parts(output):
        index = None
        for number, row in enumerate(iterate_part_rows(part, ("file_name",))):
            if row["file_name"] in file_names:
                index = index or read_part_index(part)
                found[row["file_name"]] = index.origins[index.origin_of[number]]
    return found
