"""Numbers that define a model: frozen dataclasses, checked when made.

`build.py` has the numbers of every variant; `weights/checkpoint.py` writes them into each
safetensors file, which therefore knows the model that it belongs to.
"""

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Literal, Self

from ovsam.checked_json import parse_json
from ovsam.errors import ConfigError, show_value
from ovsam.strict import build_strict

NeckKind = Literal["multi-scale", "single-scale"]
# Above every number of every model that there is: the largest are the 49,408 tokens of CLIP.
_MOST, _MOST_LAYERS = 1 << 17, 200
LabelHead = Literal["fpn", "label-token", "label-token+clip"]


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """CLIP's text transformer.

    Attributes:
        width: of the token embeddings.
        heads: attention heads per layer.
        layers: number of transformer blocks.
        context_length: most tokens of a text, with start and end.
        vocab_size: rows of the token table; a compact tower has fewer.
        compact: keep only the token rows that were seen in training (nano).
    """

    width: int
    heads: int
    layers: int
    context_length: int = 77
    vocab_size: int = 49408
    compact: bool = False


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """The frozen CLIP model: image tower and text tower (paper section 3.1).

    Attributes:
        kind: of the image tower. "efficientnet-lite" is no CLIP but an ImageNet classifier, for
            the embedded photo model.
        embed_dim: width D of the space shared by images and texts.
        image_size: side in pixels of the images that this CLIP was trained on.
        channels: of the four stages, at strides 4, 8, 16, 32.
        text: the text tower; None where a table knows names (`text/name_table.py`).
        open_clip_name: open_clip's name of the structure; None for nano. Kept for the reader of a
            file: nothing is looked up by it.
        pretrained: open_clip's name of the training run; None for nano.
        layers: blocks per stage of a ResNet.
        width: base width of a ResNet.
        timm_name: timm's name of a ConvNeXt; nothing else that timm would look up.
        projection: last layer of a ConvNeXt, to `embed_dim`.
    """

    kind: Literal["resnet", "convnext", "efficientnet-lite"]
    embed_dim: int
    image_size: int
    channels: tuple[int, int, int, int]
    text: TextConfig | None
    open_clip_name: str | None = None
    pretrained: str | None = None
    layers: tuple[int, int, int, int] = (0, 0, 0, 0)
    width: int = 0
    timm_name: str = ""
    projection: Literal["linear", "mlp"] = "linear"

    def __post_init__(self) -> None:
        # timm would ask a hub, or read a folder, for "hf-hub:NAME" and "local-dir:NAME".
        if not re.fullmatch(r"(convnext_\w+)?", self.timm_name):
            raise ConfigError(f"expected timm_name as convnext_…, got {show_value(self.timm_name)}")

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
    """SAM2CLIP: transformer blocks at stride 16 (paper section 3.2, Table 5).

    Attributes:
        kind: "multi-scale" fuses CLIP's four stages, "single-scale" reads stage 3 alone.
        width: channels of the blocks.
        depth: number of blocks.
        heads: attention heads per block.
        mlp_ratio: hidden width of a block's MLP over `width`.
        window: side in cells of the windows that blocks attend within; 0: the whole grid.
        global_blocks: indices of the blocks that attend over the whole grid all the same.
        learn_positions: train the position embedding. The released one is SAM-H's, frozen.
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
        if self.width % self.heads:
            raise ConfigError(
                f"neck.width must be a multiple of neck.heads, got {self.width} and {self.heads}"
            )


def _check_numbers(value: Any, name: str) -> None:
    """Refuse a number in plain values that no model has, before layers are built by it."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_numbers(item, f"{name}.{key}")
    elif isinstance(value, list | tuple):
        if len(value) > _MOST_LAYERS:
            raise ConfigError(f"expected {name} as a short list, got {len(value)} values")
        for item in value:
            _check_numbers(item, name)
    elif isinstance(value, int | float):
        most = _MOST_LAYERS if name.endswith(("depth", "layers")) else _MOST
        if not 0 <= value <= most:  # NaN is neither
            raise ConfigError(f"expected {name} from 0 to {most}, got {show_value(value)}")


