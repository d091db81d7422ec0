"""Training of baselines on tiny models: what gets gradients, what learns, what is stored."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from baseline_tools import make_baseline, make_baseline_config
from safetensors.torch import save_file

from ovsam.baselines.coop import ContextTextTower, add_context, build_baseline_namer
from ovsam.baselines.files import load_baseline, save_baseline
from ovsam.errors import CheckpointError, ConfigError, VocabularyError
from ovsam.load import load_model
from ovsam.predictor import Predictor
from ovsam.sam import build_sam, teacher_config
from ovsam.text.embedding import embed_vocabulary
from ovsam.text.text_tower import build_text_tower
from ovsam.text.vocabulary import Vocabulary
from ovsam.training.loop.loop import LoopSettings
from ovsam.training.loop.schedule import Schedule
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.samples import AugmentSettings, TrainingSample, augment_sample
from ovsam.training.stages.baseline import (
    BaselineChoices,
    CombineSettings,
    build_from,
    combine_stage,
    train_baseline,
)
from ovsam.training.stages.baseline import BaselineStageSettings as StageSettings
from ovsam.training.stages.distil import TEACHER_FILE, TeacherSize
from ovsam.training.stages.evaluation import evaluate_baseline
from ovsam.training.stages.label import TrainingData
from ovsam.training.steps.baseline import (
    BaselineStep,
    BaselineStepSettings,
    ClassTexts,
    freeze_all_but_parts,
)
from ovsam.training.steps.proposals import sample_proposals
from ovsam.weights.checkpoint import save_checkpoint
from ovsam.weights.run_folder import MODEL_FILE

LABELS = np.array([0, 1, -1])
ALIASES = [("disc", "round thing"), ("bar",)]
STILL = AugmentSettings(min_ratio=1, max_ratio=1, flip=0)
SMALL = {
    "images_per_step": 2,
    "proposals": 4,
    "mask_points": 64,
    "with_bfloat16": False,
    "augment": STILL,
}


def _make_step(baseline, pool, parts) -> BaselineStep:
    freeze_all_but_parts(baseline, parts)
    texts = ClassTexts(baseline.text_tower, ALIASES)
    settings = BaselineStepSettings(train_parts=parts, **SMALL)
    return BaselineStep(baseline, texts, pool.sampler(LABELS), settings)


def _all_parameters(baseline) -> dict[str, torch.nn.Parameter]:
    text = {f"text.{name}": p for name, p in baseline.text_tower.named_parameters()}
    return dict(baseline.named_parameters()) | text


@pytest.mark.parametrize(
    ("changes", "parts", "prefixes"),
    [
        ({"crop": "image", "context_tokens": 2}, ("context",), ("text.context.",)),
        ({"context_tokens": 2}, ("context",), ("text.context.",)),
        ({"pooling": "mask", "context_tokens": 2}, ("context",), ("text.context.",)),
        ({"adapter": "conv"}, ("adapter",), ("adapter.", "region_head.")),
        ({"adapter": "simfpn"}, ("adapter",), ("adapter.", "region_head.")),
    ],
)
def test_gradients_reach_the_trained_parts_and_no_other(pool, changes, parts, prefixes):
    baseline = make_baseline(**changes)
    step = _make_step(baseline, pool, parts)
    losses = step(0, 0.0, StepRandom(0, 0))
    torch.stack([v for v in losses.values() if v.requires_grad]).sum().backward()
    reached = [n for n, p in _all_parameters(baseline).items() if p.grad is not None]
    assert all(name.startswith(prefixes) for name in reached)
    assert all(any(name.startswith(prefix) for name in reached) for prefix in prefixes)


def test_only_the_used_half_of_the_mask_decoder_trains(pool):
    baseline = make_baseline()
    step = _make_step(baseline, pool, ("mask_decoder",))
    losses = step(0, 0.0, StepRandom(0, 0))
    assert set(losses) == {"bce", "dice"}
    torch.stack(list(losses.values())).sum().backward()
    reached = {n for n, p in _all_parameters(baseline).items() if p.grad is not None}
    trained = {n for n, p in _all_parameters(baseline).items() if p.requires_grad}
    assert reached == trained
    assert all(name.startswith("sam.mask_decoder.") for name in reached)
    assert not any("iou_prediction_head" in name or "mlps.1" in name for name in reached)


def test_labels_send_no_gradient_into_masks(pool):
    baseline = make_baseline(adapter="simfpn")
    step = _make_step(baseline, pool, ("mask_decoder", "adapter"))
    losses = step(0, 0.0, StepRandom(0, 0))
    assert set(losses) == {"bce", "dice", "label", "label_accuracy"}
    losses["label"].backward()
    assert all(p.grad is None for p in baseline.sam.parameters())


@pytest.mark.parametrize(
    ("changes", "parts", "loss"),
    [
        ({"crop": "image", "context_tokens": 4}, ("context",), "label"),
        ({"context_tokens": 4}, ("context",), "label"),
        ({"adapter": "conv"}, ("adapter",), "label"),
        ({"adapter": "simfpn"}, ("adapter",), "label"),
        ({}, ("mask_decoder",), "dice"),
    ],
)
def test_a_few_steps_on_one_scene_lower_the_loss(pool, changes, parts, loss):
    baseline = make_baseline(**changes)
    step = _make_step(baseline, pool, parts)
    random = np.random.default_rng(0)
    samples = [augment_sample(pool.sample(i, LABELS), 64, STILL, random) for i in (0, 1)]
    prompts = [sample_proposals(sample, random, 4) for sample in samples]
    trained = [p for p in _all_parameters(baseline).values() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=0.01)
    history = []
    for _ in range(16):
        losses = step.compute_losses(samples, prompts, StepRandom(0, 0))
        total = torch.stack([v for v in losses.values() if v.requires_grad]).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        history.append(losses[loss].item())
    assert np.mean(history[-3:]) < 0.95 * history[0]


def test_objects_without_masks_teach_labels_by_box(pool):
    baseline = make_baseline(adapter="simfpn")
    step = _make_step(baseline, pool, ("mask_decoder", "adapter"))
    whole = augment_sample(pool.sample(0, LABELS), 64, STILL, np.random.default_rng(0))
    boxed = TrainingSample(whole.pixels, None, whole.labels, whole.boxes_xyxy())
    chosen = sample_proposals(boxed, np.random.default_rng(0), 3)
    losses = step.compute_losses([boxed], [chosen], StepRandom(0, 0))
    assert losses["bce"].item() == 0
    assert losses["label"].requires_grad


def test_frozen_parts_stay_in_eval_mode(pool):
    baseline = make_baseline(adapter="conv")
    freeze_all_but_parts(baseline, ("adapter",))
    training = {name for name, module in baseline.named_modules() if module.training}
    assert "adapter" in training
    assert all(name.startswith(("adapter", "region_head")) for name in training)


@pytest.mark.parametrize("part", ["context", "adapter"])
def test_part_that_a_baseline_lacks_cannot_train(part):
    with pytest.raises(ConfigError, match=f"train_parts names '{part}', and this baseline has"):
        freeze_all_but_parts(make_baseline(), (part,))


@pytest.mark.parametrize("parts", [(), ("neck",)])
def test_unknown_parts_are_refused(parts):
    with pytest.raises(ConfigError, match="train_parts must name some of mask_decoder, context"):
        BaselineStepSettings(train_parts=parts)


def test_context_of_words_embeds_as_the_words_do():
    """The learned context stands where the words of a prompt stand: same words, same vector."""
    plain = build_text_tower(make_baseline_config().clip)
    tower = add_context(plain, 4)
    tower.start_from_words("a photo of a")
    names = ["dog", "zebra crossing"]
    found = tower.encode([tower.templates[0].format(name) for name in names])
    expected = plain.encode([f"a photo of a {name}." for name in names])
    assert torch.allclose(found, expected, atol=1e-5)


def test_context_changes_every_class_and_reaches_new_names(tmp_path):
    tower = add_context(build_text_tower(make_baseline_config().clip), 3)
    names = Vocabulary(["dog", "hovercraft"])
    before = embed_vocabulary(names, tower, cache_dir=tmp_path).embeddings
    with torch.no_grad():
        tower.context.weight.normal_()
    after = embed_vocabulary(names, tower, cache_dir=tmp_path).embeddings
    assert before is not None
    assert after is not None
    assert ((before - after).abs().amax(dim=-1) > 1e-3).all()


def test_class_texts_are_the_vocabularys_embeddings(tmp_path):
    tower = build_text_tower(make_baseline_config().clip)
    names = Vocabulary(["disc", "bar"], aliases=ALIASES)
    expected = embed_vocabulary(names, tower, cache_dir=tmp_path).embeddings
    with torch.no_grad():
        found = ClassTexts(tower, ALIASES)()
    assert torch.allclose(found, expected, atol=1e-5)


def test_context_takes_its_tokens_from_the_room_for_names():
    clip = make_baseline_config().clip
    text = dataclasses.replace(clip.text, context_length=10)
    tower = add_context(build_text_tower(dataclasses.replace(clip, text=text)), 6)
    tower.check_names(["dog"])
    with pytest.raises(VocabularyError, match="at most 1 tokens, got 2"):
        tower.check_names(["hot dog"])


@pytest.mark.parametrize("count", [0, 74])
def test_context_that_leaves_no_room_for_a_name_is_refused(count):
    clip = make_baseline_config().clip
    with pytest.raises(ConfigError, match=f"must be 1 to 73 .* got {count}"):
        ContextTextTower(clip.text, clip.embed_dim, count)


def test_words_of_another_length_are_refused():
    tower = build_baseline_namer(make_baseline_config(context_tokens=3))
    assert isinstance(tower, ContextTextTower)
    with pytest.raises(ConfigError, match=r"expected words of 3 tokens .* got 4"):
        tower.start_from_words("a photo of a")


# Stages, from files to files.

LOOP = LoopSettings(steps=2, log_every=1, schedule=Schedule(warmup_steps=0))


@pytest.fixture
def sources(tiny_model, tmp_path):
    """A folder of a small SAM, and the file of a tiny OV-SAM with its text tower."""
    sam = build_sam(teacher_config(tiny_model.config, width=16, depth=1, heads=2))
    (tmp_path / "sam").mkdir()
    save_file(sam.state_dict(), str(tmp_path / "sam" / TEACHER_FILE))
    tiny_model.attach_namer(build_text_tower(tiny_model.config.clip))
    save_checkpoint(tiny_model, tmp_path / "ovsam.safetensors")
    return tmp_path / "sam", tmp_path / "ovsam.safetensors"


def _choices(**changes) -> BaselineChoices:
    values = {"name": "b", "teacher": TeacherSize(width=16, depth=1, heads=2), "adapter_width": 8}
    return BaselineChoices(**(values | changes))


def test_combined_file_has_the_tensors_of_its_parts(sources, tmp_path, tiny_model):
    combine_stage(CombineSettings(baseline=_choices(crop="image")), sources, tmp_path / "out")
    made = load_model(tmp_path / "out" / MODEL_FILE)
    expected = tiny_model.image_encoder.state_dict()
    for name, value in made.image_encoder.state_dict().items():
        assert torch.equal(value, expected[name])
    again = build_from(_choices(), [tmp_path / "out"])
    assert again.config.crop == "feature"
    assert torch.equal(again.sam.image_encoder.pos_embed, made.sam.image_encoder.pos_embed)


def test_baseline_is_made_of_official_files(tmp_path, tiny_model, monkeypatch):
    sam = build_sam(teacher_config(tiny_model.config, width=16, depth=1, heads=2))
    torch.save(sam.state_dict(), tmp_path / "sam.pth")
    tower = build_text_tower(tiny_model.config.clip).transformer.state_dict()
    tensors = tiny_model.image_encoder.state_dict() | tower
    torch.save(tensors, tmp_path / "clip.pt")
    module = "ovsam.training.stages.baseline"
    monkeypatch.setattr(f"{module}.build_sam", lambda name: build_sam(sam.config))
    monkeypatch.setattr(f"{module}.get_config", lambda name: tiny_model.config)
    made = build_from(_choices(), [tmp_path / "sam.pth", tmp_path / "clip.pt"])
    assert torch.equal(made.sam.mask_decoder.iou_token.weight, sam.mask_decoder.iou_token.weight)
    found = made.text_tower.transformer.state_dict()
    assert all(torch.equal(found[name], value) for name, value in tower.items())


def test_trained_baseline_labels_new_names(sources, pool, tmp_path, monkeypatch):
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train", "test"):
        (data / name).symlink_to(Path(pool.images.filename).parent)
    step = BaselineStepSettings(train_parts=("mask_decoder", "context"), **SMALL)
    settings = StageSettings(
        loop=LOOP,
        baseline=_choices(context_tokens=4, context_words="a photo of a"),
        step=step,
    )
    train_baseline(settings, TrainingData(data), sources, tmp_path / "out")
    made = load_baseline(tmp_path / "out" / MODEL_FILE)
    assert isinstance(made.text_tower, ContextTextTower)
    start = add_context(build_text_tower(made.config.clip), 4)
    assert made.text_tower.context.weight.shape == start.context.weight.shape
    predictor = Predictor(made, Vocabulary(["hovercraft", "disc"]), restrict_to_split=False)
    predictor.set_image(pool.scene(0).image)
    assert predictor.predict(points_xy=[[30, 30]]).labels.shape == (1,)
    lines = (tmp_path / "out" / "log.jsonl").read_text().splitlines()
    assert {"iou", "accuracy"} <= set(json.loads(lines[-1])["evaluation"])
    again = build_from(_choices(), [tmp_path / "out"])
    assert type(again.text_tower) is not ContextTextTower


def test_evaluation_counts_masks_and_names(pool):
    """A fake that segments the whole image and always says class 0."""
    names = Vocabulary(["disc", "bar", "green disc"], torch.eye(3, 16), base=[0, 1], novel=[2])
    baseline = make_baseline(region="prompt")
    size = baseline.config.logits_size
    baseline.embed_regions = lambda encoded, regions, *a: (
        (torch.eye(3, 16)[:1].expand(len(regions), -1),) * 2
        + (torch.ones(len(regions), dtype=torch.bool),)
    )
    baseline.decode = lambda e, boxes, *a: (
        torch.full((len(boxes), size, size), 9.0),
        torch.zeros(len(boxes), 0),
    )
    found = evaluate_baseline(baseline, names, pool, scenes=6)
    scenes = [pool.scene(index) for index in range(6)]
    ids = np.concatenate([scene.class_ids for scene in scenes])
    areas = [scene.mask(row).mean() for scene in scenes for row in range(len(scene.class_ids))]
    assert found["iou"] == pytest.approx(np.mean(areas), rel=1e-6)
    assert found["accuracy"] == pytest.approx((ids == 0).mean())
    assert found["accuracy_base"] == pytest.approx((ids[ids != 2] == 0).mean())
    assert found["accuracy_novel"] == 0


def test_wrong_number_of_sources_is_refused(sources):
    with pytest.raises(ConfigError, match="needs --init SAM --init CLIP"):
        build_from(_choices(), [*sources, sources[0]])


def test_folder_without_a_sam_is_refused(sources, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"expected a SAM in .*empty"):
        build_from(_choices(), [tmp_path / "empty", sources[1]])


def test_small_sam_needs_the_ovsam_that_it_was_made_for(sources, tmp_path):
    save_baseline(make_baseline(), tmp_path / "b.safetensors")
    with pytest.raises(ConfigError, match="give that OV-SAM as the second --init"):
        build_from(_choices(), [sources[0], tmp_path / "b.safetensors"])


def test_sam_of_another_size_is_refused(sources):
    wrong = TeacherSize(width=32, depth=1, heads=2)
    with pytest.raises(CheckpointError, match="belongs to another model"):
        build_from(_choices(teacher=wrong), sources)
