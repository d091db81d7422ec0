import random
from pathlib import Path

import numpy as np
import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.output import plan as shards
from ovsam_pipeline.output.done_index import (
    DoneIndex,
    PartIndex,
    build_done_index,
    compute_keys,
)
from ovsam_pipeline.output.parts import compute_part_name
from ovsam_pipeline.output.plan import check_images, plan_run
from ovsam_pipeline.records import ImageRecord, LabelRecord, compute_image_id
from ovsam_pipeline.sources import spool as image_spool
from ovsam_pipeline.sources.spool import ImageSpool


def make_image(name: str, mtime_ns: int = 1, folder: str = "/data") -> ImageRecord:
    return ImageRecord(compute_image_id(name), name, Path(folder, name), 10, mtime_ns)


def index(
    *images: ImageRecord,
    failed: tuple[str, ...] = (),
    transient: tuple[str, ...] = (),
    part_size: int = 99,
) -> DoneIndex:
    """The index of an output that holds rows of these images, in parts a, b, c, ..."""
    indices = {}
    for start in range(0, len(images), part_size):
        part = images[start : start + part_size]
        indices[f"part-{chr(97 + start // part_size)}.parquet"] = PartIndex(
            "f",
            compute_keys(image.file_name for image in part),
            compute_keys(image.identity for image in part),
            np.array([image.file_name in failed + transient for image in part], bool),
            np.array([image.file_name in transient for image in part], bool),
            tuple(dict.fromkeys(image.origin for image in part)),
            np.array([[*dict.fromkeys(i.origin for i in part)].index(i.origin) for i in part]),
        )
    done, doubled = build_done_index(indices)
    assert not doubled
    return done


def read_names_of(*images: ImageRecord, part_size: int = 99):
    """Return what reads the names of a part of `index`."""

    def read(part: str) -> list[str]:
        start = (ord(part[5]) - 97) * part_size
        return [image.file_name for image in images[start : start + part_size]]

    return read


def stale_of(plan) -> dict[str, list[int]]:
    return {part: positions.tolist() for part, positions in plan.stale.items()}


def test_plan_of_an_empty_output_is_everything_in_listing_order():
    images = [make_image("b.jpg"), make_image("a.jpg")]
    plan = plan_run(images, DoneIndex())
    assert [image.file_name for image in plan.images] == ["b.jpg", "a.jpg"]
    assert (plan.num_new, plan.num_unchanged, plan.num_listed) == (2, 0, 2)


def test_plan_leaves_unchanged_images_and_counts_removed_ones():
    old = [make_image("a.jpg"), make_image("b.jpg"), make_image("gone.jpg")]
    plan = plan_run([*old[:2], make_image("new.jpg")], index(*old))
    assert [image.file_name for image in plan.images] == ["new.jpg"]
    assert (plan.num_unchanged, plan.num_deleted, plan.num_listed) == (2, 1, 3)
    assert not plan.stale


def test_plan_removes_rows_of_deleted_images_when_asked():
    old = [make_image(name) for name in ("a.jpg", "gone.jpg", "b.jpg", "lost.jpg")]
    names = read_names_of(*old, part_size=3)
    plan = plan_run([old[0], old[2]], index(*old, part_size=3), prune=True, read_names=names)
    assert stale_of(plan) == {"part-a.parquet": [1], "part-b.parquet": [0]}
    assert (len(plan.images), plan.num_deleted, plan.num_pruned) == (0, 2, 2)


def test_plan_labels_a_changed_image_again_and_names_its_old_row():
    old = [make_image("a.jpg"), make_image("b.jpg")]
    plan = plan_run([old[0], make_image("b.jpg", mtime_ns=2)], index(*old))
    assert [image.file_name for image in plan.images] == ["b.jpg"]
    assert stale_of(plan) == {"part-a.parquet": [1]}
    assert plan.num_changed == 1


