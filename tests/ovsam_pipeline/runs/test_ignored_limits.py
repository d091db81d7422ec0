import pytest

from ovsam_pipeline.runs.run import _list_ignored
from ovsam_pipeline.settings.label import LabelConfig


def list_ignored(detector, **given):
    return _list_ignored(LabelConfig(sources=("photos",), detector=detector, **given))


@pytest.mark.parametrize(
    ("given", "words"),
    [({"max_det": 100}, "--max-det 100"), ({"iou": 1.0, "conf": 0.5}, "--conf 0.5 and --iou 1")],
)
def test_limits_that_annotations_ignore_are_told(given, words):
    (sentence,) = list_ignored("gt:set.json#points", **given)
    assert sentence == f"gt: takes every annotation as a prompt, whatever {words} may say"
    assert list_ignored("boxes:set.json", **given) == []
    assert list_ignored("gt:set.json") == []
