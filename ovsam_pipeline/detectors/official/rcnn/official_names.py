"""Official files → our networks: what may be left out of a file's names, and the load itself.

Input: {name: tensor or array} as read elsewhere. Names and shapes are ours already; only what the
networks do not have on purpose (masks, training, texts) is dropped, anything else is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ovsam.errors import CheckpointError
from ovsam_pipeline.detectors.official.rcnn.network import RCNN

_IGNORED = re.compile(
    r"proposal_generator\.anchor_generator\.cell_anchors\.\d+"
    r"|pixel_mean|pixel_std"
    r"|roi_heads\.mask_head\..+"
    r"|roi_heads\.box_predictor\.\d\.(fed_loss_cls_weights|freq_weight)"
    r"|.+\.num_batches_tracked"
    r"|backbone\.bottom_up\.base\.fc\.(weight|bias)"
    r"|roi_heads\.box_predictor\.\d\.cls_score\.zs_weight"
)
_COMPUTED = "relative_position_index"
_MOST_NAMES = 5


def filter_official_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's entries without those that no network here has.

    Left out: anchors, pixel statistics, mask heads, training-only buffers, ImageNet's classifier,
    and Detic's texts, which are of another vocabulary.
    """
    return {name: value for name, value in state.items() if not _IGNORED.fullmatch(name)}


def load_official_state(network: RCNN, state: Mapping[str, Any]) -> RCNN:
    """Load the entries of an official file, tensors or numpy arrays.

    `state`: as read; what `filter_official_state` leaves out may be there or not.
    """
    own = network.state_dict()
    given = filter_official_state(state)
    missing = sorted(network.loadable_names() - given.keys())
    unexpected = sorted(given.keys() - own.keys())
    shapes = {
        name: (tuple(own[name].shape), tuple(value.shape))
        for name, value in given.items()
        if name in own and tuple(own[name].shape) != tuple(value.shape)
    }
    if missing or unexpected or shapes:
        raise CheckpointError(_describe_mismatch(missing, unexpected, shapes))
    # A computed buffer stays as computed: a file cannot bring an index outside its table.
    tensors = {
        name: _to_tensor(value, own[name])
        for name, value in given.items()
        if not name.endswith(_COMPUTED)
    }
    network.load_state_dict(tensors, strict=False, assign=True)
    network.requires_grad_(False)
    return network


def _to_tensor(value: Any, own: Tensor) -> Tensor:
    tensor = value if isinstance(value, Tensor) else torch.from_numpy(value)
    return tensor.detach().to(
        dtype=own.dtype, device=own.device if own.device.type != "meta" else None
    )


def _describe_mismatch(
    missing: list[str],
    unexpected: list[str],
    shapes: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]],
) -> str:
    """Say what differs between a file and the network, in one sentence."""
    parts = []
    if missing:
        parts.append(f"{len(missing)} missing ({_list_some(missing)})")
    if unexpected:
        parts.append(f"{len(unexpected)} unexpected ({_list_some(unexpected)})")
    if shapes:
        name, (expected, came) = next(iter(sorted(shapes.items())))
        parts.append(f"{len(shapes)} of another shape ({name}: expected {expected}, got {came})")
    return (
        f"expected weights of this detector, got names that differ: {', '.join(parts)}; "
        f"choose the file of this architecture and class count"
    )


def _list_some(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
