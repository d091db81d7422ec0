"""Where the parameters of a new model are made: on a device, or nowhere yet ("meta")."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

# Methods by which layers draw their first values, besides the functions of torch.nn.init.
_DRAWING = {torch.Tensor.normal_, torch.Tensor.uniform_}


@contextmanager
def building_on(device: str | torch.device) -> Iterator[None]:
    """Make parameters on a device. On "meta" nothing is allocated, and no values are drawn.

    torch would draw values that do not exist by functions that load its compiler: seconds.
    """
    device = torch.device(device)
    with torch.device(device):
        if device.type != "meta":
            yield
            return
        with _WithoutValues():
            yield


class _WithoutValues(TorchFunctionMode):
    """Leave tensors as they are where a layer would fill them."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        is_filler = getattr(function, "__module__", None) == "torch.nn.init"
        if (is_filler or function in _DRAWING) and (args or "tensor" in kwargs):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **kwargs)
