"""Embeddings that stand for classes: their shape, type and length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ovsam.errors import VocabularyError

if TYPE_CHECKING:
    import torch


def check_embeddings(embeddings: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return (C, K, D) float32 unit embeddings on the CPU."""
    import torch

    tensor = torch.as_tensor(embeddings).detach().to("cpu", torch.float32)
    if tensor.ndim == 2:
        tensor = tensor[:, None]
    if tensor.ndim != 3 or tensor.shape[0] != num_classes or 0 in tensor.shape:
        raise VocabularyError(
            f"expected embeddings of shape ({num_classes}, K, D) for {num_classes} classes, "
            f"got {tuple(tensor.shape)}"
        )
    norms = tensor.norm(dim=-1)
    if not torch.isfinite(norms).all() or (norms == 0).any():
        raise VocabularyError("expected finite embeddings that are not zero, got one that is")
    if (norms - 1).abs().max() > 1e-4:
        tensor = tensor / norms[..., None]
    return tensor.contiguous()
