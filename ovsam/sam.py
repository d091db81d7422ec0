"""SAM (ViT-B, L, H) and MobileSAM: the teacher of SAM2CLIP, and segmenters to compare with.

Parameter names are the official checkpoints'. Source: SAM; paper Table 1 and section 3.2.
Letters: B images, N prompts, T tokens, C channels, G cells per side (stride 16), S input size.
"""

import torch
from torch import Tensor, nn

from ovsam.config import ModelConfig, SamConfig
from ovsam.device import building_on
from ovsam.errors import ConfigError
from ovsam.mask_decoder import PerceptronStack, build_upscaling, read_masks, run_transformer
from ovsam.prompt_encoder import PromptEncoder
from ovsam.tiny_vit import TinyVit
from ovsam.two_way_transformer import TwoWayTransformer
from ovsam.vision_transformer import PATCH_SIZE, VisionTransformer, build_output_neck

NUM_MASK_TOKENS = 4  # one for a single mask, three for SAM's ambiguous prompts

_CONFIGS = {
    "sam-b": SamConfig(name="sam-b", width=768, depth=12, heads=12, global_blocks=(2, 5, 8, 11)),
    "sam-l": SamConfig(name="sam-l", width=1024, depth=24, heads=16, global_blocks=(5, 11, 17, 23)),
    "sam-h": SamConfig(name="sam-h", width=1280, depth=32, heads=16, global_blocks=(7, 15, 23, 31)),
    "mobilesam": SamConfig(
        name="mobilesam", encoder="tiny-vit", width=320, depth=10, heads=10, global_blocks=()
    ),
}
SAM_NAMES = tuple(_CONFIGS)


class SamImageEncoder(VisionTransformer):
    """ViT with windows and a few global blocks, and a neck to 256 channels."""

    def __init__(self, config: SamConfig) -> None:
        grid = config.input_size // PATCH_SIZE
        super().__init__(config, torch.zeros(1, grid, grid, config.width))
        self.neck = build_output_neck(config.width, config.embed_channels)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode (B, 3, S, S) network inputs to (B, C, G, G) image embeddings."""
        return self.neck(super().forward(pixels))


def _build_image_encoder(config: SamConfig) -> SamImageEncoder | TinyVit:
    if config.encoder == "tiny-vit":
        return TinyVit(config.embed_channels)
    return SamImageEncoder(config)


class SamMaskDecoder(nn.Module):
    """SAM's decoder with an IoU token and four mask tokens."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        channels = config.embed_channels
        self.transformer = TwoWayTransformer(2, channels, 8, config.decoder_mlp)
        self.iou_token = nn.Embedding(1, channels)
        self.mask_tokens = nn.Embedding(NUM_MASK_TOKENS, channels)
        self.output_upscaling = build_upscaling(channels)
        self.output_hypernetworks_mlps = nn.ModuleList(
            PerceptronStack((channels, channels, channels, channels // 8))
            for _ in range(NUM_MASK_TOKENS)
        )
        self.iou_prediction_head = PerceptronStack((channels, 256, 256, NUM_MASK_TOKENS))

    def forward(
        self, image_embedding: Tensor, image_positions: Tensor, prompt_tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decode (N, T, C) prompt tokens of one image, whose embedding is (1, C, G, G).

        Returns mask logits (N, 4, 4G, 4G) and their predicted IoU (N, 4), both float32. Mask 0 is
        the single-mask output.
        """
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens, image = run_transformer(
            self.transformer, own, prompt_tokens, image_embedding, image_positions
        )
        hyper = torch.stack(
            [mlp(tokens[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        masks = read_masks(self.output_upscaling, image, hyper, image_embedding.shape[-1])
        return masks, self.iou_prediction_head(tokens[:, 0]).float()


class SAM(nn.Module):
    """Segment Anything: image encoder, prompt encoder, mask decoder.

    Attributes:
        config: its numbers.
        image_encoder: (B, 3, S, S) network input to (B, C, G, G) embeddings.
        prompt_encoder: boxes, points and coarse masks to tokens.
        mask_decoder: tokens and embedding to mask logits and predicted IoU.
    """

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = _build_image_encoder(config)
        self.prompt_encoder = PromptEncoder(config.embed_channels, config.input_size)
        self.mask_decoder = SamMaskDecoder(config)

    def decode(
        self,
        image_embedding: Tensor,
        boxes_xyxy: Tensor | None,
        points_xy: Tensor | None = None,
        point_labels: Tensor | None = None,
        mask_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode N prompts of one image into masks.

        Args:
            image_embedding: (1, C, G, G) of `image_encoder`.
            boxes_xyxy: (N, 4) float32 in pixels of the network input, or None.
            points_xy: (N, P, 2) float32 in pixels of the network input, or None.
            point_labels: (N, P) int64: 1 object, 0 background, -1 padding; None with points_xy.
            mask_logits: (N, S/4, S/4) coarse masks, or None.

        Returns:
            Mask logits (N, 4, S/4, S/4) and predicted IoU (N, 4), both float32; 0 is the
            single-mask output.
        """
        tokens = self.prompt_encoder(boxes_xyxy, points_xy, point_labels)
        return self.decode_tokens(image_embedding, tokens, mask_logits)

    def decode_tokens(
        self, image_embedding: Tensor, tokens: Tensor, mask_logits: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Decode (N, T, C) prompt tokens of one image, of whatever kinds; see `decode`."""
        encoder = self.prompt_encoder
        embedding = image_embedding + encoder.encode_masks(mask_logits).to(image_embedding.dtype)
        return self.mask_decoder(embedding, encoder.image_positions(), tokens)


def get_sam_config(name: str) -> SamConfig:
    """Return the numbers of "sam-b", "sam-l", "sam-h" or "mobilesam"."""
    if name not in _CONFIGS:
        raise ConfigError(f"unknown SAM '{name}'; known: {', '.join(SAM_NAMES)}")
    return _CONFIGS[name]


def build_sam(sam: str | SamConfig, device: str | torch.device = "cpu") -> SAM:
    """Build a SAM with random weights, in eval mode.

    Args:
        sam: "sam-b", "sam-l", "sam-h", "mobilesam", or a `SamConfig`.
        device: where the parameters are created; "meta" allocates nothing.

    Raises:
        ConfigError: the name is unknown.
    """
    config = get_sam_config(sam) if isinstance(sam, str) else sam
    with building_on(device):
        return SAM(config).eval()


def teacher_config(student: ModelConfig, *, width: int, depth: int, heads: int) -> SamConfig:
    """Return a small SAM whose embedding has the shape of a student's neck, to train nano with."""
    return SamConfig(
        name=f"sam-for-{student.name}",
        width=width,
        depth=depth,
        heads=heads,
        global_blocks=tuple(range(depth)),
        input_size=student.input_size,
        embed_channels=student.embed_channels,
        decoder_mlp=student.decoder_mlp,
    )
