"""The paper's own baselines by name, at full size: SAM-H and CLIP RN50x16."""

import dataclasses

from ovsam.baselines.config import BaselineConfig
from ovsam.build import get_config
from ovsam.errors import ConfigError
from ovsam.sam import get_sam_config

PAPER_BASELINES = {
    "image-crop": (808.0, 3748.0),
    "feature-crop": (808.0, 3545.0),
    "feature-crop-conv": (828.0, 3590.0),
    "feature-crop-simfpn": (812.0, 3580.0),
}
"""Baseline -> (parameters in millions, GMACs at 1024 x 1024), as the paper's Table 1 has them."""

BASELINE_NAMES = tuple(PAPER_BASELINES)


def get_baseline_config(name: str) -> BaselineConfig:
    """Return the numbers of a baseline at full size.

    Raises:
        ConfigError: no baseline has this name.
    """
    if name not in PAPER_BASELINES:
        raise ConfigError(f"unknown baseline '{name}'; known: {', '.join(BASELINE_NAMES)}")
    plain = BaselineConfig(name=name, sam=get_sam_config("sam-h"), clip=get_config("rn50x16").clip)
    if name == "image-crop":
        return dataclasses.replace(plain, crop="image")
    if name == "feature-crop-conv":
        return dataclasses.replace(plain, adapter="conv")
    if name == "feature-crop-simfpn":
        return dataclasses.replace(plain, adapter="simfpn")
    return plain
