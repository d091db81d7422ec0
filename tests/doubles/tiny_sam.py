"""A SAM of the official layout and a tiny size, known by the name sam-b."""

from pathlib import Path

import pytest
import torch

from ovsam import sam as sam_module
from ovsam.config import SamConfig
from ovsam.sam import build_sam

TINY_SAM = SamConfig(
    name="sam-b",
    width=16,
    depth=2,
    heads=2,
    global_blocks=(1,),
    input_size=64,
    embed_channels=16,
    decoder_mlp=32,
)


def write_tiny_sam(path: Path) -> Path:
    """Write random weights as segment-anything does."""
    torch.manual_seed(3)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(build_sam(TINY_SAM).state_dict(), path)
    return path


def put_tiny_sam(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make `sam-b` tiny and put its file where `ovsam models fetch sam-b` does."""
    monkeypatch.setenv("OVSAM_CACHE", str(cache))
    monkeypatch.setitem(sam_module._CONFIGS, "sam-b", TINY_SAM)
    return write_tiny_sam(cache / "weights" / "sam_vit_b_01ec64.pth")