@pytest.mark.parametrize(("retry", "expected"), [(False, []), (True, ["b.jpg"])])
def test_failed_images_are_tried_again_only_when_asked(retry, expected):
    old = [make_image("a.jpg"), make_image("b.jpg")]
    plan = plan_run(old, index(*old, failed=("b.jpg",)), retry_failed=retry)
    assert [image.file_name for image in plan.images] == expected
    assert (plan.num_failed_before, plan.num_retried) == ((0, 1) if retry else (1, 0))


@pytest.mark.parametrize("retry", [False, True])
def test_what_failed_for_no_fault_of_the_image_is_always_tried_again(retry):
    old = [make_image(name) for name in ("a.jpg", "b.jpg", "c.jpg")]
    done = index(*old, failed=("a.jpg",), transient=("b.jpg",))
    plan = plan_run(old, done, retry_failed=retry)
    assert [image.file_name for image in plan.images] == (
        ["a.jpg", "b.jpg"] if retry else ["b.jpg"]
    )
    assert stale_of(plan) == {"part-a.parquet": [0, 1] if retry else [1]}
    assert (plan.num_failed_before, plan.num_labelled_before) == (0 if retry else 1, 1)
    assert plan.is_only_again


def test_the_row_of_a_file_that_is_not_there_now_is_kept():
    """As on a disk that is not mounted: a list still names the file, nothing is known of it."""
    old = [make_image("a.jpg"), make_image("b.jpg")]
    gone = ImageRecord(old[0].image_id, "a.jpg", old[0].path)
    plan = plan_run([gone, make_image("b.jpg", mtime_ns=2)], index(*old), prune=True)
    assert [image.file_name for image in plan.images] == ["b.jpg"]
    assert (plan.num_vanished, plan.num_unchanged, plan.num_changed) == (1, 1, 1)
    assert stale_of(plan) == {"part-a.parquet": [1]}
    # A web file is never looked at, and one without a row is tried.
    assert plan_run([gone], index(gone)).num_vanished == 0
    assert len(plan_run([gone], DoneIndex()).images) == 1


def test_an_image_listed_twice_is_labelled_once():
    assert len(plan_run([make_image("a.jpg"), make_image("a.jpg")], DoneIndex()).images) == 1


def test_two_files_of_one_name_are_refused():
    images = [make_image("a.jpg", folder="/one"), make_image("a.jpg", folder="/two")]
    with pytest.raises(ConfigError, match=r"different images named 'a.jpg'"):
        plan_run(images, DoneIndex())


def test_two_images_of_one_id_are_refused():
    images = [ImageRecord(7, "a.jpg", Path("/a.jpg")), ImageRecord(7, "b.jpg", Path("/b.jpg"))]
    with pytest.raises(ConfigError, match=r"'a.jpg' and 'b.jpg' have the same image id 7"):
        plan_run(images, DoneIndex())
    with pytest.raises(ConfigError, match="same image id 7"):
        check_images(images)


# Two pairs of names of which the ids, 53 bits of a hash, are equal; found by trying 160 million.
TWINS = [make_image("23857484.jpg"), make_image("138272027.jpg")]
OTHER_TWINS = [make_image("238098.jpg"), make_image("42244209.jpg")]


def number(images, done, **options) -> dict[str, int]:
    return {image.file_name: image.image_id for image in plan_run(images, done, **options).images}


def test_of_two_names_with_one_id_the_first_keeps_it():
    for twins in (TWINS, OTHER_TWINS):
        assert twins[0].image_id == twins[1].image_id
        ids = number([*twins, make_image("a.jpg")], DoneIndex())
        assert list(ids.values()) == [
            twins[0].image_id,
            compute_image_id(twins[1].file_name, 1),
            compute_image_id("a.jpg"),
        ]
        check_images(twins)


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_new_image_never_takes_the_id_of_a_row(is_listed):
    old, new = TWINS[1], TWINS[0]
    done = index(make_image("a.jpg"), old)
    listed = [new, old] if is_listed else [new]
    ids = number(listed, done, read_id=lambda part, position: [0, old.image_id][position])
    assert ids == {new.file_name: compute_image_id(new.file_name, 1)}


