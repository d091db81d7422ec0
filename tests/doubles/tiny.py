"""The numbers of a tiny OV-SAM: 64 pixels, width 16."""

from ovsam.config import ClipConfig, ModelConfig, NeckConfig, TextConfig


def make_tiny_config(**changes) -> ModelConfig:
    clip = ClipConfig(
        kind="resnet",
        layers=(1, 1, 1, 1),
        width=8,
        channels=(32, 64, 128, 256),
        image_size=64,
        embed_dim=16,
        text=TextConfig(width=16, heads=2, layers=1),
    )
    values = {
        "name": "tiny",
        "clip": clip,
        "neck": NeckConfig(width=16, depth=2, heads=2, window=3, global_blocks=(1,)),
        "input_size": 64,
        "embed_channels": 16,
        "decoder_heads": 2,
        "decoder_mlp": 32,
        "fpn_channels": 8,
        "roi_size": 3,
        "roi_base_size": 8.0,
    }
    return ModelConfig(**(values | changes))
