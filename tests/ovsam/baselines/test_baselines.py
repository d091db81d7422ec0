"""SAM + CLIP baselines: what a crop sees, every kind end to end, files, refusals."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from baseline_tools import make_baseline, make_baseline_config
from safetensors.torch import save_file

from ovsam.baselines.config import BaselineConfig
from ovsam.baselines.crops import cut_objects, square_boxes
from ovsam.baselines.files import load_baseline, save_baseline
from ovsam.build import build_model
from ovsam.clip_backbone import build_clip_backbone
from ovsam.errors import CheckpointError, ConfigError
from ovsam.load import load_model
from ovsam.model import boxes_of_masks
from ovsam.predictor import Predictor
from ovsam.text.vocabulary import Vocabulary
from ovsam.weights.checkpoint import save_checkpoint

KINDS = {
    "image-crop": {"crop": "image"},
    "image-crop of the prompt's box": {"crop": "image", "region": "prompt", "background": "keep"},
    "feature-crop": {},
    "feature-crop under the mask": {"pooling": "mask"},
    "conv adapter": {"adapter": "conv"},
    "simple pyramid": {"adapter": "simfpn"},
    "context": {"context_tokens": 3},
}


def _mask_logits(*corners_xyxy: tuple[int, int, int, int]) -> torch.Tensor:
    """(N, 16, 16) logits of rectangles, in cells of 4 pixels."""
    logits = torch.full((len(corners_xyxy), 16, 16), -9.0)
    for row, (x1, y1, x2, y2) in zip(logits, corners_xyxy, strict=True):
        row[y1:y2, x1:x2] = 9.0
    return logits


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def words() -> Vocabulary:
    return Vocabulary(["cat", "dog", "zebra crossing"])


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_baseline_labels_boxes_and_points(changes, image, words, tmp_path, monkeypatch):
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path))
    predictor = Predictor(make_baseline(**changes).prepare_for_inference(), words)
    predictor.set_image(image)
    by_box = predictor.predict(boxes_xyxy=[[4, 4, 30, 30], [20, 10, 60, 40]])
    by_point = predictor.predict(points_xy=[[20, 20]])
    for found, count in ((by_box, 2), (by_point, 1)):
        assert found.masks is not None
        assert found.masks.shape == (count, 48, 64)
        assert found.head_logits.shape == (count, 4)
        assert np.isfinite(found.fused_logits).all()
        assert np.array_equal(found.labels, found.head_logits[:, :-1].argmax(1))


@pytest.mark.parametrize("name", ["image-crop", "conv adapter", "context"])
def test_saved_baseline_is_loaded_as_it_was(name, tmp_path):
    baseline = make_baseline(**KINDS[name])
    save_baseline(baseline, tmp_path / "b.safetensors", {"licence": "none"})
    loaded = load_model(tmp_path / "b.safetensors")
    assert loaded.config == baseline.config
    assert loaded.identity == baseline.identity
    for ours, theirs in ((baseline, loaded), (baseline.text_tower, loaded.text_tower)):
        expected, found = ours.state_dict(), theirs.state_dict()
        assert list(found) == list(expected)
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    pixels, box = torch.randn(1, 3, 64, 64), torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    results = []
    for model in (baseline, loaded):
        _, levels, feature, _ = model.encode(pixels)
        results.append(model.embed_objects(levels, feature, box, _mask_logits((2, 2, 9, 9))))
    assert torch.allclose(results[0], results[1], atol=1e-5)


@pytest.mark.parametrize("background", ["mean", "black"])
def test_image_crop_sees_nothing_outside_the_mask(background):
    baseline = make_baseline(crop="image", background=background)
    logits = _mask_logits((2, 2, 8, 6))
    pixels = torch.randn(1, 3, 64, 64)
    changed = pixels.clone()
    inside = torch.nn.functional.interpolate(logits[None], (64, 64), mode="bilinear")[0, 0] > 0
    changed[:, :, ~inside] = torch.randn(3, int((~inside).sum()))
    boxes = torch.zeros(1, 4)
    same = baseline.embed_objects((), pixels, boxes, logits)
    assert torch.equal(same, baseline.embed_objects((), changed, boxes, logits))
    changed[:, :, 16, 16] += 1
    assert not torch.equal(same, baseline.embed_objects((), changed, boxes, logits))


def test_image_crop_that_keeps_its_background_sees_it():
    baseline = make_baseline(crop="image", background="keep", margin=1.5)
    logits, pixels = _mask_logits((2, 2, 8, 6)), torch.randn(1, 3, 64, 64)
    before = baseline.embed_objects((), pixels, torch.zeros(1, 4), logits)
    pixels[:, :, :8] += 1
    assert not torch.equal(before, baseline.embed_objects((), pixels, torch.zeros(1, 4), logits))


def test_crop_at_its_own_size_is_the_image_itself():
    pixels = torch.randn(1, 3, 64, 64)
    boxes = torch.tensor([[8.0, 16.0, 24.0, 32.0]])
    crop = cut_objects(pixels, boxes, _mask_logits((0, 0, 1, 1)), side=16, background="keep")
    assert torch.allclose(crop, pixels[:, :, 16:32, 8:24], atol=1e-5)


def test_crop_is_square_around_the_box_with_a_margin():
    squares = square_boxes(torch.tensor([[10.0, 20.0, 30.0, 24.0]]), 1.5)
    assert squares.tolist() == [[5.0, 7.0, 35.0, 37.0]]


def test_empty_mask_is_cropped_by_its_prompt_and_keeps_the_background():
    baseline = make_baseline(crop="image")
    kept = make_baseline(crop="image", region="prompt", background="keep")
    pixels, box = torch.randn(1, 3, 64, 64), torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    empty = _mask_logits((0, 0, 0, 0))
    found = baseline.embed_objects((), pixels, box, empty)
    assert torch.equal(found, kept.embed_objects((), pixels, box, empty))


def test_image_crop_is_the_whole_clip_of_its_crop():
    baseline = make_baseline(crop="image", region="prompt", background="keep")
    pixels, whole = torch.randn(1, 3, 64, 64), torch.tensor([[0.0, 0.0, 64.0, 64.0]])
    expected = baseline.image_encoder.visual(pixels)
    found = baseline.embed_objects((), pixels, whole, _mask_logits((0, 0, 1, 1)))
    assert torch.allclose(found, expected, atol=1e-5)


def test_feature_crop_is_frozen_clips_score_on_the_box_of_the_mask():
    baseline = make_baseline()
    logits, stage4 = _mask_logits((2, 2, 12, 10), (0, 0, 16, 16)), torch.randn(1, 256, 2, 2)
    found = baseline.embed_objects((), stage4, torch.zeros(2, 4), logits)
    boxes = torch.tensor([[8.0, 8.0, 48.0, 40.0], [0.0, 0.0, 64.0, 64.0]])
    assert torch.equal(boxes_of_masks(logits, 64), boxes)
    assert torch.equal(found, baseline.image_encoder.embed_regions(stage4, boxes, logits))


def test_mask_pooling_sees_only_the_cells_under_the_mask():
    baseline = make_baseline(pooling="mask")
    left, stage4 = _mask_logits((0, 0, 8, 16)), torch.randn(1, 256, 2, 2)
    before = baseline.embed_objects((), stage4, torch.zeros(1, 4), left)
    stage4[:, :, :, 1] += 1
    assert torch.equal(before, baseline.embed_objects((), stage4, torch.zeros(1, 4), left))
    stage4[:, :, :, 0] += 1
    assert not torch.equal(before, baseline.embed_objects((), stage4, torch.zeros(1, 4), left))


def test_mask_too_small_for_a_cell_is_pooled_by_its_box():
    logits, stage4 = _mask_logits((0, 0, 1, 1)), torch.randn(1, 256, 2, 2)
    found = make_baseline(pooling="mask").embed_objects((), stage4, torch.zeros(1, 4), logits)
    by_box = make_baseline().embed_objects((), stage4, torch.zeros(1, 4), logits)
    assert torch.equal(found, by_box)


@pytest.mark.parametrize("kind", ["resnet", "convnext"])
def test_towers_embed_whole_maps_as_open_clip_does(kind, tiny_config):
    clip = tiny_config.clip
    if kind == "convnext":
        clip = dataclasses.replace(
            clip, kind="convnext", timm_name="convnext_atto", channels=(40, 80, 160, 320)
        )
    tower = build_clip_backbone(clip).eval()
    pixels = torch.randn(2, 3, 64, 64)
    expected = tower.visual(pixels)
    assert torch.allclose(tower.embed_maps(tower(pixels)[3]), expected, atol=1e-5)


@pytest.mark.parametrize("adapter", ["conv", "simfpn"])
def test_adapter_reads_frozen_maps_and_only_the_conv_one_the_image(adapter):
    baseline = make_baseline(adapter=adapter)
    pixels = torch.randn(2, 3, 64, 64)
    stages = baseline.image_encoder(pixels)
    levels = baseline.build_levels(pixels, stages)
    assert [tuple(level.shape) for level in levels] == [(2, 8, s, s) for s in (16, 8, 4, 2)]
    other = baseline.build_levels(pixels + 1, stages)
    assert torch.equal(levels[0], other[0]) == (adapter == "simfpn")
    blind = baseline.build_levels(pixels, [torch.zeros_like(stage) for stage in stages])
    assert not torch.equal(levels[3], blind[3])


def test_mask_prompts_change_the_mask():
    baseline = make_baseline()
    features = baseline.encode(torch.randn(1, 3, 64, 64))
    box = torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    plain, _ = baseline.decode(features, box)
    prompted, _ = baseline.decode(features, box, None, None, _mask_logits((2, 2, 10, 10)))
    assert not torch.equal(plain, prompted)


def test_inference_keeps_prompts_in_float32(image, words, tmp_path, monkeypatch):
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path))
    baseline = make_baseline(crop="image").prepare_for_inference(torch.bfloat16)
    assert baseline.dtype == torch.bfloat16
    assert {p.dtype for p in baseline.sam.prompt_encoder.parameters()} == {torch.float32}
    predictor = Predictor(baseline, words)
    predictor.set_image(image)
    assert np.isfinite(predictor.predict(boxes_xyxy=[[4, 4, 30, 30]]).fused_logits).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop": "pixels"}, "expected crop as one of image, feature, got 'pixels'"),
        ({"crop": "image", "adapter": "conv"}, "needs crop: feature, got crop: image"),
        ({"margin": 0.5}, "margin must be 1 or more, got 0.5"),
        ({"context_tokens": -1}, "context_tokens must be 0 or more, got -1"),
    ],
)
def test_config_refuses_what_cannot_work(changes, message):
    with pytest.raises(ConfigError, match=message):
        make_baseline_config(**changes)


def test_config_refuses_an_input_size_that_clip_cannot_take():
    sam = dataclasses.replace(make_baseline_config().sam, input_size=80)
    with pytest.raises(ConfigError, match="multiple of 32, got 80"):
        make_baseline_config(sam=sam)


def test_config_survives_json_and_refuses_unknown_keys():
    config = make_baseline_config(adapter="conv", trained_on="coco")
    values = json.loads(json.dumps(config.to_dict()))
    assert BaselineConfig.from_dict(values) == config
    with pytest.raises(ConfigError, match="does not fit this version"):
        BaselineConfig.from_dict(values | {"colour": 1})


def test_ovsam_file_is_no_baseline(tiny_config, tmp_path):
    save_checkpoint(build_model(tiny_config), tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=r"expected a baseline in .* got format 'ovsam-1'"):
        load_baseline(tmp_path / "m.safetensors")


def test_baseline_file_without_a_usable_config_is_refused(tmp_path):
    metadata = {"format": "ovsam-baseline-1", "config": "{}"}
    save_file({"a": torch.zeros(1)}, str(tmp_path / "b.safetensors"), metadata)
    with pytest.raises(CheckpointError, match="no usable model config"):
        load_model(tmp_path / "b.safetensors")


def test_folded_baseline_cannot_be_saved(tmp_path):
    baseline = make_baseline().prepare_for_inference()
    with pytest.raises(CheckpointError, match="folded by prepare_for_inference"):
        save_baseline(baseline, tmp_path / "b.safetensors")
