"""What a whole network promises, on small ones made of the same parts."""

import dataclasses

import numpy as np
import pytest
import torch

from ovsam.config import VitConfig
from ovsam.errors import CheckpointError, ConfigError, VocabularyError
from ovsam_pipeline.detectors.official.rcnn.anchors_rpn import RegionProposals
from ovsam_pipeline.detectors.official.rcnn.box_heads import (
    CascadeHeads,
    ConvBoxHead,
    LinearBoxHead,
    LinearPredictor,
    SingleHead,
    ZeroShotPredictor,
)
from ovsam_pipeline.detectors.official.rcnn.centernet import CenterProposals
from ovsam_pipeline.detectors.official.rcnn.detic import build_detic
from ovsam_pipeline.detectors.official.rcnn.faster_rcnn import build_faster_rcnn
from ovsam_pipeline.detectors.official.rcnn.fpn import FeaturePyramid, PoolLevel6, StridedLevels67
from ovsam_pipeline.detectors.official.rcnn.network import RCNN
from ovsam_pipeline.detectors.official.rcnn.official_names import (
    filter_official_state,
    load_official_state,
)
from ovsam_pipeline.detectors.official.rcnn.resize import build_batch, prepare
from ovsam_pipeline.detectors.official.rcnn.resnet import ResNet50
from ovsam_pipeline.detectors.official.rcnn.structures import Proposals, Recipe, RegionScores
from ovsam_pipeline.detectors.official.rcnn.swin import Swin
from ovsam_pipeline.detectors.official.rcnn.vit_pyramid import SimplePyramid, build_vit
from ovsam_pipeline.detectors.official.rcnn.vitdet import build_vitdet

# Not 32: GroupNorm with 32 groups needs two values in each, also on a map of one cell.
WIDTH = 64


def make_recipe(**changes) -> Recipe:
    numbers = {
        "channel_order": "rgb",
        "mean": (120.0, 120.0, 120.0),
        "std": (60.0, 60.0, 60.0),
        "short_side": 64,
        "max_side": 128,
        "score_threshold": 0.0,
        "top_k": 50,
        "proposals": 40,
    }
    return Recipe(**numbers | changes)


def make_faster_rcnn() -> RCNN:
    channels = {2: 256, 3: 512, 4: 1024, 5: 2048}
    return RCNN(
        FeaturePyramid(ResNet50(), channels, WIDTH, PoolLevel6()),
        RegionProposals(WIDTH, num_convs=1),
        SingleHead(LinearBoxHead(WIDTH, WIDTH), LinearPredictor(WIDTH, 5, is_per_class=True)),
        make_recipe(channel_order="bgr"),
    )


def make_vitdet() -> RCNN:
    config = VitConfig(width=16, depth=2, heads=2, global_blocks=(1,), input_size=128, window=3)
    return RCNN(
        SimplePyramid(build_vit(config), 16, WIDTH),
        RegionProposals(WIDTH, num_convs=2),
        CascadeHeads(
            [ConvBoxHead(WIDTH, WIDTH) for _ in range(3)],
            [LinearPredictor(WIDTH, 5, is_per_class=False) for _ in range(3)],
            (2, 3, 4, 5),
            is_sigmoid=False,
        ),
        make_recipe(short_side=128, square_side=128),
    )


def make_empty_detic(num_classes: int) -> RCNN:
    swin = Swin(12, (1, 1, 2, 1), (1, 1, 2, 2), window=7)
    channels = {3: 24, 4: 48, 5: 96}
    return RCNN(
        FeaturePyramid(swin, channels, WIDTH, StridedLevels67(WIDTH)),
        CenterProposals(WIDTH),
        CascadeHeads(
            [LinearBoxHead(WIDTH, WIDTH) for _ in range(3)],
            [ZeroShotPredictor(WIDTH, num_classes) for _ in range(3)],
            (3, 4, 5),
            is_sigmoid=True,
            multiplies_proposal_score=True,
        ),
        make_recipe(),
    )


def make_detic() -> RCNN:
    network = make_empty_detic(5)
    network.proposal_generator.centernet_head.bbox_pred.bias.data.fill_(2.0)
    network.set_vocabulary(torch.randn(5, 512, generator=torch.manual_seed(3)))
    return network


