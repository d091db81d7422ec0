"""Tiny baselines: 64 pixels, the tiny model's CLIP, a SAM of one block; all weights random."""

import torch
from tiny import make_tiny_config

from ovsam.baselines.config import BaselineConfig
from ovsam.baselines.files import combine
from ovsam.baselines.model import Baseline
from ovsam.clip_backbone import build_clip_backbone
from ovsam.sam import build_sam, teacher_config
from ovsam.text.text_tower import build_text_tower


def make_baseline_config(**changes) -> BaselineConfig:
    student = make_tiny_config()
    values = {
        "name": "tiny-baseline",
        "sam": teacher_config(student, width=16, depth=1, heads=2),
        "clip": student.clip,
        "adapter_width": 8,
        "fpn_channels": 8,
        "roi_size": 3,
        "roi_base_size": 8.0,
    }
    return BaselineConfig(**(values | changes))


def make_baseline(words: str = "", **changes) -> Baseline:
    torch.manual_seed(0)
    config = make_baseline_config(**changes)
    return combine(
        config,
        build_sam(config.sam),
        build_clip_backbone(config.clip).eval(),
        build_text_tower(config.clip),
        words,
    )
