import threading
from pathlib import Path

import numpy as np
import pytest
from fake_labeller import NAMES, FakeDetector, FakePredictor, make_box_finder, make_labeller
from pycocotools import mask as coco_mask

from ovsam.errors import ImageError, PromptError
from ovsam.structures import Prompts
from ovsam.text.vocabulary import Vocabulary
from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.labelling.label_images import label_images
from ovsam_pipeline.labelling.rules import ALL_CLASSES, RELEASED_POINTS, LabelRules
from ovsam_pipeline.labelling.stats import ShardStats
from ovsam_pipeline.records import ImageRecord, compute_image_id


def make_image(name: str) -> ImageRecord:
    return ImageRecord(compute_image_id(name), name, Path(name), 1, 1)


def decode(record: ImageRecord, warn=None, admit=None) -> np.ndarray:
    if "damaged" in record.file_name:
        raise ImageError("truncated")
    if "decoder_bug" in record.file_name:
        raise ZeroDivisionError("oops")
    return np.full((20, 40, 3), compute_image_id(record.file_name) % 200, np.uint8)


def make_rules(**changes) -> LabelRules:
    return LabelRules(Vocabulary(NAMES), **changes)


def run(names, labeller=None, **options):
    labeller = labeller or make_labeller(decode=decode)
    return list(label_images([make_image(name) for name in names], labeller, **options))


def test_every_image_gives_one_row_in_order():
    names = [f"{index}.jpg" for index in range(30)]
    rows = run(names)
    assert [row.file_name for row in rows] == names
    assert {row.status for row in rows} == {"labelled"}
    assert rows[0].identity == make_image("0.jpg").identity


def test_row_of_a_labelled_image_holds_boxes_masks_and_both_opinions():
    (row,) = run(["a.jpg"])
    first, second = row.objects
    assert (row.width, row.height) == (40, 20)
    assert first.bbox == (0, 0, 20, 10)
    assert first.category != second.category
    assert (first.prompt.detector_category, second.prompt.detector_category) == ("cat", "wolf")
    assert (first.score, first.prompt.detector_score) == (0.75, pytest.approx(0.9))
    assert coco_mask.area(first.segmentation) == first.area == 200


def test_no_image_is_decoded_twice():
    decoded = []

    def count(record, warn=None, admit=None):
        decoded.append(record)
        return decode(record)

    run(["a", "b", "c"], make_labeller(decode=count, batch=2))
    assert len(decoded) == 3


def test_image_without_boxes_is_empty_and_costs_no_encoding():
    labeller = make_labeller(decode=decode)
    rows = run(["empty.jpg", "a.jpg"], labeller)
    assert [row.status for row in rows] == ["empty", "labelled"]
    assert (rows[0].width, rows[0].height) == (40, 20)
    assert labeller.mode.predictor.encoded == 1


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(
    ("name", "error", "width"),
    [
        ("damaged.jpg", "truncated", None),
        ("decoder_bug.jpg", "internal error: ZeroDivisionError: oops", None),
        ("detector_bug.jpg", "internal error: KeyError: 'no such thing'", 40),
    ],
)
def test_one_failing_image_leaves_its_neighbours_alone(name, error, width, batch):
    labeller = make_labeller(decode=decode, batch=batch)
    rows = run(["a.jpg", name, "b.jpg", "c.jpg"], labeller)
    assert [row.status for row in rows] == ["labelled", "failed", "labelled", "labelled"]
    assert (rows[1].error, rows[1].width) == (error, width)


def test_refused_prompt_is_a_failed_row_that_says_so():
    class Refusing(FakePredictor):
        def segment(self, encoded, prompts, *, masks="rle", clip_boxes_xyxy=None):
            raise PromptError("a box must overlap the image")

    (row,) = run(["a.jpg"], make_labeller(decode=decode, predictor=Refusing()))
    assert row.error == "the networks refused it: a box must overlap the image"


def test_batch_too_large_for_memory_is_halved_until_it_fits():
    predictor = FakePredictor(largest_batch=2)
    labeller = make_labeller(decode=decode, predictor=predictor, batch=8)
    assert {row.status for row in run([str(i) for i in range(8)], labeller)} == {"labelled"}


def test_image_too_large_for_memory_is_a_failed_row():
    predictor = FakePredictor(largest_batch=0)
    (row,) = run(["a"], make_labeller(decode=decode, predictor=predictor))
    assert row.error.startswith("out of memory")


