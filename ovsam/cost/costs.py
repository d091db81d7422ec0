"""What a model costs, next to the paper's numbers; those of the named models, counted before.

`scripts/cost_tables.py` counts them by `profile.py` into `data/costs.json`, and writes the tables
of docs/models.md from there: `ovsam info` shows the same numbers without torch.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

COSTS_FILE = Path(__file__).parent.parent / "data" / "costs.json"
PAPER_PROMPTS = 8
"""Prompts of an image, with which the counts meet the paper's; see profile.py."""

PAPER = {
    "rn50": (165.0, 728.0),
    "rn50x16": (304.0, 1180.0),
    "rn50x64": (568.0, 2098.0),
    "convnext-l": (321.0, 1313.0),
    "convnext-l-single-scale": (307.0, 1280.0),
    "sam-h": (641.0, 3001.0),
}
PAPER_BASELINES = {
    "image-crop": (808.0, 3748.0),
    "feature-crop": (808.0, 3545.0),
    "feature-crop-conv": (828.0, 3590.0),
    "feature-crop-simfpn": (812.0, 3580.0),
}
"""Model → (parameters in millions, GMACs at 1024 x 1024) in the paper's Tables 1, 5 and 7."""


@dataclass(frozen=True)
class PartCost:
    """One part of a model.

    `macs` counts one image, or one prompt where `is_per_prompt`. This implementation does not spend
    `macs_saved` of them.
    """

    name: str
    parameters: int
    macs: int
    is_per_prompt: bool = False
    macs_saved: int = 0


@dataclass(frozen=True)
class ModelCost:
    """What a model is made of and what an image with `num_prompts` prompts costs."""

    name: str
    input_size: int
    num_prompts: int
    parts: tuple[PartCost, ...]
    text_parameters: int | None = None

    @property
    def parameters(self) -> int:
        """Parameters of all parts; the text tower is not one of them."""
        return sum(part.parameters for part in self.parts)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image with its prompts."""
        return sum(
            part.macs * (self.num_prompts if part.is_per_prompt else 1) for part in self.parts
        )

    @property
    def paper(self) -> tuple[float, float] | None:
        """The paper's (million parameters, GMACs) for this model at this size, if it has them."""
        comparable = self.input_size == 1024 and self.num_prompts == PAPER_PROMPTS
        return (PAPER | PAPER_BASELINES).get(self.name) if comparable else None


@functools.cache
def read_costs() -> dict[str, ModelCost]:
    """Return the costs of the named models, with the paper's prompts, at their own input sizes."""
    rows = json.loads(COSTS_FILE.read_text(encoding="utf-8"))
    return {
        name: ModelCost(**{**row, "parts": tuple(PartCost(**part) for part in row["parts"])})
        for name, row in rows.items()
    }
