"""What `ovsam train` was asked for; checked without torch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ovsam.checked_yaml import parse_yaml
from ovsam.errors import ConfigError, describe_error
from ovsam.weights.run_folder import check_init
from ovsam_pipeline.settings.config_file import find_training_config

if TYPE_CHECKING:
    from ovsam.training.stages.baseline import BaselineStageSettings
    from ovsam.training.stages.label import LabelStageSettings

Settings = TypeVar("Settings", "LabelStageSettings", "BaselineStageSettings")
# What a stage cannot do without, besides --out; of the others the stage itself knows.
_WITHOUT_CONFIG = ("merge", "check")
_NEEDS_DATA = ("clip", "teacher", "cache-teacher", "distil", "detector")
_NUM_INITS = {
    "text": 1, "cache-teacher": 1, "masks": 1, "labels": 1, "joint": 1, "overfit": 1,
    "merge": 2, "start": 2, "distil": 2,
}  # fmt: skip


def apply_limits(settings: Settings, limits: DataLimits) -> Settings:
    """Return a stage's settings with what the command line says of bad data."""
    if limits.max_bad is not None:
        settings = replace(settings, data_budget=limits.max_bad)
    if limits.all_images:
        settings = replace(settings, check_images=-1)
    if limits.vocabulary is not None:
        settings = replace(settings, vocabulary=limits.vocabulary)
    return settings


@dataclass(frozen=True, kw_only=True)
class DataLimits:
    """How the data of a labels, masks or joint stage is checked, where the YAML is overruled.

    Attributes:
        max_bad: Largest part of the data that may be bad.
        all_images: Decode every picture and mask, not some.
    """

    max_bad: float | None = None
    all_images: bool = False
    vocabulary: str | None = None

    def __post_init__(self) -> None:
        """Refuse a part that is none."""
        if self.max_bad is not None and not 0 <= self.max_bad <= 1:
            raise ConfigError(f"expected --max-bad from 0 to 1, got {self.max_bad}")


@dataclass(frozen=True, kw_only=True)
class StageRequest:
    """What `ovsam train` was asked for; checked without torch."""

    stage: str
    out: Path
    config: Path | None = None
    data: Path | None = None
    images: Path | None = None
    init: tuple[Path, ...] = ()
    font: Path | None = None
    limits: DataLimits = field(default_factory=DataLimits)

    def check(self) -> None:
        """Refuse flags that are missing and files that are not there, before anything is loaded."""
        if self.config is not None or self.stage not in _WITHOUT_CONFIG:
            self.values()
        if self.font is not None and self.stage != "pool":
            raise ConfigError(f"--font is for `ovsam train pool`; `{self.stage}` draws nothing")
        if self.stage in _NEEDS_DATA:
            self.pool()
        if _NUM_INITS.get(self.stage) == 1:
            self.before()
        if _NUM_INITS.get(self.stage) == 2:
            self.before_both()
        for flag, path in (("--data", self.data), ("--images", self.images)):
            if path is not None and not path.exists():
                raise ConfigError(f"{flag}: no such file or folder: {path}")
        for init in self.init:
            check_init(init)

    def values(self) -> dict[str, Any]:
        """Read the YAML file."""
        if self.config is None:
            raise ConfigError(f"`ovsam train {self.stage}` needs --config FILE")
        config = find_training_config(self.config)
        try:
            values = parse_yaml(config.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read {self.config}: {describe_error(error)}") from error
        except ValueError as error:
            raise ConfigError(
                f"expected YAML in {self.config}, got: {describe_error(error)}"
            ) from error
        if not isinstance(values, dict):
            raise ConfigError(f"expected a mapping in {self.config}, got {type(values).__name__}")
        return values

    def pool(self) -> Path:
        """Folder of the data."""
        if self.data is None:
            raise ConfigError(f"`ovsam train {self.stage}` needs --data (see `ovsam train pool`)")
        return self.data

    def before(self) -> Path:
        """Folder of the stage before."""
        if len(self.init) != 1:
            raise ConfigError(f"`ovsam train {self.stage}` needs --init once, got {len(self.init)}")
        return self.init[0]

    def before_both(self) -> tuple[Path, Path]:
        """Folders of the two stages before."""
        if len(self.init) != 2:
            raise ConfigError(
                f"`ovsam train {self.stage}` needs --init twice, got {len(self.init)}"
            )
        return self.init[0], self.init[1]


@dataclass(frozen=True, kw_only=True)
class TrainingPlace:
    """Where a training runs.

    Attributes:
        engine: "local" (alone, or one of torchrun's processes) or "ray".
        address: Of that cluster; None: Ray is started on this machine.
    """

    engine: str = "local"
    num_workers: int | None = None
    address: str | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        """Refuse options that say nothing together."""
        if self.threads < 1:
            raise ConfigError(f"expected --threads of at least 1, got {self.threads}")
        if self.engine == "ray" and self.num_workers is None:
            raise ConfigError("--engine ray needs --num-workers N, the number of processes")
        if self.engine == "local" and (self.num_workers is not None or self.address is not None):
            raise ConfigError(
                "--num-workers and --address are of --engine ray; processes of this machine are "
                "started by torchrun --nproc-per-node N"
            )
