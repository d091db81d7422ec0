"""The quick measures that a stage takes while it trains."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ovsam.build import build_model
from ovsam.model import OVSAM
from ovsam.training.stages.evaluation import evaluate_labels, evaluate_masks
from ovsam.training.steps.model_parts import switch_label_head


@pytest.fixture
def model(tiny_config) -> OVSAM:
    """As large as the pool's scenes."""
    return build_model(replace(tiny_config, input_size=128)).eval()


def _always_say(head, embedding: torch.Tensor) -> None:
    """Make a head of the decoder's token give every object one embedding."""
    last = head.label_mlp.layers[-1]
    torch.nn.init.zeros_(last.weight)
    last.bias.data = embedding
    if head.kind == "label-token+clip":
        torch.nn.init.zeros_(head.clip_projection.weight)
        torch.nn.init.zeros_(head.clip_projection.bias)


@pytest.mark.parametrize("kind", ["label-token", "label-token+clip"])
def test_heads_without_a_pyramid_are_measured_too(model, tiny_vocabulary, pool, kind) -> None:
    switch_label_head(model, kind, 0)
    truth = np.concatenate([pool.scene(index).class_ids for index in range(len(pool))])
    for label in (0, 2):
        with torch.no_grad():
            _always_say(model.clip2sam, tiny_vocabulary.embeddings[label].sum(dim=0))
        found = evaluate_labels(model, tiny_vocabulary, pool, scenes=len(pool))
        assert found["head_all"] == pytest.approx((truth == label).mean())


def test_the_pyramid_head_and_masks_are_measured(model, tiny_vocabulary, pool) -> None:
    found = evaluate_labels(model, tiny_vocabulary, pool, scenes=2)
    found |= evaluate_masks(model, pool, scenes=2)
    assert {"head_all", "clip_all", "fused_all", "iou_box", "iou_point"} <= found.keys()
    assert all(0 <= value <= 1 for value in found.values())
