import pytest
import torch

from ovsam.training.loop import autocast
from ovsam.training.loop.autocast import autocast_bfloat16


@pytest.mark.parametrize(
    ("has_it", "wanted", "dtype"),
    [
        (True, True, torch.bfloat16),
        (True, False, torch.float32),
        (False, True, torch.float32),
    ],
)
def test_bfloat16_is_used_where_it_is_wanted_and_native(monkeypatch, has_it, wanted, dtype):
    monkeypatch.setattr(autocast.torch.cpu, "_is_avx512_bf16_supported", lambda: has_it)
    layer = torch.nn.Linear(2, 2)
    with autocast_bfloat16(torch.device("cpu"), wanted):
        assert layer(torch.zeros(1, 2)).dtype == dtype
