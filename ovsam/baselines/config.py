"""Numbers and choices of a baseline of the paper's Table 1; its safetensors file carries them."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, Self

from ovsam.config import ClipConfig, SamConfig
from ovsam.errors import ConfigError
from ovsam.strict import build_strict, check_fields

Crop = Literal["image", "feature"]
Background = Literal["mean", "black", "keep"]
Pooling = Literal["roi", "mask"]
Region = Literal["mask", "prompt"]
AdapterKind = Literal["none", "conv", "simfpn"]


@dataclass(frozen=True, kw_only=True)
class BaselineConfig:
    """A SAM and a CLIP put together.

    Attributes:
        name: What reports call it.
        sam: The segmenter.
        clip: The classifier.
        crop: "image": the object is cut out of the image and CLIP sees that crop; "feature": CLIP
            sees the image once and its last map is cropped.
        region: What is cropped: the box of SAM's "mask", or the "prompt"'s box where it is one.
        background: Of image crops, outside the mask: the "mean" colour, "black", or "keep" it.
        margin: Side of an image crop, as a multiple of its box's longer side.
        pooling: Of feature crops: "roi" aligns the box to the attention pool's grid; "mask"
            averages the cells under the mask. A ConvNeXt has no such grid and always averages.
        adapter: Trained layers between CLIP's maps and the region embedding, of feature crops.
        adapter_width: Channels of the conv adapter's finest scale; the others double it.
        fpn_channels: Channels of an adapter's levels.
        roi_size: Bins of an adapter's RoIAlign.
        roi_base_size: Side in input pixels from which on a region is pooled from the second level.
        context_tokens: CoOp's learned tokens in front of a class name; 0: the plain text tower.
        logit_scale: Cosines are multiplied by its exponential.
        trained_on: The vocabulary whose base classes were trained on; None: nothing was.
    """

    name: str
    sam: SamConfig
    clip: ClipConfig
    crop: Crop = "feature"
    region: Region = "mask"
    background: Background = "mean"
    margin: float = 1.0
    pooling: Pooling = "roi"
    adapter: AdapterKind = "none"
    adapter_width: int = 64
    fpn_channels: int = 256
    roi_size: int = 12
    roi_base_size: float = 56.0
    context_tokens: int = 0
    logit_scale: float = 4.6052
    trained_on: str | None = None

    def __post_init__(self) -> None:
        """Refuse choices that do not exist or contradict each other."""
        check_fields(self)
        if self.adapter != "none" and self.crop == "image":
            raise ConfigError(
                f"an adapter reads CLIP's maps of the whole image: adapter {self.adapter!r} needs "
                "crop: feature, got crop: image"
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

    @property
    def grid_size(self) -> int:
        """Side of SAM's image embedding, in cells."""
        return self.input_size // 16

    @property
    def logits_size(self) -> int:
        """Side of the low-resolution mask logits, in cells."""
        return self.input_size // 4

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as stored in our safetensors files."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Rebuild a config from `to_dict` values.

        Raises:
            ConfigError: A key is unknown or missing, or a value cannot work.
        """
        try:
            return build_strict(cls, values, "it")
        except ConfigError as error:
            raise ConfigError(
                f"baseline config does not fit this version of ovsam: {error}"
            ) from error
