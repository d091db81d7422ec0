"""Exports of what is certified: objects up to a risk, and what people said."""

import pytest
from reviewed_rows import answer, draw_mask, make_labelled, make_row, write_output

from ovsam.errors import ConfigError
from ovsam_pipeline.export.labels import LabelChoice, iterate_labelled
from ovsam_pipeline.output.reviews import append_answers

BOXES = [(left, 0, 8, 8) for left in range(0, 50, 10)]


def collect(output, max_risk):
    choice = LabelChoice(max_risk=max_risk)
    return [
        [round(item["risk"], 3) for item in image.objects if item["risk"] is not None]
        for image in iterate_labelled(output, choice, ("segmentation",))
    ]


def test_objects_of_more_risk_and_of_unknown_risk_go_and_reviewed_ones_stay(tmp_path):
    risks = (0.1, 0.25, 0.3, 0.9, None)
    objects = [make_labelled(box, risk=risk) for box, risk in zip(BOXES, risks, strict=True)]
    output = write_output(tmp_path, make_row("a.jpg", *objects), make_row("b.jpg", image_id=2))
    assert collect(output, 0.25) == [[0.1, 0.25], []]
    assert collect(output, 0.0) == [[], []]
    append_answers(output, [answer(reviewed=draw_mask(*BOXES[3]))])
    assert collect(output, 0.25) == [[0.1, 0.25, 0.9], []]


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_a_risk_that_is_none_is_refused(value):
    with pytest.raises(ConfigError, match=r"expected --max-risk in 0\.\.1"):
        LabelChoice(max_risk=value)
