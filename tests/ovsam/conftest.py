"""A tiny OV-SAM: 64 pixels, width 16, seeded. Small enough to build in every test."""

import pytest
import torch
from tiny import make_tiny_config

from ovsam.build import build_model
from ovsam.config import ModelConfig
from ovsam.text.vocabulary import Vocabulary


@pytest.fixture
def tiny_config() -> ModelConfig:
    return make_tiny_config()


@pytest.fixture
def tiny_model(tiny_config):
    torch.manual_seed(0)
    return build_model(tiny_config)


@pytest.fixture
def tiny_vocabulary() -> Vocabulary:
    generator = torch.Generator().manual_seed(1)
    embeddings = torch.nn.functional.normalize(torch.randn(5, 2, 16, generator=generator), dim=-1)
    return Vocabulary(["a", "b", "c", "d", "e"], embeddings, base=[0, 1], novel=[2, 3])