def test_a_bug_is_logged_with_its_traceback(caplog):
    run(["detector_bug.jpg"])
    (record,) = caplog.records
    assert record.exc_info[0] is KeyError
    assert "detector_bug.jpg" in record.getMessage()


def test_overlapping_stages_give_the_same_rows():
    names = [f"{index}.jpg" for index in range(12)]
    plain = run(names, make_labeller(decode=decode, batch=1))
    assert run(names, make_labeller(decode=decode, batch=5, is_overlapping=True)) == plain


def test_stop_finishes_what_is_in_hand_and_leaves_the_rest():
    stop = threading.Event()
    names = [str(index) for index in range(200)]
    rows = []
    images = (make_image(name) for name in names)
    for row in label_images(images, make_labeller(decode=decode), stop=stop):
        rows.append(row)
        stop.set()
    assert 1 <= len(rows) < 20
    assert [row.file_name for row in rows] == names[: len(rows)]


def test_images_are_read_only_a_little_ahead():
    listed = []
    images = (listed.append(name) or make_image(name) for name in map(str, range(500)))
    rows = label_images(images, make_labeller(decode=decode))
    next(rows)
    threading.Event().wait(0.1)
    assert len(listed) < 20
    rows.close()
    assert not any(thread.name.startswith("ovsam") for thread in threading.enumerate())


def test_huge_images_are_decoded_one_at_a_time(monkeypatch):
    monkeypatch.setattr("ovsam_pipeline.labelling.label_images._MOST_HELD_BYTES", 1000)
    held, most = set(), []

    class Slow(FakeDetector):
        def detect(self, images):
            threading.Event().wait(0.02)
            held.difference_update(record.file_name for record, _ in images)
            return super().detect(images)

    def decode_huge(record, warn=None, admit=None):
        held.add(record.file_name)
        most.append(len(held))
        return decode(record)

    labeller = make_labeller(decode=decode_huge, detector=Slow(), workers=8)
    assert len(run([str(index) for index in range(20)], labeller)) == 20
    # Eight at once before any size is known; a few wait in the queue, none is added to them.
    assert max(most[12:]) <= 5


