"""Numbers and choices of a baseline of the paper's Table 1; its safetensors file has them."""

from dataclasses import dataclass
from typing import Any, Literal

from ovsam.build import get_config
from ovsam.config import ClipConfig, LabellingConfig, SamConfig
from ovsam.errors import ConfigError
from ovsam.sam import get_sam_config
from ovsam.strict import check_fields

Crop = Literal["image", "feature"]
Background = Literal["mean", "black", "keep"]
Pooling = Literal["roi", "mask"]
Region = Literal["mask", "prompt"]
AdapterKind = Literal["none", "conv", "simfpn"]


@dataclass(frozen=True, kw_only=True)
class BaselineConfig(LabellingConfig):
    """A SAM and a CLIP put together.

    Attributes:
        crop: "image": the object is cut out of the image and CLIP sees that crop; "feature": CLIP
            sees the image once and its last map is cropped.
        region: what is cropped: the box of SAM's "mask", or the "prompt"'s box where it is one.
        background: of image crops, outside the mask: the "mean" colour, "black", or "keep" it.
        context: weight of a second embedding, of the crop with its background kept; 0: none.
        margin: side of an image crop over its box's longer side.
        pooling: of feature crops: "roi" aligns the box to the attention pool's grid; "mask"
            averages the cells under the mask. A ConvNeXt has no such grid and always averages.
        adapter: trained layers between CLIP's maps and the region embedding, of feature crops.
        adapter_width: channels of the conv adapter's finest scale; the others double it.
        roi_size: bins per side of an adapter's RoIAlign.
        roi_base_size: half the side, in input pixels, of regions pooled from the second level.
        context_tokens: CoOp's learned tokens before a class name; 0: the plain text tower.
    """

    sam: SamConfig
    crop: Crop = "feature"
    region: Region = "mask"
    background: Background = "mean"
    context: float = 0.0
    margin: float = 1.0
    pooling: Pooling = "roi"
    adapter: AdapterKind = "none"
    adapter_width: int = 64
    fpn_channels: int = 256
    roi_size: int = 12
    roi_base_size: float = 56.0
    context_tokens: int = 0

    def __post_init__(self) -> None:
        """Refuse choices that do not exist or contradict each other."""
        check_fields(self)
        if self.adapter != "none" and self.crop == "image":
            raise ConfigError(
                f"an adapter reads CLIP's maps of the whole image: adapter {self.adapter!r} needs "
                "crop: feature, got crop: image"
            )
        if self.context < 0 or (self.context and self.crop != "image"):
            raise ConfigError(
                f"context is a weight of image crops, 0 or more, got {self.context} with "
                f"crop: {self.crop}"
            )
        if self.margin < 1:
            raise ConfigError(f"margin must be 1 or more, got {self.margin}")
        if self.sam.input_size % 32:
            raise ConfigError(
                f"the input size of SAM must be a multiple of 32, got {self.sam.input_size}"
            )
        if self.context_tokens < 0:
            raise ConfigError(f"context_tokens must be 0 or more, got {self.context_tokens}")

    @property
    def input_size(self) -> int:
        """Side of the square network input, in pixels: SAM's, for CLIP too."""
        return self.sam.input_size


_PAPER_CHOICES: dict[str, dict[str, Any]] = {
    "image-crop": {"crop": "image"},
    "feature-crop": {},
    "feature-crop-conv": {"adapter": "conv"},
    "feature-crop-simfpn": {"adapter": "simfpn"},
}
BASELINE_NAMES = tuple(_PAPER_CHOICES)
_PHOTO_LOGIT_SCALE = 3.6


def get_photo_config() -> BaselineConfig:
    """Return the embedded photo model: image-crop with MobileSAM and an ImageNet classifier.

    `logit_scale` makes scores probabilities of being right (docs/photo.md has the measurement).
    """
    clip = ClipConfig(
        kind="efficientnet-lite",
        embed_dim=1280,
        image_size=260,
        channels=(24, 48, 120, 352),
        text=None,
    )
    return BaselineConfig(
        name="photo",
        sam=get_sam_config("mobilesam"),
        clip=clip,
        crop="image",
        # Of names 2 to 3 points more are right than with the painted crop alone.
        context=0.5,
        margin=1.1,
        logit_scale=_PHOTO_LOGIT_SCALE,
    )


def get_baseline_config(name: str) -> BaselineConfig:
    """Return a baseline of the paper's Table 1 at full size: SAM-H and CLIP RN50x16."""
    if name not in _PAPER_CHOICES:
        raise ConfigError(f"unknown baseline '{name}'; known: {', '.join(BASELINE_NAMES)}")
    sam, clip = get_sam_config("sam-h"), get_config("rn50x16").clip
    return BaselineConfig(name=name, sam=sam, clip=clip, **_PAPER_CHOICES[name])
