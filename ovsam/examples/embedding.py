"""References + a model → what the model sees in the examples, from disk where computed before.

Each example is embedded as `Predictor` embeds an object: where it lies in its picture, by the
trained head and by frozen CLIP. Frozen CLIP sees it twice more, cut out and drawn again at another
size, once mirrored; several of these share one pass of the network. Some regions beside the
examples tell what other things look like.

Letters: E examples, V views, B regions of background, N regions of an image, S input size, D width.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ovsam.decode import decode_file
from ovsam.errors import ImageError, VocabularyError
from ovsam.examples.prototypes import ExampleEmbeddings
from ovsam.examples.references import Example, References
from ovsam.labelling_model import LabellingModel
from ovsam.masks import decode_mask
from ovsam.model import OVSAM
from ovsam.preprocess import prepare_image, to_network_input
from ovsam.structures import RLE, PreparedImage
from ovsam.text.embedding_cache import recall_or_compute

logger = logging.getLogger(__name__)

_METHOD = "examples 1"  # raise the number when the embeddings come to be others
# Objects a side of the picture that views are drawn into, and their margin: the longer side of an
# object takes a third of the network input, as in a usual picture.
_TILES, _MARGIN = 2, 1.5
_GREY = 124
_BACKGROUND_PER_PICTURE, _MOST_BACKGROUND, _TRIES = 2, 64, 30
# Logits of a mask that is known.
_SURE = 10.0


@dataclass(frozen=True)
class _Seen:
    """The objects of one picture as the model saw them.

    Attributes:
        head: (N, D); so is `clip`.
        mask_logits: (N, S/4, S/4) numpy float32, in the frame of the network input.
    """

    head: Tensor
    clip: Tensor
    mask_logits: NDArray[np.float32]
    prepared: PreparedImage


@torch.no_grad()
def embed_examples(
    references: References,
    model: LabellingModel,
    progress: Callable[[int, int], None] | None = None,
) -> ExampleEmbeddings:
    """Return the embeddings of all examples, in their order.

    The result is kept on disk under a digest of the references and the model's weights.

    Args:
        references: what shows the classes.
        model: in eval mode.
        progress: called with (examples done, examples in all); not on a cache hit.

    Raises:
        VocabularyError: a picture changed or went away since it was checked.
    """
    count, width = len(references.examples), model.config.clip.embed_dim
    shapes = {
        "clip": (count, 3, width),
        "head": (count, width),
        "clip_background": (-1, width),
        "head_background": (-1, width),
    }

    def compute() -> dict[str, Tensor]:
        return _compute(references, model, progress)

    if not model.identity:  # weights that nothing names: a cache could not tell them apart
        return ExampleEmbeddings(**compute())
    depends_on = [_METHOD, references.digest, model.identity, str(model.dtype)]
    return ExampleEmbeddings(**recall_or_compute(depends_on, shapes, compute))


def _compute(
    references: References,
    model: LabellingModel,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Tensor]:
    examples = references.examples
    parts: dict[str, list[Tensor]] = {name: [] for name in ("clip", "head", "views", "far", "near")}
    done = 0
    tiles: list[_Tile] = []
    for picture, rows in _group_by_picture(examples):
        pixels = _read(references, picture)
        boxes = np.array([examples[row].box_xyxy for row in rows], np.float32)
        others = np.zeros((0, 4), np.float32)
        if not references.is_cropped and picture * _BACKGROUND_PER_PICTURE < _MOST_BACKGROUND:
            others = _draw_boxes_beside(boxes, pixels.shape[:2], picture)
        masks = [examples[row].mask for row in rows]
        seen = _embed_picture(model, pixels, np.concatenate([boxes, others]), masks)
        parts["clip"].append(seen.clip[: len(rows)])
        parts["head"].append(seen.head[: len(rows)])
        parts["far"].append(seen.clip[len(rows) :])
        parts["near"].append(seen.head[len(rows) :])
        for number, box in enumerate(boxes):
            tiles.append(_Tile.cut(model, pixels, box, seen, number))
            if len(tiles) == _TILES**2:
                parts["views"].append(_embed_tiles(model, tiles))
                tiles.clear()
        done += len(rows)
        if progress is not None:
            progress(done, len(examples))
    if tiles:
        parts["views"].append(_embed_tiles(model, tiles))
    joined = {name: torch.cat(tensors) for name, tensors in parts.items()}
    return {
        "clip": torch.cat([joined["clip"][:, None], joined["views"]], dim=1),
        "head": joined["head"],
        "clip_background": joined["far"],
        "head_background": joined["near"],
    }


def _group_by_picture(examples: Sequence[Example]) -> Iterator[tuple[int, list[int]]]:
    """Yield pictures with the rows of their examples, which follow each other."""
    rows: list[int] = []
    for row, example in enumerate(examples):
        if rows and example.picture != examples[rows[0]].picture:
            yield examples[rows[0]].picture, rows
            rows = []
        rows.append(row)
    yield examples[rows[0]].picture, rows


def _read(references: References, picture: int) -> NDArray[np.uint8]:
    file = references.pictures[picture]
    try:
        return decode_file(file)
    except ImageError as error:
        raise VocabularyError(f"cannot read the picture {file} of examples: {error}") from error


def embed_objects(
    model: LabellingModel,
    prepared: PreparedImage,
    boxes_xyxy: Tensor,
    mask_logits: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Embed objects of one picture as `Predictor` does.

    Args:
        model: in eval mode.
        prepared: the picture.
        boxes_xyxy: (N, 4) float32 in pixels of the network input, on the model's device.
        mask_logits: (N, S/4, S/4) of known masks; NaN where a mask is not known, and None where
            none is: the box is the prompt for it.

    Returns:
        Unit vectors (N, D) of the trained head and of frozen CLIP, float32 on the CPU, and the
        masks' logits (N, S/4, S/4).
    """
    features = model.encode(to_network_input([prepared], model.device, model.dtype)).of_image(0)
    logits, tokens = model.decode(features, boxes_xyxy)
    logits = logits.float()
    if mask_logits is not None:
        logits = torch.where(mask_logits.isnan(), logits, mask_logits)
    head, clip, _ = model.embed_regions(features, boxes_xyxy, boxes_xyxy, tokens, logits)
    return _to_unit(head), _to_unit(clip), logits


