"""Fine masks are added to a trained model, and learn."""

import torch
from locations import SCENES

from ovsam.build import build_model, get_config
from ovsam.cost.profile import profile_model
from ovsam.text.text_tower import build_text_tower
from ovsam.training.loop.loop import LoopSettings
from ovsam.training.stages.label import LabelStageSettings, TrainingData, train_labels
from ovsam.training.stages.stage_files import save_stage
from ovsam.training.steps.label import LabelStepSettings
from ovsam.training.steps.model_parts import add_fine_masks
from ovsam.weights.checkpoint import load_checkpoint


@torch.no_grad()
def test_a_model_that_gets_them_draws_the_same_masks(tiny_model) -> None:
    pixels, box = torch.randn(1, 3, 64, 64), torch.tensor([[4.0, 8.0, 40.0, 50.0]])
    before, _ = tiny_model.decode(tiny_model.encode(pixels), box)
    add_fine_masks(tiny_model)
    features = tiny_model.encode(pixels)
    assert len(features.mask_details) == 2
    assert torch.equal(tiny_model.decode(features, box)[0], before)
    kept = tiny_model.mask_decoder.fine_masks
    add_fine_masks(tiny_model)
    assert tiny_model.mask_decoder.fine_masks is kept


def test_a_stage_trains_them_and_its_file_has_them(tmp_path) -> None:
    model = build_model(get_config("nano"))
    model.attach_namer(build_text_tower(model.config.clip))
    save_stage(model, tmp_path / "start", "random")
    step = LabelStepSettings(
        images_per_step=1, proposals=2, mask_points=64, train_parts=("mask_decoder",)
    )
    settings = LabelStageSettings(
        loop=LoopSettings(steps=1), fine_masks=True, check_images=1, step=step
    )
    data = TrainingData(SCENES / "annotations.json", SCENES)
    train_labels(settings, data, tmp_path / "start", tmp_path / "run")
    trained = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert trained.config.fine_masks
    assert all(weight.any() for weight in trained.mask_decoder.fine_masks.parameters())
    cost, plain = profile_model(trained.config), profile_model(model.config)
    fine = {part.name: part for part in cost.parts}["fine masks"]
    assert fine.parameters == cost.parameters - plain.parameters
    assert fine.macs == cost.macs - plain.macs
