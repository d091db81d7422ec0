import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

from ovsam.errors import CheckpointError, ImageError, PromptError, VocabularyError
from ovsam.model import boxes_of_masks
from ovsam.predictor import Predictor
from ovsam.preprocess import prepare_image
from ovsam.structures import Prompts
from ovsam.text.vocabulary import Vocabulary
from ovsam.training.steps.model_parts import add_fine_masks


@pytest.fixture
def predictor(tiny_model, tiny_vocabulary) -> Predictor:
    return Predictor(tiny_model, tiny_vocabulary)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (40, 56, 3), dtype=np.uint8)


BOXES = np.array([[2, 3, 30, 35], [10, 10, 50, 20], [0, 0, 56, 40]], np.float32)


def test_boxes_give_masks_and_labels_of_the_documented_shapes(predictor, image) -> None:
    predictor.set_image(image)
    prediction = predictor.predict(boxes_xyxy=BOXES)
    assert prediction.masks.shape == (3, 40, 56)
    assert prediction.low_res_logits.shape == (3, 16, 16)
    assert prediction.head_logits.shape == prediction.clip_logits.shape == (3, 6)
    assert ((prediction.scores >= 0) & (prediction.scores <= 1)).all()
    assert set(prediction.labels) <= {0, 1, 2, 3}, "class 4 is in neither set of the split"
    assert prediction.areas.tolist() == prediction.masks.sum(axis=(1, 2)).tolist()


@pytest.mark.parametrize(
    "prompts",
    [
        {"boxes_xyxy": BOXES},
        {"points_xy": BOXES[:, :2] + 3},
        {
            "points_xy": np.repeat(BOXES[:, None, 2:] - 4, 3, axis=1),
            "point_labels": [[1, 1, 0]] * 3,
        },
        {"boxes_xyxy": BOXES, "points_xy": BOXES[:, :2] + 3},
        {"boxes_xyxy": BOXES, "mask_logits": np.ones((3, 16, 16), np.float32)},
    ],
    ids=["boxes", "points", "several points", "box + point", "box + mask"],
)
def test_chunked_prompts_equal_prompts_one_by_one(predictor, image, prompts, monkeypatch) -> None:
    encoded = predictor.encode([prepare_image(image, 64)])[0]
    together = predictor.segment(encoded, Prompts(**prompts), masks="full")
    monkeypatch.setattr("ovsam.predictor._CELLS_PER_CHUNK", {"cpu": 1})
    chunked = predictor.segment(encoded, Prompts(**prompts), masks="full")
    np.testing.assert_allclose(chunked.low_res_logits, together.low_res_logits, atol=1e-5)
    np.testing.assert_allclose(chunked.fused_logits, together.fused_logits, atol=1e-4)


def test_a_batch_of_images_equals_each_alone(tiny_model, tiny_vocabulary, image) -> None:
    add_fine_masks(tiny_model)
    for parameter in tiny_model.mask_decoder.fine_masks.parameters():
        torch.nn.init.normal_(parameter)
    predictor = Predictor(tiny_model, tiny_vocabulary)
    images = [prepare_image(image, 64), prepare_image(image[::-1, :30].copy(), 64)]
    batch = predictor.encode(images)
    for one, encoded in zip(images, batch, strict=True):
        alone = predictor.encode([one])[0]
        torch.testing.assert_close(encoded.features, alone.features, atol=1e-5, rtol=1e-4)
        assert encoded.original_size_hw == one.original_size_hw


def test_rle_and_full_masks_agree(predictor, image) -> None:
    encoded = predictor.encode([prepare_image(image, 64)])[0]
    prediction = predictor.segment(encoded, Prompts(boxes_xyxy=BOXES), masks="both")
    for mask, rle in zip(prediction.masks, prediction.rles, strict=True):
        assert (coco_mask.decode(rle) == mask).all()


def test_labels_without_masks_are_the_same_labels(predictor, image) -> None:
    encoded = predictor.encode([prepare_image(image, 64)])[0]
    prompts = Prompts(boxes_xyxy=BOXES)
    both, none = (predictor.segment(encoded, prompts, masks=form) for form in ("both", "none"))
    assert (none.masks, none.rles, none.areas.tolist()) == (None, None, [0] * len(BOXES))
    assert none.boxes_xyxy.shape == both.boxes_xyxy.shape
    np.testing.assert_array_equal(none.fused_logits, both.fused_logits)
    np.testing.assert_array_equal(none.mask_scores, both.mask_scores)


def test_no_prompts_give_an_empty_prediction(predictor, image) -> None:
    predictor.set_image(image)
    prediction = predictor.predict(boxes_xyxy=np.zeros((0, 4)))
    assert len(prediction) == 0
    assert prediction.masks.shape == (0, 40, 56)
    assert prediction.head_logits.shape == (0, 6)


@pytest.mark.parametrize("prompts", [{"points_xy": []}, {"boxes_xyxy": [], "clip_boxes_xyxy": []}])
def test_empty_lists_of_prompts_give_an_empty_prediction(predictor, image, prompts) -> None:
    predictor.set_image(image)
    assert len(predictor.predict(**prompts)) == 0