class InputSizes:
    """What follows from the side of a segmenter's square input."""

    @property
    def input_size(self) -> int:
        """Side of the square network input, in pixels."""
        raise NotImplementedError

    @property
    def grid_size(self) -> int:
        """Side of the image embedding (stride 16), in cells."""
        return self.input_size // 16

    @property
    def logits_size(self) -> int:
        """Side of the low-resolution mask logits (stride 4), in cells."""
        return self.input_size // 4


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
class SamConfig(VitConfig, InputSizes):
    """Numbers of SAM: its image encoder's, and the decoder's.

    `encoder` "tiny-vit" is MobileSAM's, which has its own numbers (`tiny_vit.py`): those of
    `VitConfig` besides the input size are then not read.
    """

    name: str
    encoder: Literal["vit", "tiny-vit"] = "vit"
    embed_channels: int = 256
    decoder_mlp: int = 2048


@dataclass(frozen=True, kw_only=True)
class LabellingConfig(InputSizes):
    """What the configs of OV-SAM and of the baselines have in common.

    Attributes:
        name: what reports call the model.
        clip: the frozen CLIP.
        logit_scale: cosines are multiplied by its exponential; CLIP's own is log 100.
        trained_on: vocabulary whose base classes the labels were trained on; None: none.
    """

    name: str
    clip: ClipConfig
    logit_scale: float = 4.6052
    trained_on: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as stored in ovsam's safetensors files."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild a config from the JSON of its `to_dict`, as a file has it.

        Raises:
            ConfigError: it is no JSON, a key is unknown or missing, or a value cannot work.
        """
        try:
            return cls.from_dict(parse_json(text))
        except ConfigError:
            raise
        except ValueError as error:
            raise ConfigError(f"expected JSON as model config, got {error}") from error

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild a config from `to_dict` values.

        Raises:
            ConfigError: a key is unknown or missing, or a value cannot work.
        """
        try:
            _check_numbers(values, "it")
            return build_strict(cls, values, "it")
        except ZeroDivisionError as error:
            raise ConfigError("a number of the model config is 0 that must not be") from error
        except ConfigError as error:
            raise ConfigError(
                f"model config does not fit this version of ovsam: {error}"
            ) from error


@dataclass(frozen=True, kw_only=True)
class ModelConfig(LabellingConfig):
    """A whole OV-SAM.

    Attributes:
        name: what reports call the model.
        clip: the frozen CLIP.
        neck: SAM2CLIP.
        input_size: side of the square network input, in pixels; a multiple of 32.
        embed_channels: channels of the image embedding and of the decoder's tokens.
        decoder_depth: two-way blocks of the mask decoder.
        decoder_heads: their attention heads.
        decoder_mlp: hidden width of their MLPs.
        fpn_channels: channels of CLIP2SAM's levels.
        roi_size: bins per side of CLIP2SAM's RoIAlign.
        roi_base_size: half the side, in input pixels, of regions pooled from the second level.
        label_head: form of CLIP2SAM, a row of Table 6.
        logit_scale: cosines are multiplied by its exponential; CLIP's own is log 100.
        trained_on: vocabulary whose base classes the label head was trained on; None: none.
        fine_masks: the mask decoder also reads CLIP's stages 1 and 2 (not in the paper; see
            `mask_decoder.FineMasks`).
    """

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
    fine_masks: bool = False

    def __post_init__(self) -> None:
        if self.input_size <= 0 or self.input_size % 32:
            raise ConfigError(
                f"input_size must be a positive multiple of 32, got {self.input_size}"
            )
        if self.embed_channels % (2 * self.decoder_heads):
            raise ConfigError(
                f"embed_channels must be a multiple of 2 x decoder_heads, got "
                f"{self.embed_channels} and {self.decoder_heads}"
            )
