from pathlib import Path

import numpy as np
import pytest

from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources import spool as image_spool
from ovsam_pipeline.sources.key_set import KeySet
from ovsam_pipeline.sources.spool import ImageSpool
from ovsam_pipeline.sources.tar import TarMember


def make_images(count: int) -> list[ImageRecord]:
    return [
        ImageRecord(index, f"folder/{index}.jpg", Path(f"/data/folder/{index}.jpg"), 10, index)
        for index in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 95])
def test_spool_gives_back_what_came_in_order(count, monkeypatch):
    monkeypatch.setattr(image_spool, "CHUNK_IMAGES", 10)
    images = make_images(count)
    with ImageSpool(images) as spool:
        assert len(spool) == count
        assert list(spool) == images
        assert list(spool) == images
        assert [len(chunk) for chunk in spool.iterate_chunks()] == [10] * (count // 10) + (
            [count % 10] if count % 10 else []
        )


def test_spool_keeps_places_that_are_no_files():
    member = TarMember(Path("/data/a.tar"), "1.jpg", 512, 100)
    image = ImageRecord(1, "a.tar/1.jpg", member, version="x")
    (back,) = ImageSpool([image])
    assert back == image


def test_two_readers_and_a_writer_do_not_disturb_each_other(monkeypatch):
    monkeypatch.setattr(image_spool, "CHUNK_IMAGES", 3)
    images = make_images(30)
    spool = ImageSpool(images[:20])
    first, second = iter(spool), iter(spool)
    both = [next(first), next(second), *[next(first) for _ in range(5)]]
    for image in images[20:]:
        spool.append(image)
    assert both == [images[0], images[0], *images[1:6]]
    assert list(spool) == images


def test_many_records_go_to_a_file_and_back(monkeypatch):
    monkeypatch.setattr(image_spool, "CHUNK_IMAGES", 100)
    monkeypatch.setattr(image_spool, "_MOST_IN_MEMORY_BYTES", 2000)
    images = make_images(1000)
    spool = ImageSpool(images)
    assert spool._file._rolled
    assert list(spool) == images


def test_full_temporary_folder_is_named(monkeypatch):
    monkeypatch.setattr(image_spool, "CHUNK_IMAGES", 2)
    spool = ImageSpool()

    def refuse(data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool._file, "write", refuse)
    first, second = make_images(2)
    spool.append(first)
    with pytest.raises(OutputError, match=r"No space left on device; name a folder .* as TMPDIR"):
        spool.append(second)


@pytest.mark.parametrize("seed", range(5))
def test_key_set_knows_the_first_of_each_key(seed):
    dice = np.random.default_rng(seed)
    keys, seen = KeySet(), set()
    for _ in range(40):
        batch = dice.integers(0, 500, dice.integers(0, 60)).astype(np.uint64) << np.uint64(55)
        expected = []
        for key in batch.tolist():
            expected.append(key not in seen)
            seen.add(key)
        assert keys.add(batch).tolist() == expected
    assert len(keys) == len(seen)
