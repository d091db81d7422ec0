import json

import pytest
from seven_masks import HEIGHT, WIDTH, make_seven_masks

from ovsam.errors import ConfigError
from ovsam.masks import encode_mask
from ovsam_pipeline.export.labels import LabelledImage
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.review_tasks import ReviewTask
from ovsam_pipeline.outcomes import Reasons
from ovsam_pipeline.review.editors.reading import EDITOR_FORMATS, read_editor_file
from ovsam_pipeline.review.editors.writing import write_editor_folder


class NoFiles:
    """Pictures that are all there, and are not needed."""

    def put(self, image, target):
        return image.file_name != "gone.png"

    def find(self, image):
        raise FileNotFoundError


def make_task(name, *categories):
    mask = encode_mask(make_seven_masks()["donut"])
    objects = tuple(
        {
            "key": f"{number:016x}",
            "category": category,
            "score": 0.5,
            "risk": 0.25 * number,
            "reason": "mask unstable" if number else None,
            "segmentation": mask,
            "bbox": [0, 0, 1, 1],
        }
        for number, category in enumerate(categories)
    )
    task = ReviewTask("b7", 1, name, WIDTH, HEIGHT, objects, ("cat", "dog"), "nano", None, None)
    return task, LabelledImage(1, name, WIDTH, HEIGHT, [])


def write(folder, editor, *tasks):
    summary = ExportSummary()
    options = ExportOptions()
    write_editor_folder(editor, tasks, ("cat", "dog"), folder, NoFiles(), options, summary)
    return summary


@pytest.mark.parametrize("editor", EDITOR_FORMATS)
def test_keys_and_batches_come_back_in_the_order_of_the_tasks(tmp_path, editor):
    tasks = [make_task("x/b.png", "dog"), make_task("a.png", "cat", "dog"), make_task("gone.png")]
    summary = write(tmp_path, editor, *tasks)
    assert (summary.images, summary.objects) == (2, 3)
    path = tmp_path
    if editor == "label-studio":
        path = tmp_path / "tasks.json"
        submitted = json.loads(path.read_text())
        assert submitted[1]["predictions"][0]["result"][1]["meta"]["text"] == [
            "risk 0.25: mask unstable"
        ]
        for task in submitted:
            task["annotations"] = task.pop("predictions")
        path.write_text(json.dumps(submitted))
    images = list(read_editor_file(path, Reasons(), editor))
    assert [image.file_name for image in images] == ["x/b.png", "a.png"]
    assert [image.batch for image in images] == ["b7", "b7"]
    left = {(item.category, item.key) for item in images[1].objects}
    assert left == {("cat", "0" * 16), ("dog", "0" * 15 + "1")}
    mask = encode_mask(make_seven_masks()["donut"])
    assert all(item.segmentation == mask for image in images for item in image.objects)


def test_an_editor_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match="label-studio, cvat, coco, fiftyone, got 'paint'"):
        write(tmp_path, "paint")
