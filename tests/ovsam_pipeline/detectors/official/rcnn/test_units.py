"""Single steps against numbers recorded from the official code: decoding, anchors, pooling, ..."""

import numpy as np
import pytest
import torch
from locations import TESTS
from torchvision.models import resnet50
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FrozenBatchNorm2d, batched_nms

from ovsam.errors import ConfigError, ImageError
from ovsam_pipeline.detectors.official.rcnn.anchors_rpn import build_anchors
from ovsam_pipeline.detectors.official.rcnn.boxes import clip_boxes, decode_deltas, restore_boxes
from ovsam_pipeline.detectors.official.rcnn.centernet import build_centres
from ovsam_pipeline.detectors.official.rcnn.faster_rcnn import build_faster_rcnn
from ovsam_pipeline.detectors.official.rcnn.fpn import PoolLevel6, StridedLevels67
from ovsam_pipeline.detectors.official.rcnn.pooling import choose_levels, pool_boxes
from ovsam_pipeline.detectors.official.rcnn.resize import (
    build_batch,
    compute_resized_size,
    prepare,
    resize_image,
)
from ovsam_pipeline.detectors.official.rcnn.resnet import (
    FrozenBatchNorm,
    ResNet50,
    StrideInThreeResNet50,
)
from ovsam_pipeline.detectors.official.rcnn.structures import Recipe
from ovsam_pipeline.detectors.official.rcnn.swin import Swin

UNITS = TESTS / "parity" / "golden_detectors" / "units.npz"
CPU = torch.device("cpu")
WEIGHTS = {
    "rpn": (1.0, 1.0, 1.0, 1.0),
    "stage1": (10.0, 10.0, 5.0, 5.0),
    "stage2": (20.0, 20.0, 10.0, 10.0),
    "stage3": (30.0, 30.0, 15.0, 15.0),
}


@pytest.fixture(scope="module")
def units():
    with np.load(UNITS) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays}


@pytest.fixture
def recipe():
    return Recipe(
        channel_order="rgb",
        mean=(10.0, 20.0, 30.0),
        std=(1.0, 2.0, 4.0),
        short_side=8,
        max_side=12,
        score_threshold=0.1,
        top_k=5,
        proposals=10,
    )


@pytest.mark.parametrize("name", WEIGHTS)
def test_decoding_equals_the_recorded_one(units, name) -> None:
    boxes = decode_deltas(units["decode_deltas"], units["decode_boxes"], WEIGHTS[name])
    torch.testing.assert_close(boxes, units[f"decode_out_{name}"], atol=1e-3, rtol=1e-6)


def test_decoding_several_boxes_a_row_equals_the_recorded_one(units) -> None:
    deltas, boxes = units["decode_deltas_3"], units["decode_boxes"]
    decoded = decode_deltas(deltas, boxes, WEIGHTS["stage1"])
    torch.testing.assert_close(decoded, units["decode_out_3_stage1"], atol=1e-3, rtol=1e-6)


def test_decoding_undoes_encoding() -> None:
    box, target = torch.tensor([[10.0, 20, 30, 60]]), torch.tensor([[13.0, 18, 43, 58]])
    shift = torch.tensor([[(28 - 20) / 20, (38 - 40) / 40]])
    growth = torch.log(torch.tensor([[30 / 20, 40 / 40]]))
    deltas = torch.cat([shift, growth], dim=1) * torch.tensor(WEIGHTS["stage2"])
    torch.testing.assert_close(decode_deltas(deltas, box, WEIGHTS["stage2"]), target)


def test_decoding_half_precision_deltas_gives_float32() -> None:
    boxes = torch.tensor([[0.0, 0, 1001, 1001]])
    decoded = decode_deltas(torch.zeros(1, 4, dtype=torch.bfloat16), boxes, WEIGHTS["rpn"])
    assert decoded.dtype == torch.float32
    assert decoded.tolist() == boxes.tolist()


@pytest.mark.parametrize("level", range(5))
def test_anchors_equal_the_recorded_ones(units, level) -> None:
    grid = ((4, 5), (2, 3), (2, 2), (1, 2), (1, 1))[level]
    anchors = build_anchors(grid, 4 * 2**level, 32 * 2**level, CPU)
    torch.testing.assert_close(anchors, units[f"anchors{level}"], atol=1e-4, rtol=1e-6)


@pytest.mark.parametrize("level", range(5))
def test_centres_equal_the_recorded_ones(units, level) -> None:
    grid = ((3, 4), (2, 2), (1, 2), (1, 1), (1, 1))[level]
    assert build_centres(grid, 8 * 2**level, CPU).tolist() == units[f"centers{level}"].tolist()


