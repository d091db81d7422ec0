"""`quantise` and `dequantise`: what is kept, what is lost, what is refused."""

import pytest
import torch

from ovsam.errors import CheckpointError
from ovsam.weights.quantise import dequantise, quantise


def test_rows_come_back_within_half_a_step_and_others_bit_for_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = (
        torch.randn(5, 3, 2, 2, generator=generator)
        * torch.tensor([1, 10, 100, 0.1, 0])[:, None, None, None]
    )
    tensors = {"a.weight": weight, "a.bias": torch.randn(5, generator=generator)}

    restored = dequantise(quantise(tensors))

    steps = weight.flatten(1).abs().amax(dim=1) / 127
    error = (restored["a.weight"] - weight).flatten(1).abs().amax(dim=1)
    assert restored.keys() == tensors.keys()
    assert (error <= steps / 2 + 1e-7).all()
    assert torch.equal(restored["a.bias"], tensors["a.bias"])


def test_a_named_scale_that_belongs_to_no_int8_tensor_is_a_tensor_of_its_own() -> None:
    tensors = {"layer": torch.ones(2), "layer.scale": torch.ones(2)}
    assert dequantise(tensors).keys() == tensors.keys()


@pytest.mark.parametrize("scale", [None, torch.ones(4)])
def test_int8_without_a_fitting_scale_is_refused(scale: torch.Tensor | None) -> None:
    tensors = {"w": torch.ones(3, 2, dtype=torch.int8)}
    if scale is not None:
        tensors["w.scale"] = scale
    with pytest.raises(CheckpointError, match="each of 3 rows of the int8 tensor 'w'"):
        dequantise(tensors)
