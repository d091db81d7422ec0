"""Parameters → AdamW with the paper's two groups: norms, biases and embeddings do not decay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ovsam.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """AdamW's numbers; defaults are the paper's. A `clip_norm` of 0 clips nothing."""

    learning_rate: float = 1e-4
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.999
    clip_norm: float = 0.01


def group_parameters(modules: Iterable[nn.Module], weight_decay: float) -> list[dict[str, Any]]:
    """Split trainable parameters: matrices and kernels decay; norms, biases, tokens do not."""
    decayed: dict[int, nn.Parameter] = {}
    plain: dict[int, nn.Parameter] = {}
    for root in modules:
        for module in root.modules():
            for parameter in module.parameters(recurse=False):
                if not parameter.requires_grad:
                    continue
                is_kernel = parameter.ndim > 1 and not isinstance(module, nn.Embedding)
                (decayed if is_kernel else plain)[id(parameter)] = parameter
    return [
        {"params": list(decayed.values()), "weight_decay": weight_decay},
        {"params": list(plain.values()), "weight_decay": 0.0},
    ]


def build_optimiser(modules: Iterable[nn.Module], settings: OptimiserSettings) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters of some modules."""
    groups = group_parameters(modules, settings.weight_decay)
    if not any(group["params"] for group in groups):
        raise ConfigError("nothing to train: every parameter is frozen; check train_parts")
    betas = (settings.beta1, settings.beta2)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=betas, fused=True)


def clip_gradients(parameters: Sequence[nn.Parameter], most: float) -> float:
    """Scale all gradients together down to a norm; return the norm before."""
    limit = most if most > 0 else float("inf")
    return float(nn.utils.clip_grad_norm_(parameters, limit))