MAKERS = {"faster_rcnn": make_faster_rcnn, "vitdet": make_vitdet, "detic": make_detic}


@pytest.fixture(params=MAKERS)
def network(request):
    torch.manual_seed(0)
    return MAKERS[request.param]().eval()


@pytest.fixture
def detic():
    torch.manual_seed(0)
    return make_detic().eval()


def draw(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    rows, columns = (np.arange(side) * 8 // side for side in (height, width))
    return np.ascontiguousarray(coarse[rows][:, columns])


def detect(network: RCNN, images, mode="classes"):
    prepared = [prepare(image, network.recipe) for image in images]
    batch = build_batch([p.pixels for p in prepared], network.recipe)
    resized, original = ([getattr(p, n) for p in prepared] for n in ("resized_hw", "original_hw"))
    return network.detect(batch, resized, original, mode)


def assert_same(first, second, atol: float = 1e-3) -> None:
    for ours, theirs in zip(first, second, strict=True):
        torch.testing.assert_close(ours, theirs, atol=atol, rtol=1e-4)


@pytest.mark.parametrize("mode", ["classes", "refined", "proposals"])
def test_boxes_are_inside_the_original_image_and_best_first(network, mode) -> None:
    image = draw(150, 100)
    found = detect(network, [image], mode)[0]
    boxes = found.boxes_xyxy
    assert 0 < len(boxes) <= network.recipe.top_k
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert boxes.min() >= 0
    assert (boxes.max(dim=0).values <= torch.tensor([100, 150, 100, 150])).all()
    assert found.scores.diff().le(0).all()
    assert ((found.objectness > 0) & (found.objectness <= 1)).all()
    assert found.scores.dtype == boxes.dtype == torch.float32
    classes = {-1} if mode == "proposals" else set(range(5))
    assert set(found.classes.tolist()) <= classes


@pytest.mark.parametrize("mode", ["classes", "refined", "proposals"])
def test_images_of_one_size_find_the_same_in_a_batch_as_alone(network, mode) -> None:
    images = [draw(64, 96, seed) for seed in (1, 2)]
    together = detect(network, images, mode)
    for index, image in enumerate(images):
        assert_same(together[index], detect(network, [image], mode)[0])


def test_vitdet_finds_the_same_beside_an_image_of_another_size() -> None:
    torch.manual_seed(0)
    network = make_vitdet().eval()
    images = [draw(64, 128), draw(128, 50)]
    together = detect(network, images)
    assert_same(together[1], detect(network, [images[1]])[0])


@pytest.mark.parametrize("size", [(3000, 10), (64, 1), (1, 1)])
def test_thin_images_give_boxes_inside_them_or_none(network, size) -> None:
    found = detect(network, [draw(*size)])[0]
    limits = torch.tensor([size[1], size[0]] * 2)
    assert (found.boxes_xyxy <= limits).all()
    assert found.boxes_xyxy.isfinite().all()


@pytest.mark.parametrize("mode", ["classes", "refined", "proposals"])
def test_nothing_above_the_threshold_is_an_empty_result(network, mode) -> None:
    network.recipe = dataclasses.replace(network.recipe, score_threshold=1.0)
    found = detect(network, [draw(64, 64)], mode)[0]
    assert [tuple(x.shape) for x in found] == [(0, 4), (0,), (0,), (0,)]


def test_no_proposals_are_an_empty_result(detic) -> None:
    detic.proposal_generator.least_heat = 1.0
    assert len(detect(detic, [draw(64, 64)])[0].scores) == 0


def test_weights_that_are_not_finite_find_nothing(network) -> None:
    for parameter in network.backbone.parameters():
        parameter.data.fill_(float("nan"))
    assert len(detect(network, [draw(64, 64)])[0].scores) == 0


def test_fewer_proposals_are_the_best_of_the_many(network) -> None:
    features = network.encode(build_batch([torch.randn(3, 64, 96)], network.recipe))
    many = network.propose(features, [(64, 96)])[0]
    network.recipe = dataclasses.replace(network.recipe, proposals=7)
    few = network.propose(features, [(64, 96)])[0]
    assert_same(few, (many.boxes[:7], many.scores[:7]))


def test_half_precision_bodies_find_float32_boxes(network) -> None:
    exact = detect(network, [draw(64, 96)], "proposals")[0]
    half = detect(network.cast_body(torch.bfloat16), [draw(64, 96)], "proposals")[0]
    assert half.boxes_xyxy.dtype == half.scores.dtype == torch.float32
    assert abs(float(half.scores[0] - exact.scores[0])) < 0.05
    assert len(detect(network, [draw(64, 96)])[0].scores) > 0


def test_an_unknown_mode_is_refused(network) -> None:
    with pytest.raises(ConfigError, match="expected mode classes, refined or proposals, got 'all'"):
        detect(network, [draw(64, 64)], "all")


def test_classes_are_suppressed_apart_and_proposals_together() -> None:
    network = make_vitdet()
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 11], [20, 20, 30, 30]])
    scores = torch.tensor([[0.9, 0.2, 0.0], [0.3, 0.8, 0.0], [0.1, 0.15, 0.75]])
    proposals, regions = Proposals(boxes, torch.zeros(3)), RegionScores(scores, boxes)
    network.recipe = make_recipe(score_threshold=0.12)
    apart = network._choose_by_class(proposals, regions, (64, 64))
    assert apart.scores.tolist() == pytest.approx([0.9, 0.8, 0.15])
    assert apart.classes.tolist() == [0, 1, 1]
    together = network._choose_by_proposal(proposals, regions, (64, 64))
    assert together.scores.tolist() == pytest.approx([0.9, 0.15])
    assert together.objectness.tolist() == [0.5, 0.5]


