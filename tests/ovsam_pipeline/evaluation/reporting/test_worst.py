from dataclasses import replace

import cv2
import numpy as np
from build_tables import build_predictions
from evaluation_example import CAT, SIDE, item_of, make_example, make_predictions, make_truth

from ovsam_pipeline.evaluation.reporting.cases import choose_instances, choose_matches, choose_worst
from ovsam_pipeline.evaluation.reporting.worst import draw_cases, write_cases
from ovsam_pipeline.evaluation.scoring.matching import match_predictions


def make_images(folder):
    paths = [folder / "10.png", folder / "20.png"]
    for path in paths:
        cv2.imwrite(str(path), np.full((SIDE, SIDE, 3), 128, np.uint8))
    return paths


def draw_worst(folder, truth, predictions, instances, find_image):
    worst = choose_worst(truth, predictions, instances, None, 20)
    return list(draw_cases(folder, truth, worst, find_image))


def test_lowest_iou_comes_first_and_of_equals_the_wrong_name() -> None:
    truth, predictions, _, instances = make_example()
    instances = replace(instances, ious=np.array([0.0, 0.0, 0.5]))
    words = [case.words for case in choose_instances(truth, predictions, instances, 20)]
    assert words == [
        "IoU 0.00: dog, small, predicted cat 0.80",
        "IoU 0.00: cat, predicted cat 0.90",
        "IoU 0.50: cat, predicted cat 0.70",
    ]


def test_detections_are_surest_mistakes_and_largest_misses_half_each() -> None:
    truth = make_truth()
    predictions = make_predictions(truth)
    matches = match_predictions(truth, predictions, "segm")
    cases = choose_matches(truth, predictions, matches, 2)
    assert [case.words for case in cases] == [
        "wrong: cat 0.80; nearest: dog, small, IoU of boxes 1.00",
        "missed: dog, small",
    ]
    assert (cases[0].truth_row, cases[0].prediction_row) == (1, 1)
    assert len(choose_matches(truth, predictions, matches, 1)) == 1


def test_the_largest_miss_comes_first() -> None:
    truth = make_truth()
    predictions = build_predictions([], truth)
    matches = match_predictions(truth, predictions, "bbox")
    cases = choose_matches(truth, predictions, matches, 6)
    assert [case.truth_row for case in cases] == [1, 0, 2]


def test_a_mistake_that_touches_no_annotation_stands_alone() -> None:
    truth = make_truth()
    predictions = build_predictions([item_of(20, CAT, [60, 60, 9, 9], score=0.5)], truth)
    matches = match_predictions(truth, predictions, "segm")
    case = choose_matches(truth, predictions, matches, 1)[0]
    assert (case.words, case.truth_row) == ("wrong: cat 0.50", None)


def test_pictures_show_both_outlines(tmp_path) -> None:
    truth, predictions, _, instances = make_example()
    images = make_images(tmp_path)
    paths = draw_worst(tmp_path / "worst", truth, predictions, instances, lambda i: images[i])
    assert [path.name for path in paths] == ["01.jpg", "02.jpg", "03.jpg"]
    blue, green, red = cv2.imread(str(paths[0])).astype(int).transpose(2, 0, 1)
    assert ((blue > 220) & (green > 220) & (red > 220)).any()
    assert ((red - blue > 100) & (green > 80)).any()


def test_a_page_lists_the_pictures_with_ids_and_escaped_names(tmp_path) -> None:
    truth, predictions, _, instances = make_example()
    truth = replace(truth, file_names=("<b>.png", "20.png"))
    images = make_images(tmp_path)
    worst = choose_worst(truth, predictions, instances, None, 20)
    heading = ("The {count} worst <i>", "All in all <b>.")
    write_cases(tmp_path / "w", truth, worst, lambda i: images[i], heading)
    page = (tmp_path / "w" / "index.html").read_text()
    rows = page.split("<tr>")[2:]
    assert len(rows) == 3
    assert "01.jpg" in rows[0]
    assert (
        "<td>IoU 0.50: cat, predicted cat 0.70</td><td>20</td><td>3</td><td>20.png</td>" in rows[0]
    )
    assert "&lt;b&gt;.png" in page
    assert "<b>" not in page
    assert "<h1>The 3 worst &lt;i&gt;</h1>" in page


def test_images_that_cannot_be_read_are_passed_over(tmp_path) -> None:
    truth, predictions, _, instances = make_example()
    images = make_images(tmp_path)
    images[0].write_bytes(b"no picture")
    found = {0: images[0], 1: images[1]}
    paths = draw_worst(tmp_path / "w", truth, predictions, instances, found.get)
    assert [path.name for path in paths] == ["01.jpg"]
    worst = choose_worst(truth, predictions, instances, None, 20)
    assert not write_cases(tmp_path / "v", truth, worst, lambda _: None, ("", ""))
    assert not list((tmp_path / "v").iterdir())


def test_boxes_without_masks_and_beyond_the_image_are_drawn(tmp_path) -> None:
    truth = make_truth()
    results = [
        {k: v for k, v in item_of(10, CAT, box, score=0.5).items() if k != "segmentation"}
        for box in ([-300, -300, 10, 10], [90, 90, 400, 400], [40, 40, 0, 0])
    ]
    predictions = build_predictions(results, truth)
    matches = match_predictions(truth, predictions, "bbox")
    worst = choose_worst(truth, predictions, None, matches, 20)
    images = make_images(tmp_path)
    paths = draw_cases(tmp_path / "w", truth, worst, lambda i: images[i])
    assert len(paths) == 6


def test_long_names_do_not_widen_the_picture(tmp_path) -> None:
    truth, predictions, _, instances = make_example()
    images = make_images(tmp_path)
    short = draw_worst(tmp_path / "a", truth, predictions, instances, lambda i: images[i])
    truth = replace(truth, file_names=("x" * 300 + ".png",) * 2)
    long = draw_worst(tmp_path / "b", truth, predictions, instances, lambda i: images[i])
    assert [cv2.imread(str(p)).shape for p in short] == [cv2.imread(str(p)).shape for p in long]