@pytest.mark.parametrize("levels", [(2, 3, 4, 5), (3, 4, 5)], ids=["from p2", "from p3"])
def test_levels_equal_the_recorded_ones(units, levels) -> None:
    expected = units[f"level_{levels[0]}_5"]
    assert choose_levels(units["level_boxes"], levels).tolist() == expected.tolist()


def test_pooling_equals_the_recorded_one(units) -> None:
    features = {f"p{level}": units[f"pool_feature{level - 3}"] for level in (3, 4, 5)}
    pooled = pool_boxes(features, 0, units["pool_boxes"], (3, 4, 5))
    torch.testing.assert_close(pooled, units["pool_out"], atol=1e-5, rtol=1e-5)


def test_pooling_takes_the_asked_image() -> None:
    features = {"p3": torch.arange(2.0).view(2, 1, 1, 1).expand(2, 4, 9, 9)}
    pooled = pool_boxes(features, 1, torch.tensor([[8.0, 8, 32, 32]]), (3,))
    torch.testing.assert_close(pooled, torch.ones(1, 4, 7, 7))


def test_pooling_no_boxes_gives_none() -> None:
    features = {"p3": torch.zeros(1, 4, 9, 9, dtype=torch.bfloat16)}
    pooled = pool_boxes(features, 0, torch.zeros(0, 4), (3,))
    assert (pooled.shape, pooled.dtype) == ((0, 4, 7, 7), torch.bfloat16)


def test_resized_sizes_equal_the_recorded_ones(units) -> None:
    for height, width, short, longest, *expected in units["resize_shapes"].tolist():
        assert compute_resized_size((height, width), short, longest) == tuple(expected)


@pytest.mark.parametrize(("name", "short", "longest"), [("down", 30, 100), ("up", 96, 120)])
def test_resized_pixels_equal_the_recorded_ones(units, name, short, longest) -> None:
    image = units["resize_in"].numpy()
    resized = resize_image(image, compute_resized_size(image.shape[:2], short, longest))
    assert (resized == units[f"resize_{name}"].numpy()).all()


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (3000, 10)])
def test_thin_images_keep_a_pixel(size) -> None:
    height, width = compute_resized_size(size, 800, 1333)
    assert min(height, width) >= 1
    assert max(height, width) == 1333


@pytest.mark.parametrize("threshold", [3, 5, 7])
def test_suppression_equals_the_recorded_one(units, threshold) -> None:
    boxes, scores, classes = (units[f"nms_{name}"] for name in ("boxes", "scores", "classes"))
    kept = batched_nms(boxes, scores, classes, threshold / 10)
    assert kept.tolist() == units[f"nms_keep_{threshold}"].tolist()


def test_restoring_equals_the_recorded_one(units) -> None:
    sizes = units["restore_sizes"].tolist()
    boxes, kept = restore_boxes(units["restore_in"], tuple(sizes[:2]), tuple(sizes[2:]))
    torch.testing.assert_close(boxes, units["restore_out"], atol=1e-4, rtol=1e-6)
    assert kept.tolist() == units["restore_keep"].tolist()


def test_clipping_takes_several_boxes_a_row() -> None:
    boxes = torch.tensor([[-1.0, -2, 30, 40, 5, 6, 7, 8]])
    assert clip_boxes(boxes, (20, 10)).tolist() == [[0, 0, 10, 20, 5, 6, 7, 8]]


def test_preparing_orders_channels_and_normalises(recipe) -> None:
    image = np.empty((8, 8, 3), np.uint8)
    image[:] = (14, 40, 70)
    rgb = prepare(image, recipe)
    assert rgb.pixels[:, 0, 0].tolist() == [4, 10, 10]
    assert (rgb.resized_hw, rgb.original_hw, rgb.pixels.dtype) == ((8, 8), (8, 8), torch.float32)
    bgr = Recipe(**{**vars(recipe), "channel_order": "bgr"})
    assert prepare(image, bgr).pixels[:, 0, 0].tolist() == [60, 10, -4]


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_image_is_refused(recipe, image) -> None:
    with pytest.raises(ImageError, match=r"expected an image as uint8 array of shape \(H, W, 3\)"):
        prepare(image, recipe)


