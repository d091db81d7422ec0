import numpy as np

from ovsam_pipeline.evaluation.reading.segment_store import SegmentStore
from ovsam_pipeline.evaluation.structures import Problems

COMPRESSED = {"size": [4, 6], "counts": b"52[0"}
RUNS = {"size": [2, 2], "counts": [1, 3]}
POLYGONS = [[1.5, 2, 3, 4, 5, 6], [0, 0, 1, 0, 1, 1]]


def make_store(*rows):
    store = SegmentStore()
    for row in rows:
        is_compressed = row is COMPRESSED
        store.append_many([{**row, "counts": row["counts"].decode()} if is_compressed else row])
    return store


def test_every_kind_of_segmentation_comes_out_as_it_went_in() -> None:
    store = make_store(COMPRESSED, None, POLYGONS, RUNS)
    assert [store.read(row) for row in range(4)] == [COMPRESSED, None, POLYGONS, RUNS]
    assert len(store) == 4


def test_rows_come_in_the_order_asked_for_and_minus_one_is_none() -> None:
    store = make_store(COMPRESSED, POLYGONS)
    assert store.read_many(np.array([1, -1, 0, 1])) == [POLYGONS, None, COMPRESSED, POLYGONS]


def test_rows_can_be_added_after_reading() -> None:
    store = make_store(COMPRESSED)
    assert store.read(0) == COMPRESSED
    store.append_many([POLYGONS])
    assert store.read_many(np.arange(2)) == [COMPRESSED, POLYGONS]


def test_a_store_of_nothing_can_be_read() -> None:
    assert make_store().read_many(np.zeros(0, np.int64)) == []
    assert make_store(None).read(0) is None


def test_problems_are_counted_and_the_first_three_named() -> None:
    problems = Problems()
    problems.add("boxes are odd", ["image 1", "image 2"])
    problems.add("boxes are odd", ["image 3", "image 4"], count=7)
    problems.add("masks are odd", [])
    assert problems.describe() == ["9 boxes are odd, such as image 1; image 2; image 3"]
