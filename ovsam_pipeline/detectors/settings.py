"""What every detector family is given to build a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ovsam.text.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True)
class DetectorSettings:
    """Settings of a detector; each family takes what it knows.

    Attributes:
        spec: what the user wrote behind `--detector`.
        argument: of it, what stands behind the name.
        conf: boxes that score less are left out; equal stays.
        max_det: boxes that the run keeps an image.
        device: "cpu", "cuda", "cuda:1".
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
