"""What examples look like to a model → prototypes of their classes, and scores of regions.

Embeddings of one model differ most in what says nothing of the class: how large an object is drawn,
what is around it. The views of the examples show how: their scatter inside classes is whitened
away, after the mean of all classes is taken off. A class is the mean of its examples' views. What
is nearer to no class than other things are is none of the classes: that level is found in the
examples themselves. Measured in docs/examples.md.

Letters: E examples, V views of each, K classes, B regions of background, N regions, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

# Of the scatter, the part that is taken for the same in all directions.
_SHRINKAGE = 0.5
# The level lies so far from what is like other things towards what is like the own class; further
# where few classes are known, as background alone says little of what else there is.
_NEARNESS, _NEARNESS_OF_ONE = 0.25, 0.65
# Cosines of examples with their own class, left out of it, where no class has two examples.
_OF_VIEWS = 0.75
# Share of other things that is below their level.
_OTHERS_BELOW = 0.9
_LEAST_SPAN = 0.05


@dataclass(frozen=True)
class ExampleEmbeddings:
    """What a model sees in examples, of each of its halves: unit vectors, float32 on the CPU.

    Attributes:
        clip: (E, V, D) by frozen CLIP; the first view is the example in its picture.
        head: (E, D) by the trained head, in its picture.
        clip_background: (B, D) of regions beside the examples.
        head_background: (B, D).
    """

    clip: Tensor
    head: Tensor
    clip_background: Tensor
    head_background: Tensor


@dataclass(frozen=True)
class PrototypeSpace:
    """Prototypes in the embeddings of one half of a model.

    Attributes:
        rows: (K, D) unit vectors, centred and whitened.
        centre: (D) what is taken off a unit embedding.
        whitening: (D, D) what it is multiplied with then.
        level: cosine at which a region is as likely of the nearest class as of none.
        scale: logits per cosine.
    """

    rows: Tensor
    centre: Tensor
    whitening: Tensor
    level: float
    scale: float

    def score(self, embeddings: Tensor) -> Tensor:
        """Return logits (N, K) of (N, D) embeddings: 0 at the level."""
        cosines = self._transform(F.normalize(embeddings.float(), dim=-1)) @ self.rows.T
        return (cosines - self.level) * self.scale

    def _transform(self, unit: Tensor) -> Tensor:
        return F.normalize((unit - self.centre) @ self.whitening, dim=-1)

    def to(self, device: torch.device) -> PrototypeSpace:
        """Return it on a device."""
        rows, centre, whitening = (x.to(device) for x in (self.rows, self.centre, self.whitening))
        return PrototypeSpace(rows, centre, whitening, self.level, self.scale)


@dataclass(frozen=True)
class ExamplePrototypes:
    """The prototypes of classes in both halves of a model.

    Attributes:
        owners: (K,) int64 indices of the classes in their vocabulary.
        none_index: index of the class that everything else is; None where other classes take it.
    """

    head: PrototypeSpace
    clip: PrototypeSpace
    owners: Tensor
    none_index: int | None

    def to(self, device: torch.device) -> ExamplePrototypes:
        """Return them on a device."""
        return ExamplePrototypes(
            self.head.to(device), self.clip.to(device), self.owners.to(device), self.none_index
        )


def build_space(
    views: Tensor, owners: Tensor, num_classes: int, background: Tensor, logit_scale: float
) -> PrototypeSpace:
    """Build the prototypes of one half.

    Args:
        views: (E, V, D) unit embeddings of examples; at least one of each class.
        owners: (E,) int64, the class of each.
        num_classes: K.
        background: (B, D) unit embeddings of other things; may be empty.
        logit_scale: most logits per cosine, those of the model's texts.
    """
    num_views, width = views.shape[1:]
    means = torch.stack([views[owners == k].flatten(0, 1).mean(0) for k in range(num_classes)])
    centre = _find_centre(means, background)
    whitening = torch.eye(width)
    if num_views > 1:
        whitening = _whiten((views - means[owners][:, None]).flatten(0, 1))
    moved = F.normalize((views - centre) @ whitening, dim=-1)
    sums = torch.zeros(num_classes, width).index_add_(0, owners, moved.mean(dim=1))
    rows = F.normalize(sums, dim=-1)
    others = F.normalize((background - centre) @ whitening, dim=-1)
    level, span = _find_level(moved, owners, sums, others)
    # What is as near to its class as examples are to theirs has a probability of 0.9.
    scale = min(logit_scale, 2.2 / max((1 - _choose_nearness(num_classes)) * span, _LEAST_SPAN))
    return PrototypeSpace(rows, centre, whitening, level, scale)


def _find_centre(means: Tensor, background: Tensor) -> Tensor:
    """Return the mean of the classes, background one of them; zero for a class by itself."""
    if len(background):
        means = torch.cat([means, background.mean(0, keepdim=True)])
    return means.mean(0) if len(means) > 1 else torch.zeros(means.shape[1])


def _whiten(residuals: Tensor) -> Tensor:
    """Return the (D, D) inverse root of the shrunk scatter of (M, D) differences within classes."""
    scatter = residuals.T @ residuals / len(residuals)
    spread = scatter.diagonal().mean()
    if spread <= 0:
        return torch.eye(len(scatter))
    shrunk = (1 - _SHRINKAGE) * scatter / spread + _SHRINKAGE * torch.eye(len(scatter))
    values, vectors = torch.linalg.eigh(shrunk)
    return vectors * values.rsqrt() @ vectors.T


def _find_level(moved: Tensor, owners: Tensor, sums: Tensor, others: Tensor) -> tuple[float, float]:
    """Return the level, and how much nearer examples are to their own class than other things are.

    `moved` are (E, V, D) views in the space of the prototypes, `sums` (K, D) their sums by class,
    `others` (B, D) background.
    """
    counts = torch.bincount(owners, minlength=len(sums))
    # Each example against its class without it, as it looks in its picture.
    rest = F.normalize(sums[owners] - moved.mean(dim=1), dim=-1)
    plain = moved[:, 0]
    is_left = counts[owners] > 1
    if is_left.any():
        own = (plain * rest).sum(dim=-1)[is_left].mean().item()
    elif moved.shape[1] > 1:
        kept = F.normalize(moved[:, 1:].mean(dim=1), dim=-1)
        own = _OF_VIEWS * (plain * kept).sum(dim=-1).mean().item()
    else:
        own = _OF_VIEWS
    rows = F.normalize(sums, dim=-1)
    strange = (others @ rows.T).amax(dim=1)
    if len(sums) > 1:
        cosines = plain @ rows.T
        cosines[torch.arange(len(plain)), owners] = -1
        strange = torch.cat([strange, cosines.amax(dim=1)])
    other = torch.quantile(strange, _OTHERS_BELOW).item() if len(strange) else 0.0
    if not len(others):
        # A few classes alone lie opposite each other, as their mean is taken off: nothing else
        # does. What is like none of them is at right angles to all.
        other = max(other, 0.0)
    span = max(own - other, 0.0)
    return other + _choose_nearness(len(sums)) * (own - other), span


def _choose_nearness(num_classes: int) -> float:
    return _NEARNESS + (_NEARNESS_OF_ONE - _NEARNESS) / num_classes
