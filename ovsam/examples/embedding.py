"""References + a model → what the model sees in the examples, from disk where computed before.

Frozen CLIP sees each example three times: where it lies in its picture, and cut out and drawn again
at another size, once mirrored. The trained head sees it cut out. Nine of these share one pass of
the networks. Some regions beside the examples tell what other things look like.

Letters: E examples, V views, B regions of background, N regions of an image, S input size, D width.
"""

from __future__ import annotations

import logging
import math
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
from ovsam.structures import PreparedImage
from ovsam.text.embedding_cache import recall_or_compute

logger = logging.getLogger(__name__)

_METHOD = "examples 2"  # raise the number when the embeddings come to be others
# Objects a side of the picture that they are drawn into, and their margin: the longer side of an
# object takes a quarter of the network input, as in a usual picture.
_TILES, _MARGIN = 3, 1.15
_GREY = 124
_BACKGROUND_PER_PICTURE, _MOST_BACKGROUND, _TRIES = 2, 32, 30
# Logits of a mask that is known.
_SURE = 10.0


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
    parts: dict[str, list[Tensor]] = {"plain": [], "drawn": [], "mirrored": [], "head": []}
    tiles: list[_Tile] = []
    is_example: list[bool] = []
    done = 0

    def flush() -> None:
        for name, found in zip(
            ("head", "drawn", "mirrored"), _embed_tiles(model, tiles), strict=True
        ):
            parts[name].append(found)
        tiles.clear()

    for picture, rows in _group_by_picture(references.examples):
        pixels = _read(references, picture)
        examples = [references.examples[row] for row in rows]
        boxes = np.array([item.box_xyxy for item in examples], np.float32)
        if not references.is_cropped and picture * _BACKGROUND_PER_PICTURE < _MOST_BACKGROUND:
            others = _draw_boxes_beside(boxes, pixels.shape[:2], picture)
            boxes = np.concatenate([boxes, others])
        masks = [
            None if item.mask is None else decode_mask(item.mask, *pixels.shape[:2])
            for item in examples
        ]
        masks += [None] * (len(boxes) - len(rows))
        parts["plain"].append(_embed_picture(model, pixels, boxes, masks))
        for box, mask in zip(boxes, masks, strict=True):
            tiles.append(_Tile.cut(model, pixels, box, mask))
            if len(tiles) == _TILES**2:
                flush()
        is_example += [True] * len(rows) + [False] * (len(boxes) - len(rows))
        done += len(rows)
        if progress is not None:
            progress(done, len(references.examples))
    if tiles:
        flush()
    joined = {name: torch.cat(tensors) for name, tensors in parts.items()}
    views = torch.stack([joined["plain"], joined["drawn"], joined["mirrored"]], dim=1)
    shown = torch.tensor(is_example)
    return {
        "clip": views[shown],
        "head": joined["head"][shown],
        "clip_background": views[~shown, 0],
        "head_background": joined["head"][~shown],
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


def _embed_picture(
    model: LabellingModel,
    pixels: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    masks: Sequence[NDArray[np.uint8] | None],
) -> Tensor:
    """Return what frozen CLIP sees in boxes (N, 4) of a picture: (N, D) unit vectors.

    Towers that read masks get the box where no mask is known.
    """
    size = model.config.input_size
    prepared = prepare_image(pixels, size)
    logits = torch.full((len(boxes), size // 4, size // 4), -_SURE)
    given = boxes * np.tile(np.array(prepared.scale_xy, np.float32), 2)
    for row, mask, box in zip(logits, masks, given / 4, strict=True):
        if mask is not None:
            row[:] = draw_mask_logits(mask, prepared.input_size_hw, size)
        else:
            left, top, right, bottom = (
                math.floor(box[0]),
                math.floor(box[1]),
                math.ceil(box[2]),
                math.ceil(box[3]),
            )
            row[top:bottom, left:right] = _SURE
    return _embed_by_clip(model, prepared, torch.from_numpy(given), logits)


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
    """A region drawn at another size.

    Attributes:
        pixels: (s, s, 3) uint8.
        box: (4) float32 in the tile.
        mask_logits: (s/4, s/4) float32; NaN where the mask is not known.
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
        mask: NDArray[np.uint8] | None,
    ) -> _Tile:
        """Cut a box of a picture with what is around it, and its mask (H, W) of 0 and 1."""
        side = _find_side(model)
        scale = side / (max(box[2] - box[0], box[3] - box[1]) * _MARGIN)
        shift = side / 2 - scale * (box[:2] + box[2:]) / 2
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
        flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        cut = cv2.warpAffine(
            pixels, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        logits = np.full((side // 4, side // 4), np.nan, np.float32)
        if mask is not None:
            drawn = cv2.warpAffine(mask.astype(np.float32), matrix, (side, side), flags=flags)
            small = cv2.resize(drawn, (side // 4, side // 4), interpolation=cv2.INTER_AREA)
            logits = np.asarray((small - 0.5) * 2 * _SURE, np.float32)
        moved = np.asarray(box * scale + np.tile(shift, 2), np.float32)
        return cls(np.asarray(cut, np.uint8), moved, logits)


def _find_side(model: LabellingModel) -> int:
    """Return the side of a tile in pixels, a multiple of a mask's cell."""
    return model.config.input_size // _TILES // 4 * 4


def _embed_tiles(model: LabellingModel, tiles: Sequence[_Tile]) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the head sees in tiles, and frozen CLIP in them and in mirrored ones.

    Each (N, D) unit vectors.
    """
    size, side = model.config.input_size, _find_side(model)
    canvas = np.full((size, size, 3), _GREY, np.uint8)
    logits = torch.full((len(tiles), size // 4, size // 4), -_SURE)
    boxes = torch.zeros(len(tiles), 4)
    for number, tile in enumerate(tiles):
        top, left = number // _TILES * side, number % _TILES * side
        canvas[top : top + side, left : left + side] = tile.pixels
        boxes[number] = torch.from_numpy(tile.box) + torch.tensor([left, top, left, top])
        y, x = top // 4, left // 4
        logits[number, y : y + side // 4, x : x + side // 4] = torch.from_numpy(tile.mask_logits)
    head, clip, logits = embed_by_both(model, _take_whole(canvas, size), boxes, logits)
    mirrored = boxes.clone()
    mirrored[:, [0, 2]] = size - boxes[:, [2, 0]]
    flipped = _embed_by_clip(
        model, _take_whole(canvas[:, ::-1], size), mirrored, logits.flip(2).contiguous()
    )
    return head, clip, flipped


def _take_whole(pixels: NDArray[np.uint8], input_size: int) -> PreparedImage:
    """Return (h, w, 3) pixels, which are of the network's scale already, as its input."""
    return PreparedImage(np.ascontiguousarray(pixels), pixels.shape[:2], input_size)


def embed_by_both(
    model: LabellingModel, prepared: PreparedImage, boxes_xyxy: Tensor, mask_logits: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Embed objects of a picture as `Predictor` does.

    Args:
        model: in eval mode.
        prepared: the picture.
        boxes_xyxy: (N, 4) float32 in pixels of the network input.
        mask_logits: (N, S/4, S/4) float32; NaN where a mask is not known: the box prompts it there.

    Returns:
        Unit vectors (N, D) of the trained head and of frozen CLIP, float32 on the CPU, and the
        logits of all masks.
    """
    features = model.encode(to_network_input([prepared], model.device, model.dtype)).of_image(0)
    boxes = boxes_xyxy.to(model.device)
    decoded, tokens = model.decode(features, boxes)
    given = mask_logits.to(model.device)
    logits = torch.where(given.isnan(), decoded.float(), given)
    head, clip, _ = model.embed_regions(features, boxes, boxes, tokens, logits)
    return _to_unit(head), _to_unit(clip), logits.cpu()


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
    return _embed_by_clip(
        model,
        _take_whole(pixels, model.config.input_size),
        torch.from_numpy(boxes),
        torch.from_numpy(np.ascontiguousarray(mask_logits)),
    )


def _embed_by_clip(
    model: LabellingModel, prepared: PreparedImage, boxes_xyxy: Tensor, mask_logits: Tensor
) -> Tensor:
    network_input = to_network_input([prepared], model.device, model.dtype)
    boxes, logits = boxes_xyxy.to(model.device), mask_logits.to(model.device)
    if isinstance(model, OVSAM):  # its head and its decoder have no part in this
        stage4 = model.image_encoder(network_input)[3]
        return _to_unit(model.image_encoder.embed_regions(stage4, boxes, logits))
    features = model.encode(network_input).of_image(0)
    tokens = torch.zeros(len(boxes), 1, device=model.device)
    return _to_unit(model.embed_regions(features, boxes, boxes, tokens, logits)[1])


def _to_unit(embeddings: Tensor) -> Tensor:
    return F.normalize(embeddings.float().cpu(), dim=-1)