def test_a_score_at_the_threshold_goes() -> None:
    network = make_vitdet()
    boxes, scores = torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([[0.25, 0.5, 0.25]])
    network.recipe = make_recipe(score_threshold=0.5)
    given = Proposals(boxes, torch.zeros(1)), RegionScores(scores, boxes)
    assert len(network._choose_by_class(*given, (64, 64)).scores) == 0


def test_each_class_has_its_own_box() -> None:
    network = make_faster_rcnn()
    boxes = torch.tensor([[0.0, 0, 9, 9, 20, 20, 40, 50]])
    regions = RegionScores(torch.tensor([[0.3, 0.6, 0.1]]), boxes)
    proposals = Proposals(boxes[:, :4], torch.zeros(1))
    found = network._choose_by_class(proposals, regions, (64, 64))
    assert found.boxes_xyxy.tolist() == [[20, 20, 40, 50], [0, 0, 9, 9]]
    best = network._choose_by_proposal(proposals, regions, (64, 64))
    assert best.boxes_xyxy.tolist() == [[20, 20, 40, 50]]


def test_a_permuted_vocabulary_permutes_the_labels(detic) -> None:
    texts = torch.randn(5, 512)
    order = torch.tensor([3, 0, 4, 1, 2])
    detic.set_vocabulary(texts)
    plain = detect(detic, [draw(64, 96)], "refined")[0]
    detic.set_vocabulary(texts[order])
    permuted = detect(detic, [draw(64, 96)], "refined")[0]
    assert_same(permuted.boxes_xyxy, plain.boxes_xyxy)
    assert order[permuted.classes].tolist() == plain.classes.tolist()


def test_the_norm_of_a_text_does_not_matter(detic) -> None:
    texts = torch.randn(7, 512)
    detic.set_vocabulary(texts)
    weight = detic.roi_heads.box_predictor[0].cls_score.zs_weight
    assert weight.shape == (512, 8)
    assert weight[:, -1].abs().max() == 0
    detic.set_vocabulary(weight.T[:7] * 11)
    torch.testing.assert_close(detic.roi_heads.box_predictor[2].cls_score.zs_weight, weight)


@pytest.mark.parametrize(
    "texts",
    [torch.zeros(0, 512), torch.zeros(3, 640), torch.zeros(512), torch.full((1, 512), torch.nan)],
    ids=["none", "another width", "one row only", "NaN"],
)
def test_texts_that_cannot_work_are_refused(detic, texts) -> None:
    with pytest.raises(
        VocabularyError, match=r"expected finite class embeddings of shape \(K, 512\)"
    ):
        detic.set_vocabulary(texts)