def test_clip_boxes_change_the_clip_score_alone(predictor, image) -> None:
    predictor.set_image(image)
    points = [[20.0, 20]]
    own = predictor.predict(points_xy=points)
    given = predictor.predict(points_xy=points, clip_boxes_xyxy=[[0, 0, 9, 9]])
    np.testing.assert_array_equal(own.head_logits, given.head_logits)
    assert np.abs(own.clip_logits - given.clip_logits).max() > 1e-4


def test_boxes_that_reach_beyond_the_image_are_recognised_within_it(predictor, image) -> None:
    predictor.set_image(image)
    beyond, within = (
        predictor.predict(boxes_xyxy=[box]) for box in ([-5, -1, 70, 47], [0, 0, 56, 40])
    )
    np.testing.assert_array_equal(beyond.head_logits, within.head_logits)
    np.testing.assert_array_equal(beyond.clip_logits, within.clip_logits)


def test_all_classes_compete_when_the_split_does_not_restrict(
    tiny_model, tiny_vocabulary, image
) -> None:
    predictor = Predictor(tiny_model, tiny_vocabulary, restrict_to_split=False)
    predictor.set_image(image)
    assert (predictor.predict(boxes_xyxy=BOXES).fused_logits > -500).all()


def test_prediction_is_the_same_after_preparing_for_inference(
    tiny_model, tiny_vocabulary, image
) -> None:
    predictor = Predictor(tiny_model, tiny_vocabulary)
    predictor.set_image(image)
    before = predictor.predict(boxes_xyxy=BOXES)
    tiny_model.prepare_for_inference()
    predictor.set_image(image)
    after = predictor.predict(boxes_xyxy=BOXES)
    np.testing.assert_allclose(after.low_res_logits, before.low_res_logits, atol=1e-4)


def test_bfloat16_stays_close_to_float32(tiny_model, tiny_vocabulary, image) -> None:
    predictor = Predictor(tiny_model, tiny_vocabulary)
    predictor.set_image(image)
    before = predictor.predict(boxes_xyxy=BOXES)
    tiny_model.prepare_for_inference(torch.bfloat16)
    predictor.set_image(image)
    after = predictor.predict(boxes_xyxy=BOXES)
    assert after.low_res_logits.dtype == np.float32
    scale = before.low_res_logits.std()
    assert np.abs(after.low_res_logits - before.low_res_logits).mean() < 0.1 * scale


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"boxes_xyxy": [[60, 5, 70, 9]]},
            r"must overlap the 56 x 40 image, got \[60.0, 5.0, 70.0, 9.0\] in row 0",
        ),
        ({"boxes_xyxy": [[-9, -9, -1, -1]]}, "must overlap"),
        (
            {"boxes_xyxy": BOXES, "mask_logits": np.zeros((3, 8, 8))},
            r"shape \(N, 16, 16\), got \(3, 8, 8\)",
        ),
        ({"boxes_xyxy": BOXES, "clip_boxes_xyxy": [[0, 0, 1, 1]]}, r"must have shape \(3, 4\)"),
        (
            {"boxes_xyxy": BOXES[:1], "clip_boxes_xyxy": [[0, 0, np.nan, 1]]},
            r"clip_boxes_xyxy must be finite numbers",
        ),
        (
            {"boxes_xyxy": BOXES[:1], "clip_boxes_xyxy": [[9, 0, 1, 1]]},
            r"clip_boxes_xyxy must be x1, y1, x2, y2",
        ),
    ],
)
def test_wrong_prompts_are_refused(predictor, image, arguments, message) -> None:
    predictor.set_image(image)
    with pytest.raises(PromptError, match=message):
        predictor.predict(**arguments)


def test_names_without_a_text_tower_are_refused_rather_than_embedded_at_random(tiny_model) -> None:
    with pytest.raises(CheckpointError, match="came without CLIP's text tower"):
        Predictor(tiny_model, Vocabulary(["cat"]))


def test_embeddings_of_another_width_are_refused(tiny_model) -> None:
    vocabulary = Vocabulary(["cat"], torch.ones(1, 7))
    with pytest.raises(VocabularyError, match=r"of width 16 for the model tiny, got 7"):
        Predictor(tiny_model, vocabulary)


def test_an_image_prepared_for_another_model_is_refused(predictor, image) -> None:
    with pytest.raises(ImageError, match=r"for input size 64, got 128; call prepare_image"):
        predictor.encode([prepare_image(image, 64), prepare_image(image, 128)])


def test_predicting_before_an_image_is_set_says_what_to_call(predictor) -> None:
    with pytest.raises(PromptError, match=r"call set_image\(image\) first"):
        predictor.predict(boxes_xyxy=BOXES)


def test_a_float_image_is_refused(predictor) -> None:
    with pytest.raises(ImageError, match="uint8"):
        predictor.set_image(np.zeros((4, 4, 3)))


def test_boxes_of_masks_are_tight_and_zero_when_empty() -> None:
    logits = torch.full((2, 8, 8), -1.0)
    logits[0, 2:4, 5] = 1
    assert boxes_of_masks(logits, 32).tolist() == [[20, 8, 24, 16], [0, 0, 0, 0]]
