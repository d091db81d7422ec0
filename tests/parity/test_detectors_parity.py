"""Every recorded stage of the official detectors, case by case; and their parameter names.

OVSAM_GOLDEN_DETECTORS names another folder of records of the same form.
"""

import json
import os
from pathlib import Path

import pytest
import torch
from detector_comparison import (
    BUNDLED,
    Case,
    build_network,
    find_manifest,
    get_shapes,
    read_manifests,
)
from deterministic_detector_weights import make_tensor

from ovsam_pipeline.detectors.official.rcnn.detic import build_detic
from ovsam_pipeline.detectors.official.rcnn.faster_rcnn import build_faster_rcnn
from ovsam_pipeline.detectors.official.rcnn.official_names import filter_official_state
from ovsam_pipeline.detectors.official.rcnn.vitdet import build_vitdet

GOLDEN = Path(os.environ.get("OVSAM_GOLDEN_DETECTORS") or BUNDLED)
CASES = json.loads((GOLDEN / "cases.json").read_text())

FULL_SIZE = {
    "faster_rcnn_r50_fpn_3x": lambda: build_faster_rcnn(80),
    "vitdet_b_cascade_coco": lambda: build_vitdet("b", 80),
    "vitdet_l_cascade_coco": lambda: build_vitdet("l", 80),
    "vitdet_h_cascade_coco": lambda: build_vitdet("h", 80),
    "vitdet_b_cascade_lvis": lambda: build_vitdet("b", 1203),
    "detic_swinb": lambda: build_detic("swinb", 1203),
    "detic_r50": lambda: build_detic("r50", 1203),
}
MILLIONS_OF_PARAMETERS = {
    "faster_rcnn_r50_fpn_3x": 41.70,
    "vitdet_b_cascade_coco": 138.52,
    "vitdet_l_cascade_coco": 358.31,
    "vitdet_h_cascade_coco": 688.82,
}


def without_ignored(shapes):
    """What is left of a manifest, with the texts, which files bring but we replace."""
    kept = filter_official_state(dict.fromkeys(shapes))
    return {name: s for name, s in shapes.items() if name in kept or name.endswith("zs_weight")}


@pytest.mark.parity
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", CASES)
def test_every_stage_equals_the_recorded_one(name) -> None:
    differences = list(Case(GOLDEN, name).compare())
    assert len({d.image for d in differences}) == len(CASES[name]["images"])
    assert len({d.stage for d in differences}) >= 25
    beyond = [
        f"{d.image} {d.stage}: {d.value:.3g} > {d.limit}" for d in differences if not d.is_within
    ]
    assert not beyond, "\n".join(beyond)


@pytest.mark.parametrize("name", CASES)
def test_generated_weights_are_the_recorded_ones(name) -> None:
    shapes = find_manifest(name, read_manifests(GOLDEN))
    for parameter, expected in CASES[name]["weight_probe"].items():
        value = make_tensor(parameter, shapes[parameter], CASES[name]["salt"]).flatten().double()
        assert [value[0], value[-1], value.abs().sum()] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", FULL_SIZE)
def test_names_and_shapes_equal_the_official_ones(name) -> None:
    with torch.device("meta"):
        network = FULL_SIZE[name]()
    assert get_shapes(network) == without_ignored(read_manifests(BUNDLED)[name])
    count = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert count == pytest.approx(MILLIONS_OF_PARAMETERS.get(name, count), rel=1e-3)


@pytest.mark.parametrize(
    "name", ["vitdet_tiny_coco", "vitdet_tiny_sigmoid", "detic_tiny", "detic_swinb_40"]
)
def test_names_and_shapes_of_recorded_variants_are_equal(name) -> None:
    shapes = read_manifests(BUNDLED)[name]
    classes = {"vitdet_tiny_coco": 80, "vitdet_tiny_sigmoid": 50}.get(name, 40)
    assert get_shapes(build_network(name, shapes, classes)) == without_ignored(shapes)
