import numpy as np
import pytest

from ovsam.errors import ImageError, PromptError
from ovsam.structures import PreparedImage, Prompts


def test_prompts_accept_lists_and_become_float32() -> None:
    prompts = Prompts(boxes_xyxy=[[1, 2, 3, 4]])
    assert len(prompts) == 1
    assert prompts.boxes_xyxy.dtype == np.float32


def test_points_of_one_per_object_get_labels_of_one() -> None:
    prompts = Prompts(points_xy=[[5, 6], [7, 8]])
    assert prompts.points_xy.shape == (2, 1, 2)
    assert prompts.point_labels.tolist() == [[1], [1]]


def test_no_prompts_at_all_is_an_empty_set() -> None:
    assert len(Prompts(boxes_xyxy=[])) == 0


@pytest.mark.parametrize("points", [[], np.zeros((0, 2)), np.zeros((0, 3, 2))])
def test_no_points_at_all_are_an_empty_set(points) -> None:
    prompts = Prompts(points_xy=points)
    assert len(prompts) == 0
    assert prompts.point_labels.shape == prompts.points_xy.shape[:2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs boxes_xyxy, points_xy or both"),
        ({"boxes_xyxy": [[1, 2, 3]]}, r"shape \(N, 4\), got \(1, 3\)"),
        ({"boxes_xyxy": [[5, 2, 3, 4]]}, "x1 <= x2 and y1 <= y2.*row 0"),
        ({"boxes_xyxy": [[0, 0, 1, 1], [0, 0, np.nan, 4]]}, "finite numbers.*row 1"),
        ({"points_xy": [[[1, 2, 3]]]}, r"shape \(N, P, 2\)"),
        ({"points_xy": [[1, 2]], "point_labels": [[1, 0]]}, "point_labels must have shape"),
        ({"points_xy": [[1, 2]], "point_labels": [[3]]}, "must be 1, 0 or -1"),
        ({"points_xy": [[1, 2]], "point_labels": [[0.5]]}, r"must be 1, 0 or -1.*0\.5"),
        ({"points_xy": [[1, 2]], "point_labels": [["in"]]}, r"point_labels must be numbers"),
        ({"points_xy": [[1, 2], [3]]}, r"points_xy must be numbers of shape \(N, P, 2\)"),
        ({"boxes_xyxy": [[1, 2, 3, 4], [1, 2]]}, r"must be numbers of shape \(N, 4\)"),
        ({"boxes_xyxy": "1,2,3,4"}, r"must be numbers of shape \(N, 4\)"),
        (
            {"boxes_xyxy": [[0, 0, 1, 1]], "mask_logits": np.full((1, 4, 4), np.inf)},
            "mask_logits must be finite",
        ),
        ({"boxes_xyxy": [[0, 0, 1, 1]], "mask_logits": "x"}, r"must be numbers.*\(N, S, S\)"),
        ({"point_labels": [[1]], "boxes_xyxy": [[0, 0, 1, 1]]}, "point_labels need points_xy"),
        ({"boxes_xyxy": [[0, 0, 1, 1]], "points_xy": [[1, 2], [3, 4]]}, r"counts \[1, 2\]"),
        ({"boxes_xyxy": [[0, 0, 1, 1]], "mask_logits": np.zeros((1, 4, 5))}, r"\(N, S, S\)"),
    ],
)
def test_bad_prompts_are_refused_with_what_came(arguments, message) -> None:
    with pytest.raises(PromptError, match=message):
        Prompts(**arguments)


def test_prepared_image_must_fit_the_input() -> None:
    with pytest.raises(ImageError, match="must fit 8 pixels"):
        PreparedImage(np.zeros((9, 4, 3), np.uint8), (9, 4), 8)


def test_prepared_image_must_be_uint8_rgb() -> None:
    with pytest.raises(ImageError, match=r"\(H, W, 3\) uint8 RGB, got \(4, 4, 3\) float32"):
        PreparedImage(np.zeros((4, 4, 3), np.float32), (4, 4), 8)
