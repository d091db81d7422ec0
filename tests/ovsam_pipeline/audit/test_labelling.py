import pytest

from ovsam_pipeline.audit.config import AuditConfig
from ovsam_pipeline.audit.labelling import ASKED, FOUND, build_label_config
from ovsam_pipeline.evaluation.datasets import Dataset
from ovsam_pipeline.settings.label import LabelConfig


def build(tmp_path, kind, **settings):
    config = AuditConfig(dataset=("d.json",), **settings)
    dataset = Dataset("d", tmp_path / "d.json", tmp_path, "coco", False)
    return build_label_config(config, dataset, tmp_path / "audit", kind)


def test_what_is_found_is_even_doubtful(tmp_path) -> None:
    labelling = build(tmp_path, FOUND, detector="nano", max_det=50)
    assert (labelling.detector, labelling.conf, labelling.max_det) == ("nano", 0.05, 50)
    assert (labelling.vocabulary, labelling.output) == ("coco", str(tmp_path / "audit/found"))


def test_boxes_are_asked_about_with_the_models_own_names(tmp_path) -> None:
    labelling = build(tmp_path, ASKED, labels="fused", conf=0.3, iou=0.7, batch=2)
    assert labelling.detector == f"gt:{tmp_path / 'd.json'}"
    assert (labelling.labels, labelling.batch) == ("model", 2)
    # Limits of boxes that were given would be told as without effect.
    plain = LabelConfig(sources=("d.json",))
    assert (labelling.conf, labelling.iou, labelling.max_det) == (
        plain.conf, plain.iou, plain.max_det,
    )  # fmt: skip


@pytest.mark.parametrize("model", ["sam-h", "sam-b"])
def test_a_sam_alone_has_masks_for_the_boxes_and_no_names(tmp_path, model) -> None:
    assert build(tmp_path, ASKED, model=model).labels == "detector"
