"""`OVSAM_WEIGHTS=random:SEED`: made-up weights, to test and try out commands without weight files.

Official detectors, Detic's text tower, and a text tower for nano (where it is given names that it
does not know) get weights made from the seed and each tensor's name and shape, the same on every
machine. One warning states that results are meaningless.
"""

from __future__ import annotations

import logging
import math
import os
import re
import zlib
from typing import TYPE_CHECKING

from ovsam.errors import ConfigError

if TYPE_CHECKING:  # the seed alone is asked for before torch is loaded
    from torch import Tensor, nn

logger = logging.getLogger(__name__)

# Spread of a layer's values, by its name; all others have 1 (see `make_tensor`). Found by trial:
# boxes of all sizes and scores between 0 and 1 come out, so that later steps have something to do.
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
    """Return the seed in `OVSAM_WEIGHTS`, None where it is not set; else a ConfigError."""
    text = os.environ.get("OVSAM_WEIGHTS", "")
    if not text:
        return None
    found = re.fullmatch(r"random:(\d{1,9})", text)
    if found is None:
        raise ConfigError(f"expected OVSAM_WEIGHTS as random:SEED, e.g. random:0, got '{text}'")
    return int(found.group(1))


def warn_meaningless(what: str) -> None:
    """Warn, once per process, that results mean nothing."""
    global _warned  # noqa: PLW0603 - one warning per process, whichever part loads first
    if not _warned:
        logger.warning(
            "OVSAM_WEIGHTS=%s: %s has made-up weights; its boxes and names are meaningless",
            os.environ.get("OVSAM_WEIGHTS", ""),
            what,
        )
        _warned = True


def fill_randomly(module: nn.Module, seed: int) -> None:
    """Give every floating-point parameter and buffer of a module made-up values, in place."""
    import torch

    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                tensor.copy_(make_tensor(name, tuple(tensor.shape), seed))


def make_tensor(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Return float32 values for one tensor; they depend on the arguments alone.

    Weights keep the variance of their input (their spread is 1 / sqrt(fan-in)), gains of norms are
    near 1, variances positive, all else near 0.
    """
    import torch

    key = zlib.crc32(f"{seed}:{name}:{shape}".encode())  # hash() differs between processes
    values = torch.randn(shape, generator=torch.Generator().manual_seed(key))
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var":
        # Some detectors do not divide pixels by their spread, which is about 60 of 0-255.
        return (1 + 0.5 * values.abs()) * (60.0**2 if ".stem." in name else 1.0)
    gain = next((gain for pattern, gain in _GAINS if re.search(pattern, name)), 1.0)
    if len(shape) > 1:
        return values * (gain / math.sqrt(math.prod(shape[1:])))
    centre = next((offset for pattern, offset in _OFFSETS if re.search(pattern, name)), 0.0)
    is_norm_gain = leaf in ("weight", "scale")
    return (1.0 if is_norm_gain else centre) + 0.1 * values
