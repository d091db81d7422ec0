"""Numbers that define a model: frozen dataclasses, checked when made.

`build.py` holds one function a variant that fills these in; `checkpoint.py` writes them into our
own safetensors files, so that a file knows how to build the model it belongs to.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, Self

from ovsam.errors import ConfigError
from ovsam.strict import build_strict

NeckKind = Literal["multi-scale", "single-scale"]
LabelHead = Literal["fpn", "label-token", "label-token+clip"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """CLIP's text transformer. `compact` keeps only the token rows seen in training (nano)."""

    width: int
    heads: int
    layers: int
    context_length: int = 77
    vocab_size: int = 49408
    compact: bool = False


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """The frozen CLIP model: image tower (`kind`) and text tower.

    `open_clip_name` and `pretrained` are open_clip's names; None for towers of our own (nano).
    `layers`, `width` describe open_clip's ModifiedResNet; `timm_name` and `projection` a ConvNeXt.
    `channels` are those of the four stages at strides 4, 8, 16, 32.
    """

    kind: Literal["resnet", "convnext"]
    embed_dim: int
    image_size: int
    channels: tuple[int, int, int, int]
    text: TextConfig
    open_clip_name: str | None = None
    pretrained: str | None = None
    layers: tuple[int, int, int, int] = (0, 0, 0, 0)
    width: int = 0
    timm_name: str = ""
    projection: Literal["linear", "mlp"] = "linear"

    @property
    def heads(self) -> int:
        """Number of heads of the ResNet attention pool."""
        return self.width * 32 // 64

    @property
    def pool_grid(self) -> int:
        """Side of the ResNet attention pool's grid, in cells: RoIs are pooled to this size."""
        return self.image_size // 32


@dataclass(frozen=True, kw_only=True)
class NeckConfig:
    """SAM2CLIP: transformer blocks at stride 16 (paper section 3.2).

    The position embedding is SAM-H's and frozen, as released, unless `learn_positions` is set.
    """

    kind: NeckKind = "multi-scale"
    width: int = 1280
    depth: int = 5
    heads: int = 16
    mlp_ratio: float = 4.0
    window: int = 14
    global_blocks: tuple[int, ...] = (4,)
    learn_positions: bool = False

    def __post_init__(self) -> None:
        _require(
            self.width % self.heads == 0,
            f"neck.width must be a multiple of neck.heads, got {self.width} and {self.heads}",
        )


@dataclass(frozen=True, kw_only=True)
class VitConfig:
    """Numbers of a vision transformer with windows (SAM, ViTDet).

    `global_blocks` attend over the whole grid, the others within `window` x `window` cells;
    `input_size` is the side of the square input in pixels.
    """

    width: int
    depth: int
    heads: int
    global_blocks: tuple[int, ...]
    input_size: int = 1024
    window: int = 14
    mlp_ratio: float = 4.0


@dataclass(frozen=True, kw_only=True)
class SamConfig(VitConfig):
    """Numbers of SAM: its image encoder's, and the decoder's."""

    name: str
    embed_channels: int = 256
    decoder_mlp: int = 2048


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A whole OV-SAM.

    `input_size` is the side of the square network input in pixels; cosines are multiplied by
    exp(`logit_scale`); `trained_on` names the vocabulary whose base classes the label head saw.
    With `fine_masks` the mask decoder also reads CLIP's stages 1 and 2 (not in the paper; see
    `FineMasks`).
    """

    name: str
    clip: ClipConfig
    neck: NeckConfig = NeckConfig()
    input_size: int = 1024
    embed_channels: int = 256
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp: int = 2048
    fpn_channels: int = 256
    roi_size: int = 12
    roi_base_size: float = 56.0
    label_head: LabelHead = "fpn"
    logit_scale: float = 4.6052
    trained_on: str | None = None
    fine_masks: bool = False

    def __post_init__(self) -> None:
        _require(
            self.input_size > 0 and self.input_size % 32 == 0,
            f"input_size must be a positive multiple of 32, got {self.input_size}",
        )
        _require(
            self.embed_channels % (2 * self.decoder_heads) == 0,
            f"embed_channels must be a multiple of 2 x decoder_heads, got {self.embed_channels} "
            f"and {self.decoder_heads}",
        )

    @property
    def grid_size(self) -> int:
        """Side of the image embedding (stride 16), in cells."""
        return self.input_size // 16

    @property
    def logits_size(self) -> int:
        """Side of the low-resolution mask logits (stride 4), in cells."""
        return self.input_size // 4

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as stored in our safetensors files."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild a config from `to_dict` values.

        Raises:
            ConfigError: a key is unknown or missing, or a value cannot work.
        """
        try:
            return build_strict(cls, values, "it")
        except ConfigError as error:
            raise ConfigError(
                f"model config does not fit this version of ovsam: {error}"
            ) from error
