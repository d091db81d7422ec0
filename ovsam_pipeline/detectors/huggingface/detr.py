"""DETR and its descendants by `hf:MODEL`: closed classes, which the model's configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ovsam_pipeline.detectors.huggingface.finder import Candidates, pick_best_pairs

# By `model_type`: one class a box with "no object" as the last, or every class for itself.
SOFTMAX_MODELS = ("detr", "yolos", "table-transformer")
SIGMOID_MODELS = (
    "conditional_detr",
    "d_fine",
    "dab-detr",
    "deformable_detr",
    "deimv2",
    "lw_detr",
    "rf_detr",
    "rt_detr",
    "rt_detr_v2",
)
_NO_CLASS = frozenset(("n/a", "background", "__background__", "no-object"))


class DetrFinder:
    """A network with boxes and class logits; see `Finder`.

    Args:
        network: gives `logits` (B, Q, C) and `pred_boxes` (B, Q, 4) for `pixel_values`.
    """

    def __init__(self, network: nn.Module, config: Any) -> None:
        self.network = network
        self.is_softmax = config.model_type in SOFTMAX_MODELS
        labels = {int(label): name for label, name in config.id2label.items()}
        self.names: tuple[str | None, ...] = tuple(
            _read_class(labels.get(label)) for label in range(max(labels, default=-1) + 1)
        )
        self.depends_on = self.names

    def find(self, inputs: Mapping[str, Tensor]) -> Candidates:
        """Run the network; see `Finder.find`."""
        output = self.network(**inputs)
        logits, boxes = output.logits.float(), output.pred_boxes.float()
        if not self.is_softmax:
            # Slots without a class would displace boxes of a class.
            logits[..., self._list_empty_slots(logits.shape[-1])] = -torch.inf
            return pick_best_pairs(logits.sigmoid(), boxes)
        scores, labels = logits.softmax(-1)[..., :-1].max(-1)
        return Candidates(scores, labels, boxes)

    def _list_empty_slots(self, num_slots: int) -> list[int]:
        names = self.names[:num_slots] + (None,) * (num_slots - len(self.names))
        return [slot for slot, name in enumerate(names) if name is None]

    def measure_frame(self, height: int, width: int) -> tuple[float, float]:
        """Boxes are shares of the image, whatever it is padded to; see `Finder.measure_frame`."""
        return float(width), float(height)


def _read_class(name: str | None) -> str | None:
    return None if name is None or name.lower() in _NO_CLASS else name
