import json

import pytest
from tiny import make_tiny_config

from ovsam.build import MODEL_NAMES, build_model, get_config
from ovsam.config import ModelConfig
from ovsam.errors import ConfigError
from ovsam.sam import build_sam

# Measured on the released code, in millions (paper Tables 5, 7 and 8 round them).
RELEASED_PARAMETERS_M = {
    "rn50": 164.844,
    "rn50x16": 304.047,
    "rn50x64": 567.552,
    "convnext-l": 321.006,
    "convnext-l-single-scale": 307,
}


def count_parameters_m(module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


@pytest.mark.parametrize(("name", "expected"), RELEASED_PARAMETERS_M.items())
def test_parameter_counts_equal_the_papers(name, expected) -> None:
    tolerance = 1e-3 if name.endswith("single-scale") else 1e-4
    assert count_parameters_m(build_model(name, "meta")) == pytest.approx(expected, rel=tolerance)


def test_parts_of_rn50x16_equal_the_released_ones() -> None:
    model = build_model("rn50x16", "meta")
    assert count_parameters_m(model.image_encoder) == pytest.approx(167.329, abs=2e-3)
    assert count_parameters_m(model.neck) == pytest.approx(128.845, abs=2e-3)
    assert count_parameters_m(model.clip2sam.fpn) == pytest.approx(3.836, abs=2e-3)
    head = count_parameters_m(model.clip2sam) - count_parameters_m(model.clip2sam.fpn)
    assert count_parameters_m(model.mask_decoder) + head == pytest.approx(4.031, abs=2e-2)


def test_sam_h_has_the_papers_parameters() -> None:
    assert count_parameters_m(build_sam("sam-h", "meta")) == pytest.approx(641, rel=1e-3)


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_variant_builds_and_its_config_survives_json(name) -> None:
    config = get_config(name)
    build_model(config, "meta")
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="unknown model 'rn51'; known models: rn50, "):
        build_model("rn51")
    with pytest.raises(ConfigError, match="unknown SAM 'sam-x'; known: sam-b, "):
        build_sam("sam-x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_size": 100}, "multiple of 32, got 100"),
        ({"embed_channels": 18}, "embed_channels must be"),
    ],
)
def test_numbers_that_cannot_work_are_refused(changes, message) -> None:
    with pytest.raises(ConfigError, match=message):
        make_tiny_config(**changes)


def test_a_config_of_another_version_is_refused() -> None:
    values = get_config("nano").to_dict() | {"new_setting": 1}
    with pytest.raises(ConfigError, match=r"does not fit this version.*new_setting"):
        ModelConfig.from_dict(values)