def _embed_picture(
    model: LabellingModel,
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    masks: Sequence[RLE | None],
) -> _Seen:
    """Embed boxes (N, 4) of a picture, in its pixels; of the first some masks are known."""
    size = model.config.input_size
    prepared = prepare_image(pixels, size)
    scale = np.tile(np.array(prepared.scale_xy, np.float32), 2)
    known = None
    if any(mask is not None for mask in masks):
        known = torch.full((len(boxes), size // 4, size // 4), torch.nan)
        for row, mask in zip(known, masks, strict=False):
            if mask is not None:
                full = decode_mask(mask, *pixels.shape[:2])
                row[:] = draw_mask_logits(full, prepared.input_size_hw, size)
        known = known.to(model.device)
    given = torch.from_numpy(boxes * scale).to(model.device)
    head, clip, logits = embed_objects(model, prepared, given, known)
    return _Seen(head, clip, logits.cpu().numpy(), prepared)


def draw_mask_logits(mask: NDArray[np.uint8], size_hw: tuple[int, int], input_size: int) -> Tensor:
    """Return the logits (S/4, S/4) of a mask (H, W) of 0 and 1 that is scaled to `size_hw`."""
    scaled = cv2.resize(mask.astype(np.float32), size_hw[::-1], interpolation=cv2.INTER_AREA)
    whole = torch.zeros(1, 1, input_size, input_size)
    whole[0, 0, : size_hw[0], : size_hw[1]] = torch.from_numpy(scaled)
    return (F.interpolate(whole, scale_factor=0.25, mode="area")[0, 0] - 0.5) * 2 * _SURE


def _draw_boxes_beside(
    boxes: NDArray[np.float32], size_hw: tuple[int, ...], seed: int
) -> NDArray[np.float32]:
    """Return up to two boxes of the examples' sizes that hardly touch them: (B, 4) float32."""
    random = np.random.default_rng([seed, len(boxes)])
    height, width = size_hw[:2]
    found: list[list[float]] = []
    for _ in range(_TRIES):
        like = boxes[random.integers(len(boxes))]
        wide, tall = like[2] - like[0], like[3] - like[1]
        left, top = (
            random.uniform(0, max(width - wide, 0)),
            random.uniform(0, max(height - tall, 0)),
        )
        shared_x = np.minimum(left + wide, boxes[:, 2]) - np.maximum(left, boxes[:, 0])
        shared_y = np.minimum(top + tall, boxes[:, 3]) - np.maximum(top, boxes[:, 1])
        if (shared_x.clip(0) * shared_y.clip(0)).max() < 0.1 * wide * tall:
            found.append([left, top, left + wide, top + tall])
        if len(found) == _BACKGROUND_PER_PICTURE:
            break
    return np.array(found, np.float32).reshape(-1, 4)


@dataclass(frozen=True)
class _Tile:
    """An example drawn at another size.

    Attributes:
        pixels: (s, s, 3) uint8.
        box: (4) float32 in the tile.
        mask_logits: (s/4, s/4) float32.
    """

    pixels: NDArray[np.uint8]
    box: NDArray[np.float32]
    mask_logits: NDArray[np.float32]

    @classmethod
    def cut(
        cls,
        model: LabellingModel,
        pixels: NDArray[np.uint8],
        box: NDArray[np.float32],
        seen: _Seen,
        number: int,
    ) -> _Tile:
        """Cut object `number` of a picture, and its mask."""
        side = model.config.input_size // _TILES
        scale = side / (max(box[2] - box[0], box[3] - box[1]) * _MARGIN)
        centre = (box[:2] + box[2:]) / 2
        shift = side / 2 - scale * centre
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
        cut = cv2.warpAffine(
            pixels,
            matrix,
            (side, side),
            flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        ratio_x, ratio_y = seen.prepared.scale_xy
        of_logits = np.array(
            [[scale / ratio_x, 0, shift[0] / 4], [0, scale / ratio_y, shift[1] / 4]], np.float32
        )
        logits = cv2.warpAffine(
            seen.mask_logits[number],
            of_logits,
            (side // 4, side // 4),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=-_SURE,
        )
        moved = np.asarray(box * scale + np.tile(shift, 2), np.float32)
        return cls(np.asarray(cut, np.uint8), moved, np.asarray(logits, np.float32))


def _embed_tiles(model: LabellingModel, tiles: Sequence[_Tile]) -> Tensor:
    """Return what frozen CLIP sees in tiles and in mirrored ones: (N, 2, D) unit vectors."""
    size = model.config.input_size
    side = size // _TILES
    canvas = np.full((size, size, 3), _GREY, np.uint8)
    logits = np.full((len(tiles), size // 4, size // 4), -_SURE, np.float32)
    boxes = np.zeros((len(tiles), 4), np.float32)
    for number, tile in enumerate(tiles):
        top, left = number // _TILES * side, number % _TILES * side
        canvas[top : top + side, left : left + side] = tile.pixels
        boxes[number] = tile.box + np.array([left, top, left, top], np.float32)
        y, x = top // 4, left // 4
        logits[number, y : y + side // 4, x : x + side // 4] = tile.mask_logits
    mirrored = boxes.copy()
    mirrored[:, [0, 2]] = size - boxes[:, [2, 0]]
    views = [
        embed_by_clip(model, canvas, boxes, logits),
        embed_by_clip(model, canvas[:, ::-1], mirrored, logits[:, :, ::-1]),
    ]
    return torch.stack(views, dim=1)


def embed_by_clip(
    model: LabellingModel,
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    mask_logits: NDArray[np.float32],
) -> Tensor:
    """Return what frozen CLIP sees in objects of a picture: (N, D) float32 unit vectors on the CPU.

    Args:
        model: in eval mode.
        pixels: (h, w, 3) uint8 RGB, both sides at most S: already of the network's scale.
        boxes: (N, 4) float32 in its pixels.
        mask_logits: (N, S/4, S/4) float32, for towers that read masks.
    """
    size = model.config.input_size
    prepared = PreparedImage(np.ascontiguousarray(pixels), pixels.shape[:2], size)
    network_input = to_network_input([prepared], model.device, model.dtype)
    given = torch.from_numpy(boxes).to(model.device)
    logits = torch.from_numpy(np.ascontiguousarray(mask_logits)).to(model.device)
    if isinstance(model, OVSAM):  # its head and its decoder have no part in this
        stage4 = model.image_encoder(network_input)[3]
        return _to_unit(model.image_encoder.embed_regions(stage4, given, logits))
    features = model.encode(network_input).of_image(0)
    tokens = torch.zeros(len(boxes), 1, device=model.device)
    return _to_unit(model.embed_regions(features, given, given, tokens, logits)[1])


def _to_unit(embeddings: Tensor) -> Tensor:
    return F.normalize(embeddings.float().cpu(), dim=-1)