def test_a_vocabulary_for_fixed_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected Detic to set a vocabulary"):
        make_vitdet().set_vocabulary(torch.zeros(3, 512))


def test_what_no_network_has_is_filtered() -> None:
    ignored = [
        "proposal_generator.anchor_generator.cell_anchors.0",
        "pixel_mean",
        "pixel_std",
        "roi_heads.mask_head.deconv.weight",
        "roi_heads.box_predictor.1.fed_loss_cls_weights",
        "roi_heads.box_predictor.2.freq_weight",
        "backbone.bottom_up.base.bn1.num_batches_tracked",
        "backbone.bottom_up.base.fc.weight",
        "roi_heads.box_predictor.0.cls_score.zs_weight",
    ]
    kept = ["backbone.fpn_lateral2.weight", "roi_heads.box_predictor.0.cls_score.linear.weight"]
    assert list(filter_official_state(dict.fromkeys(ignored + kept))) == kept


def test_an_official_state_loads_from_arrays(detic) -> None:
    state = {name: value.numpy() for name, value in detic.state_dict().items()}
    state["roi_heads.mask_head.deconv.weight"] = np.zeros(3)
    state["roi_heads.box_predictor.0.cls_score.zs_weight"] = np.zeros((512, 22048))
    texts = torch.randn(5, 512)
    with torch.device("meta"):
        loaded = make_empty_detic(1)
    load_official_state(loaded, state)
    for changed in (detic, loaded):
        changed.set_vocabulary(texts)
    assert_same(detect(loaded, [draw(64, 96)])[0], detect(detic, [draw(64, 96)])[0])


def test_a_file_of_another_architecture_is_refused() -> None:
    state = make_detic().state_dict()
    with pytest.raises(
        CheckpointError, match=r"got names that differ: \d+ missing \(backbone.*\d+ unexpected"
    ):
        load_official_state(make_vitdet(), state)


def test_a_file_of_another_class_count_is_refused() -> None:
    network = make_faster_rcnn()
    state = network.state_dict()
    state["roi_heads.box_predictor.cls_score.bias"] = torch.zeros(81)
    with pytest.raises(
        CheckpointError, match=r"1 of another shape \(.*expected \(6,\), got \(81,\)"
    ):
        load_official_state(network, state)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: build_vitdet("g"), "expected ViTDet size b, l or h, got 'g'"),
        (lambda: build_detic("convnext"), "expected Detic body swinb or r50, got 'convnext'"),
    ],
)
def test_unknown_variants_are_refused(build, message) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_recipes_are_the_official_ones() -> None:
    with torch.device("meta"):
        networks = {
            "faster": build_faster_rcnn(),
            "coco": build_vitdet("b"),
            "lvis": build_vitdet("b", 1203),
            "detic": build_detic("r50"),
        }
    recipes = {name: network.recipe for name, network in networks.items()}
    assert {n: (r.short_side, r.max_side, r.square_side) for n, r in recipes.items()} == {
        "faster": (800, 1333, 0),
        "coco": (1024, 1024, 1024),
        "lvis": (1024, 1024, 1024),
        "detic": (800, 1333, 0),
    }
    assert {n: (r.score_threshold, r.top_k, r.proposals) for n, r in recipes.items()} == {
        "faster": (0.05, 100, 1000),
        "coco": (0.05, 100, 1000),
        "lvis": (0.02, 300, 1000),
        "detic": (0.02, 300, 256),
    }
    assert recipes["faster"].channel_order == "bgr"
    assert recipes["faster"].std == (1, 1, 1)
    assert recipes["faster"].mean == tuple(reversed(recipes["detic"].mean))


@pytest.mark.slow
@torch.no_grad()
def test_detic_r50_runs_at_full_width() -> None:
    torch.manual_seed(0)
    network = build_detic("r50")
    network.set_vocabulary(torch.randn(4, 512))
    network.recipe = dataclasses.replace(network.recipe, short_side=96, score_threshold=0.0)
    assert len(detect(network, [draw(96, 128)])[0].scores) > 0