def test_batches_are_padded_with_zeros_at_the_right_and_bottom(recipe) -> None:
    batch = build_batch([torch.ones(3, 8, 12), torch.ones(3, 12, 8)], recipe)
    assert batch.shape == (2, 3, 32, 32)
    assert batch[0, 0].sum(dim=1).tolist() == [12] * 8 + [0] * 24
    square = Recipe(**{**vars(recipe), "square_side": 48})
    assert build_batch([torch.ones(3, 8, 12)], square).shape == (1, 3, 48, 48)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"channel_order": "gbr"}, "expected channel_order rgb or bgr, got 'gbr'"),
        ({"top_k": 0}, "expected top_k of at least 1, got 0"),
        ({"square_side": 11}, "expected square_side of at least max_side 12, got 11"),
        ({"nms_threshold": 1.5}, "expected nms_threshold between 0 and 1, got 1.5"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(recipe, change, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe(**{**vars(recipe), **change})


def test_pooled_level_takes_every_second_cell() -> None:
    p5 = torch.arange(12.0).view(1, 1, 3, 4)
    assert PoolLevel6()(p5)["p6"].flatten().tolist() == [0, 2, 8, 10]


@torch.no_grad()
def test_level_7_sees_level_6_through_a_relu() -> None:
    torch.manual_seed(0)
    block = StridedLevels67(2)
    levels = block(torch.randn(1, 2, 8, 8))
    torch.testing.assert_close(levels["p7"], block.p7(levels["p6"].clamp(min=0)))
    assert [tuple(level.shape[2:]) for level in levels.values()] == [(4, 4), (2, 2)]


@torch.no_grad()
def test_detic_resnet_equals_torchvision() -> None:
    torch.manual_seed(0)
    body = StrideInThreeResNet50().eval()
    reference = resnet50(weights=None, norm_layer=FrozenBatchNorm2d).eval()
    reference.load_state_dict(body.base.state_dict(), strict=False)
    names = {f"layer{index}": f"layer{index}" for index in (2, 3, 4)}
    pixels = torch.randn(1, 3, 64, 96)
    expected = IntermediateLayerGetter(reference, names)(pixels)
    for name, value in body(pixels).items():
        torch.testing.assert_close(value, expected[name])


@torch.no_grad()
def test_the_two_resnets_differ_only_in_where_the_stride_is() -> None:
    """With 3x3 kernels that see their centre only, the stride's place does not matter."""
    torch.manual_seed(0)
    ours, other = ResNet50().eval(), StrideInThreeResNet50().eval()
    for name, module in other.named_modules():
        if name.endswith("conv2"):
            kernel = torch.zeros_like(module.weight)
            kernel[:, :, 1, 1] = module.weight[:, :, 1, 1]
            module.weight.copy_(kernel)
    values = dict(zip(ours.state_dict(), _in_detectron2_order(other), strict=True))
    ours.load_state_dict(values)
    pixels = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(ours(pixels)["res5"], other(pixels)["layer4"])


def _in_detectron2_order(body: StrideInThreeResNet50) -> list[torch.Tensor]:
    """Values of each convolution and its norm; a block's shortcut comes first."""
    base, values = body.base, []
    blocks = [block for i in (1, 2, 3, 4) for block in base.get_submodule(f"layer{i}")]
    pairs = [(base.conv1, base.bn1)]
    for block in blocks:
        pairs += [tuple(block.downsample)] if block.downsample is not None else []
        pairs += [(block.conv1, block.bn1), (block.conv2, block.bn2), (block.conv3, block.bn3)]
    for conv, norm in pairs:
        values += [conv.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var]
    return values


def test_frozen_norms_stay_float32_in_a_half_precision_body() -> None:
    network = build_faster_rcnn(2).cast_body(torch.bfloat16)
    dtypes = {name: value.dtype for name, value in network.state_dict().items()}
    assert dtypes["backbone.bottom_up.stem.conv1.weight"] == torch.bfloat16
    assert dtypes["backbone.bottom_up.stem.conv1.norm.running_var"] == torch.float32
    assert dtypes["roi_heads.box_head.fc1.weight"] == torch.bfloat16
    assert dtypes["roi_heads.box_predictor.bbox_pred.weight"] == torch.float32
    assert dtypes["proposal_generator.rpn_head.anchor_deltas.weight"] == torch.float32
    stem = network.backbone.bottom_up.stem.conv1.weight
    assert stem.is_contiguous(memory_format=torch.channels_last)
    norm = FrozenBatchNorm(2)
    assert norm(torch.ones(1, 2, 1, 1, dtype=torch.bfloat16)).dtype == torch.bfloat16


@torch.no_grad()
def test_swin_windows_do_not_look_across_the_shifted_border() -> None:
    """A far corner moves nothing in the first blocks: shifted windows join, but are masked."""
    torch.manual_seed(0)
    swin = Swin(12, (2, 1, 1, 1), (1, 1, 1, 1), window=7).eval()
    pixels = torch.randn(1, 3, 112, 112)
    changed = pixels.clone()
    changed[:, :, -4:, -4:] += 50
    first, second = swin(pixels)["swin1"], swin(changed)["swin1"]
    assert torch.equal(first[..., :4, :4], second[..., :4, :4])
    assert not torch.equal(first[..., -4:, -4:], second[..., -4:, -4:])