def test_a_changed_image_keeps_the_id_of_its_row():
    done = index(*TWINS)
    stored = [compute_image_id(TWINS[0].file_name, 1), TWINS[1].image_id]
    changed = [make_image(image.file_name, mtime_ns=2) for image in TWINS]
    ids = number(changed, done, read_id=lambda part, position: stored[position])
    assert list(ids.values()) == stored


def test_a_computed_id_gives_way_to_one_of_a_file():
    given = ImageRecord(TWINS[0].image_id, "given.jpg", Path("/given.jpg"))
    ids = number([TWINS[0], given], DoneIndex())
    assert ids == {
        TWINS[0].file_name: compute_image_id(TWINS[0].file_name, 1),
        "given.jpg": given.image_id,
    }
    with pytest.raises(ConfigError, match="have the same image id"):
        number([TWINS[0], given], index(TWINS[0]), read_id=lambda *_: TWINS[0].image_id)


def test_previews_of_the_output_are_no_sources():
    images = [make_image(f"{folder}a.jpg") for folder in ("", "out/photos/", "out/preview/")]
    plan = plan_run(images, DoneIndex(), output=Path("/data/x/../out"))
    assert [image.file_name for image in plan.images] == ["a.jpg", "out/photos/a.jpg"]


@pytest.mark.parametrize("seed", range(20))
def test_plan_equals_that_of_a_plain_dict(seed, monkeypatch):
    """Small chunks, so that images of one name meet over chunks as well."""
    for module in (image_spool, shards):
        monkeypatch.setattr(module, "CHUNK_IMAGES", 7)
    dice = random.Random(seed)
    names = [f"{number}.jpg" for number in range(60)]
    old = [make_image(name, dice.randint(1, 2)) for name in dice.sample(names, 40)]
    failed = tuple(image.file_name for image in old if dice.random() < 0.2)
    # An image that is listed twice is the same one both times.
    states = {name: dice.randint(1, 2) for name in names}
    now = [make_image(name, states[name]) for name in dice.choices(names, k=50)]
    retry, prune = dice.random() < 0.5, dice.random() < 0.5
    plan = plan_run(
        ImageSpool(now),
        index(*old, failed=failed, part_size=9),
        retry_failed=retry,
        prune=prune,
        read_names=read_names_of(*old, part_size=9),
    )
    rows = {image.file_name: (image.identity, place) for place, image in enumerate(old)}
    listed = {image.file_name: image for image in now}
    todo, stale = [], set()
    for name, image in listed.items():
        identity, place = rows.get(name, (None, -1))
        if identity != image.identity or (retry and name in failed):
            todo.append(image)
            stale |= {place} - {-1}
    gone = {place for name, (_, place) in rows.items() if name not in listed}
    if prune:
        stale |= gone
    assert list(plan.images) == todo
    assert plan.num_deleted == len(gone)
    assert plan.num_listed == len(listed)
    assert plan.num_new + plan.num_changed + plan.num_retried == len(todo)
    found = {
        (ord(part[5]) - 97) * 9 + position
        for part, positions in plan.stale.items()
        for position in positions.tolist()
    }
    assert found == stale


def name_part(rows, fingerprint: str) -> str:
    return compute_part_name((row.identity for row in rows), fingerprint)


def test_part_name_depends_on_images_and_settings_not_on_their_order():
    rows = [LabelRecord.failed(make_image(name), "bad") for name in ("a.jpg", "b.jpg")]
    assert name_part(rows, "f") == name_part(rows[::-1], "f")
    assert name_part(rows, "f") != name_part(rows, "g")
    assert name_part(rows, "f") != name_part(rows[:1], "f")
