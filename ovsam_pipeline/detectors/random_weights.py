"""`OVSAM_WEIGHTS=random:SEED`: made-up weights, so that everything runs without any weight file.

For tests and for trying out commands: detectors asked for by name, Detic's text tower, and (where
nano is asked for names it does not know) a text tower for nano get weights made from the seed and
each tensor's name and shape. They are the same on every machine. What they find is meaningless;
one warning says so.
"""

from __future__ import annotations

import logging
import math
import os
import re
import zlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ovsam.errors import ConfigError

if TYPE_CHECKING:
    pass

logger = logging.getLogger(__name__)

# Spread of the values of a layer, by its name; for all others see `make_tensor`. Boxes of all sizes
# and scores between 0 and 1 come out, so that later steps have something to do.
_GAINS = (
    (r"(conv3|conv_3)\.weight$|attn\.proj\.weight$|mlp\.fc2\.weight$", 0.5),
    (r"objectness_logits\.weight$|agn_hm\.weight$", 2.0),
    (r"anchor_deltas\.weight$", 0.5),
    (r"bbox_pred.*weight$", 0.5),
    (r"cls_score\.weight$", 6.0),
    (r"rel_pos_[hw]$|relative_position_bias_table$|pos_embed$|positional_embedding$", 0.2),
)
_OFFSETS = ((r"agn_hm\.bias$", -1.0), (r"centernet_head\.bbox_pred\.bias$", 3.0))

_warned = False


def read_random_seed() -> int | None:
    """Return the seed that `OVSAM_WEIGHTS` asks for, or None where it is not set.

    Raises:
        ConfigError: it holds anything else than "random:" and a whole number.
    """
    text = os.environ.get("OVSAM_WEIGHTS", "")
    if not text:
        return None
    found = re.fullmatch(r"random:(\d{1,9})", text)
    if found is None:
        raise ConfigError(f"expected OVSAM_WEIGHTS as random:SEED, e.g. random:0, got '{text}'")
    return int(found.group(1))


def warn_meaningless(what: str) -> None:
    """Say, once a process, that results mean nothing."""
    global _warned  # noqa: PLW0603 - one warning a process, whichever part meets the setting first
    if not _warned:
        logger.warning(
            "OVSAM_WEIGHTS=%s: %s has made-up weights; its boxes and names are meaningless",
            os.environ.get("OVSAM_WEIGHTS", ""),
            what,
        )
        _warned = True


@torch.no_grad()
def fill_randomly(module: nn.Module, seed: int) -> None:
    """Give every floating-point parameter and buffer of a module made-up values, in place."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(make_tensor(name, tuple(tensor.shape), seed))


def make_tensor(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Return float32 values for one tensor; a function of the arguments alone.

    Weights keep the variance of what flows through them (their spread is 1 / sqrt(fan-in)), gains
    of norms are near 1, variances positive, all else near 0.
    """
    key = zlib.crc32(f"{seed}:{name}:{shape}".encode())
    values = torch.randn(shape, generator=torch.Generator().manual_seed(key))
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var":
        # A stem sees pixels that some detectors do not bring to unit spread.
        return (1 + 0.5 * values.abs()) * (60.0**2 if ".stem." in name else 1.0)
    gain = next((gain for pattern, gain in _GAINS if re.search(pattern, name)), 1.0)
    if len(shape) > 1:
        return values * (gain / math.sqrt(math.prod(shape[1:])))
    centre = next((offset for pattern, offset in _OFFSETS if re.search(pattern, name)), 0.0)
    is_norm_gain = leaf in ("weight", "scale")
    return (1.0 if is_norm_gain else centre) + 0.1 * values
