"""What every detector family, and `build_detector` of a `python:FILE.py`, is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ovsam.text.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class DetectorSettings:
    """Settings of a detector; each family takes what it knows.

    Attributes:
        spec: what the user wrote after `--detector`.
        argument: of it, what comes after the name.
        conf: boxes that score less are left out; equal stays.
        max_det: boxes that the run keeps per image.
        dtype: what the network's body computes in: "fp32", "bf16" or "fp16".
        is_compiled: whether the body goes through torch.compile.
        vocabulary: classes that the user asked for by name; None: the detector's own.
    """

    spec: str
    argument: str = ""
    conf: float = 0.25
    max_det: int = 300
    device: str = "cpu"
    dtype: str = "fp32"
    is_compiled: bool = False
    vocabulary: Vocabulary | None = None

    @property
    def score_threshold(self) -> float:
        """`conf` for a network that keeps what scores more than a threshold; the run tests >=."""
        # Above the spacing of float32 below 1 (6e-8), below any difference that a user can mean.
        return max(0.0, self.conf - 1e-6)
