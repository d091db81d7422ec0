"""What an export is asked to do, and what it says when it is done: the same for every format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ovsam.errors import ConfigError
from ovsam_pipeline.export.labels import LabelChoice

ImageMode = Literal["copy", "link", "none"]
OnTop = Literal["smaller", "score"]
_MOST_PADDING = 10


@dataclass(frozen=True)
class ExportOptions:
    """The options of `ovsam export` that more than one format may need.

    Attributes:
        choice: which objects.
        images: whether pictures are copied, linked or left where they are.
        sources: where the images are now; none: where the run that labelled them found them.
        polygons: `coco` writes polygons in place of run lengths.
        split: shares of train, val and test of `yolo`; none: one split.
        padding: of `crops`, as a share of the box's longer side.
        cut_out: `crops` have the mask as transparency.
        calibrated: `csv` has what scores and risks are worth, by OUT/calibration.json.
        on_top: which of two objects `masks` shows where they overlap.
    """

    choice: LabelChoice = field(default_factory=LabelChoice)
    images: ImageMode = "copy"
    sources: tuple[str, ...] = ()
    polygons: bool = False
    split: tuple[float, ...] = ()
    padding: float = 0.1
    cut_out: bool = False
    on_top: OnTop = "smaller"
    calibrated: bool = False

    def __post_init__(self) -> None:
        """Refuse values that no export knows."""
        for flag, value, words in (
            ("--images", self.images, get_args(ImageMode)),
            ("--on-top", self.on_top, get_args(OnTop)),
        ):
            if value not in words:
                raise ConfigError(f"expected {flag} as {' or '.join(words)}, got '{value}'")
        if not 0 <= self.padding <= _MOST_PADDING:
            raise ConfigError(f"expected --padding in 0..{_MOST_PADDING}, got {self.padding}")

    @property
    def writes_all(self) -> bool:
        """Whether `coco` is to write what `ovsam label` writes as annotations.json."""
        return self.choice.is_all and not self.polygons


@dataclass
class ExportSummary:
    """What an export wrote.

    Attributes:
        images: images with or without objects; without those that are gone.
        objects: objects written.
        failed: images that could not be labelled, which are left out.
        missing_ids: of images that were to be copied or linked and are not there any more; they are
            left out with their labels.
        missing_names: the first of them, with the reason.
        notes: sentences that the user should read.
    """

    images: int = 0
    objects: int = 0
    failed: int = 0
    missing_ids: set[int] = field(default_factory=set)
    missing_names: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = {name: value for name, value in vars(self).items() if name != "missing_ids"}
        return {**values, "missing": len(self.missing_ids)}
