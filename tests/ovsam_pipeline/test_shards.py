from pathlib import Path

import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.records import ImageRecord, LabelRecord, compute_image_id
from ovsam_pipeline.shards import DoneImage, compute_key, compute_part_name, plan_run


def make_image(name: str, mtime_ns: int = 1, folder: str = "/data") -> ImageRecord:
    return ImageRecord(compute_image_id(name), name, Path(folder, name), 10, mtime_ns)


def index(*images: ImageRecord, failed: tuple[str, ...] = ()) -> dict[int, DoneImage]:
    return {
        compute_key(image.file_name): DoneImage(
            compute_key(image.identity), image.file_name in failed, "part-a.parquet", position
        )
        for position, image in enumerate(images)
    }


def test_plan_of_an_empty_output_is_everything_in_listing_order():
    images = [make_image("b.jpg"), make_image("a.jpg")]
    plan = plan_run(images, {})
    assert [image.file_name for image in plan.images] == ["b.jpg", "a.jpg"]
    assert (plan.num_new, plan.num_unchanged, plan.num_listed) == (2, 0, 2)


def test_plan_leaves_unchanged_images_and_counts_removed_ones():
    old = [make_image("a.jpg"), make_image("b.jpg"), make_image("gone.jpg")]
    plan = plan_run([*old[:2], make_image("new.jpg")], index(*old))
    assert [image.file_name for image in plan.images] == ["new.jpg"]
    assert (plan.num_unchanged, plan.num_removed, plan.num_listed) == (2, 1, 3)
    assert not plan.stale


def test_plan_labels_a_changed_image_again_and_names_its_old_row():
    old = [make_image("a.jpg"), make_image("b.jpg")]
    plan = plan_run([old[0], make_image("b.jpg", mtime_ns=2)], index(*old))
    assert [image.file_name for image in plan.images] == ["b.jpg"]
    assert plan.stale == {"part-a.parquet": frozenset({1})}
    assert plan.num_changed == 1


@pytest.mark.parametrize(("retry", "expected"), [(False, []), (True, ["b.jpg"])])
def test_failed_images_are_tried_again_only_when_asked(retry, expected):
    old = [make_image("a.jpg"), make_image("b.jpg")]
    plan = plan_run(old, index(*old, failed=("b.jpg",)), retry_failed=retry)
    assert [image.file_name for image in plan.images] == expected
    assert (plan.num_failed_before, plan.num_retried) == ((0, 1) if retry else (1, 0))


def test_an_image_listed_twice_is_labelled_once():
    assert len(plan_run([make_image("a.jpg"), make_image("a.jpg")], {}).images) == 1


def test_two_files_of_one_name_are_refused():
    images = [make_image("a.jpg", folder="/one"), make_image("a.jpg", folder="/two")]
    with pytest.raises(ConfigError, match=r"different images named 'a.jpg'"):
        plan_run(images, {})


def test_two_images_of_one_id_are_refused():
    images = [ImageRecord(7, "a.jpg", Path("/a.jpg")), ImageRecord(7, "b.jpg", Path("/b.jpg"))]
    with pytest.raises(ConfigError, match="same image id 7"):
        plan_run(images, {})


def test_images_inside_the_output_are_not_sources():
    images = [make_image("a.jpg"), make_image("out/preview/a.jpg")]
    plan = plan_run(images, {}, output_folder=Path("/data/out"))
    assert [image.file_name for image in plan.images] == ["a.jpg"]


def test_part_name_depends_on_images_and_settings_not_on_their_order():
    rows = [LabelRecord.failed(make_image(name), "bad") for name in ("a.jpg", "b.jpg")]
    assert compute_part_name(rows, "f") == compute_part_name(rows[::-1], "f")
    assert compute_part_name(rows, "f") != compute_part_name(rows, "g")
    assert compute_part_name(rows, "f") != compute_part_name(rows[:1], "f")