@pytest.mark.parametrize(("batch", "is_overlapping"), [(1, False), (3, True)])
def test_decoders_share_a_budget_and_the_next_image_never_waits(monkeypatch, batch, is_overlapping):
    """Images of 1 to 9 thousand bytes; one alone may be larger than the budget."""
    module = "ovsam_pipeline.labelling.label_images"
    monkeypatch.setattr(f"{module}._MOST_HELD_BYTES", 8000)
    monkeypatch.setattr(f"{module}._MOST_BATCH_BYTES", 4000)
    decoding, most, guard = [0], [], threading.Lock()

    def decode_slowly(record, warn=None, admit=None):
        size = 1000 + 4000 * (record.image_id % 3)
        admit(size // 8)
        with guard:
            decoding[0] += size
            most.append(decoding[0])
        threading.Event().wait(0.002)
        with guard:
            decoding[0] -= size
        if record.image_id % 5 == 0:
            raise ImageError("damaged")
        return decode(record)

    labeller = make_labeller(
        decode=decode_slowly, workers=8, batch=batch, is_overlapping=is_overlapping
    )
    names = [str(index) for index in range(60)]
    assert [row.file_name for row in run(names, labeller)] == names
    # What there is room for, and the next image on top of it.
    assert max(most) <= 8000 + 9000


def test_error_of_the_listing_is_not_swallowed():
    def broken():
        yield make_image("a")
        raise PermissionError("folder")

    with pytest.raises(PermissionError, match="folder"):
        list(label_images(broken(), make_labeller(decode=decode)))


def test_duplicate_boxes_are_dropped_and_counted():
    class Doubling(FakeDetector):
        def detect(self, images):
            boxes = np.array([[0, 0, 20, 10], [0, 0, 20, 10.5]], np.float32)
            return [Detections(boxes, np.array([0.5, 0.9], np.float32)) for _ in images]

    stats = ShardStats()
    (row,) = run(["a"], make_labeller(decode=decode, detector=Doubling()), stats=stats)
    assert [item.prompt.detector_score for item in row.objects] == [pytest.approx(0.9)]
    assert stats.dropped == {"duplicate": 1}
    assert set(stats.seconds) == {"decode", "detect", "segment"}


@pytest.mark.parametrize("stops_at_boxes", [False, True])
def test_boxes_outside_the_image_are_dropped_and_counted_and_others_clipped(stops_at_boxes):
    class Straying(FakeDetector):
        def detect(self, images):
            boxes = np.array([[50, 0, 60, 9], [-9, -3, 20, 10], [30, 5, 30, 9]], np.float32)
            scores = np.array([0.9, 0.8, 0.7], np.float32)
            return [Detections(boxes, scores) for _ in images]

    make = make_box_finder if stops_at_boxes else make_labeller
    stats = ShardStats()
    (row,) = run(["a"], make(decode=decode, detector=Straying()), stats=stats)
    assert [item.to_row()["detector_box_xyxy"] for item in row.objects] == [(0, 0, 20, 10)]
    assert stats.dropped == {"outside the image": 1, "no area": 1}


def test_of_two_boxes_with_the_same_mask_the_better_one_stays():
    class Halving(FakeDetector):
        def detect(self, images):
            boxes = np.array([[0, 0, 20, 20], [0, 0, 20, 8], [20, 0, 40, 20]], np.float32)
            return [Detections(boxes, np.array([0.5, 0.9, 0.4], np.float32)) for _ in images]

    class OneObject(FakePredictor):
        def segment(self, encoded, prompts, *, masks="rle", clip_boxes_xyxy=None):
            whole = np.where(prompts.boxes_xyxy[:, :1] < 20, [[0, 0, 20, 18]], prompts.boxes_xyxy)
            return super().segment(encoded, Prompts(whole.astype(np.float32)), masks=masks)

    stats = ShardStats()
    labeller = make_labeller(decode=decode, detector=Halving(), predictor=OneObject())
    (row,) = run(["a"], labeller, stats=stats)
    scores = [item.prompt.detector_score for item in row.objects]
    assert scores == [pytest.approx(0.9), pytest.approx(0.4)]
    assert stats.dropped["duplicate mask"] == 1
    labeller = make_labeller(
        decode=decode, detector=Halving(), predictor=OneObject(), rules=make_rules(iou=None)
    )
    assert len(run(["a"], labeller)[0].objects) == 3


def test_points_of_a_detector_are_the_prompts():
    seen = []

    class Pointing(FakeDetector):
        def detect(self, images):
            boxes, point = np.array([[0, 0, 9, 9]], np.float32), np.array([[4, 5]], np.float32)
            return [Detections(boxes, np.ones(1, np.float32), points_xy=point) for _ in images]

    class Watching(FakePredictor):
        def segment(self, encoded, prompts, *, masks="rle", clip_boxes_xyxy=None):
            seen.append((prompts.boxes_xyxy, prompts.points_xy.tolist()))
            raise PromptError("seen")

    labeller = make_labeller(decode=decode, detector=Pointing(), predictor=Watching())
    run(["a"], labeller)
    assert seen == [(None, [[[4.0, 5.0]]])]


def test_only_asked_classes_come_out():
    stats = ShardStats()
    labeller = make_labeller(decode=decode, rules=make_rules(kept=frozenset({0})))
    rows = run([str(index) for index in range(9)], labeller, stats=stats)
    found = {item.category for row in rows for item in row.objects}
    assert found == {"cat"}
    assert stats.dropped["class not asked for"] > 0


@pytest.mark.parametrize(
    ("labels", "min_score", "scores", "num_dropped"),
    [
        ("model", 0.75, [0.75, 0.75], 0),  # as FakePredictor scores
        ("model", 0.76, [], 2),
        ("detector", 0.7, [0.9], 1),  # FakeDetector: 0.9 and 0.6
        ("detector", 0.0, [0.9, 0.6], 0),
    ],
)
def test_objects_whose_label_scores_too_little_are_dropped_and_counted(
    labels, min_score, scores, num_dropped
):
    stats = ShardStats()
    names = {"cat": 0, "wolf": 1}
    rules = make_rules(labels=labels, detector_labels=names, min_score=min_score)
    (row,) = run(["a"], make_labeller(decode=decode, rules=rules), stats=stats)
    assert [round(item.score, 6) for item in row.objects] == scores
    assert row.status == ("labelled" if scores else "empty")
    assert stats.dropped["label score below --min-score"] == num_dropped


def test_labels_of_the_detector_carry_its_score_and_skip_unknown_names():
    rules = make_rules(labels="detector", detector_labels={"cat": 1})
    (row,) = run(["a.jpg"], make_labeller(decode=decode, rules=rules))
    (item,) = row.objects
    assert (item.category, item.score) == ("dog", pytest.approx(0.9))


def test_ground_truth_boxes_are_all_kept():
    boxes = np.tile(np.array([[0, 0, 5, 5]], np.float32), (400, 1))
    found = Detections(boxes, np.ones(400, np.float32))
    assert len(make_rules().choose_boxes(found, (9, 9))[0]) == 1
    assert len(make_rules(iou=None, max_det=None).choose_boxes(found, (9, 9))[0]) == 400


def test_each_box_that_is_not_prompted_has_its_true_reason():
    corners = np.array([[20 * i, 0, 20 * i + 9, 9] for i in range(8)], np.float32)
    boxes = np.concatenate([corners, corners[:1]])
    scores = np.array([0.9] * 7 + [0.1, 0.8], np.float32)
    kept, dropped = make_rules(conf=0.25, max_det=5).choose_boxes(
        Detections(boxes, scores), (9, 200)
    )
    assert (len(kept), +dropped) == (5, {"below --conf": 1, "duplicate": 1, "beyond --max-det": 2})
    names = ("cat", "wolf") * 4 + ("cat",)
    found = Detections(boxes, scores, names)
    rules = make_rules(labels="detector", detector_labels={"cat": 0, "dog": 1})
    assert +rules.choose_boxes(found, (9, 200))[1] == {"class not asked for": 4, "duplicate": 1}


def test_of_a_hundred_thousand_boxes_only_the_best_are_looked_at():
    dice = np.random.default_rng(0)
    corners = dice.random((100_000, 2)).astype(np.float32) * 1000
    scores = dice.random(100_000).astype(np.float32)
    found = Detections(np.concatenate([corners, corners + 8], 1), scores)
    kept, dropped = make_rules(max_det=20).choose_boxes(found, (2000, 2000))
    assert len(kept) == 20
    assert dropped.total() == 100_000 - 20
    assert 100_000 - 200 <= dropped["beyond --max-det"] == dropped.total() - dropped["duplicate"]
    assert kept.scores.min() >= np.sort(scores)[-200]
    assert kept.scores[0] == scores.max()


def test_objects_with_an_empty_mask_are_dropped():
    class Thin(FakeDetector):
        def detect(self, images):
            boxes = np.array([[0, 0, 0.2, 9]], np.float32)
            return [Detections(boxes, np.ones(1, np.float32)) for _ in images]

    stats = ShardStats()
    (row,) = run(["a"], make_labeller(decode=decode, detector=Thin()), stats=stats)
    assert (row.status, stats.dropped["empty mask"]) == ("empty", 1)
    rules = make_rules(evaluation=ALL_CLASSES)
    (row,) = run(["a"], make_labeller(decode=decode, detector=Thin(), rules=rules))
    assert [(item.area, item.prompt.prompt_id) for item in row.objects] == [(0, None)]


def test_objects_carry_the_ids_of_their_prompts():
    class Annotated(FakeDetector):
        def detect(self, images):
            boxes = np.array([[0, 0, 9, 9], [9, 9, 20, 20]], np.float32)
            ids = np.array([70, 3], np.int64)
            return [Detections(boxes, np.ones(2, np.float32), prompt_ids=ids) for _ in images]

    (row,) = run(["a"], make_labeller(decode=decode, detector=Annotated()))
    assert [item.prompt.prompt_id for item in row.objects] == [70, 3]


def test_released_points_give_the_detectors_boxes_to_clip():
    seen = []

    class Watching(FakePredictor):
        def segment(self, encoded, prompts, *, masks="rle", clip_boxes_xyxy=None):
            seen.append(clip_boxes_xyxy)
            return super().segment(encoded, prompts, masks=masks)

    run(["a"], make_labeller(decode=decode, predictor=Watching()))
    rules = make_rules(evaluation=RELEASED_POINTS)
    run(["a"], make_labeller(decode=decode, predictor=Watching(), rules=rules))
    assert seen[0] is None
    assert seen[1][0].tolist() == [0, 0, 20, 10]
