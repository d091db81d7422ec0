"""A model on "meta" is the one on a device without values."""

import pytest
import torch
from torch import nn

from ovsam.build import build_model
from ovsam.device import building_on


def test_a_model_without_values_has_the_shapes_of_one_with_values():
    empty, filled = build_model("nano", "meta"), build_model("nano")
    shapes = {name: (value.shape, value.dtype) for name, value in filled.state_dict().items()}
    found = {name: (value.shape, value.dtype) for name, value in empty.state_dict().items()}
    assert found == shapes
    assert all(value.device.type == "meta" for value in empty.state_dict().values())


@pytest.mark.parametrize("fill", [nn.init.normal_, nn.init.trunc_normal_, nn.init.zeros_])
def test_nothing_is_drawn_on_meta_and_all_is_drawn_elsewhere(fill):
    with building_on("meta"):
        assert fill(torch.empty(3)).device.type == "meta"
        assert torch.empty(2).uniform_().shape == (2,)
    with building_on("cpu"):
        assert not fill(torch.full((100,), 9.0)).eq(9).any()
