"""What a run is asked to do: frozen settings, checked when made, and their strict YAML form.

Input: command-line values and, optionally, one YAML file (`--config`), whose keys are the long
flag names. Output: a `LabelConfig`. Nothing here imports torch or reads an image.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ovsam.errors import ConfigError

__all__ = ["LabelConfig", "find_config_file", "load_label_config", "read_config_file"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "labels": ("model", "detector"),
    "engine": ("auto", "local", "ray"),
    "dtype": ("auto", "fp32", "bf16", "fp16"),
    "on_existing": ("resume", "overwrite", "error"),
}
_FRACTIONS = ("conf", "iou", "max_failure_rate")
_SMALLEST = {
    "max_det": 1,
    "batch": 1,
    "workers": 1,
    "part_images": 1,
    "num_gpus": 0,
    "max_failures": 0,
    "preview": 0,
}
_LISTS = ("sources", "classes")


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """Everything `ovsam label` can be told; the names are those of the flags.

    Attributes:
        sources: folders, globs, image files, list files, COCO/LVIS JSON files.
        image_root: folder that the names in COCO JSON files are relative to; None looks around.
        output: output folder; None puts it beside the first source.
        model: name or path of the weights; "auto" takes the best ones in the cache, else nano.
        detector: source of boxes; "auto" takes the best one in the cache, else nano's.
        vocabulary: name or path; "auto" is nano's own words with nano, the detector's names where
            it names the objects, else lvis.
        classes: only these names come out; () keeps all.
        labels: whose class names the objects: "model" (OV-SAM) or "detector".
        conf: detections scoring less are dropped, in [0, 1].
        iou: of two boxes, then of two masks, that overlap more than this, the lower-scoring one is
            dropped, in [0, 1].
        max_det: most detections kept an image.
        dtype: "fp32", "bf16", "fp16", or "auto" for what the device is fastest and exact enough at.
        device: "auto", "cpu", "cuda", "cuda:1".
        batch: images the networks see together; None is 1 on a CPU and 8 on a GPU.
        workers: threads that decode images; None asks the machine.
        engine: "auto", "local" or "ray".
        address: address of a Ray cluster.
        num_gpus: GPUs to use on a Ray cluster.
        on_existing: what to do with results already in the output folder.
        retry_failed: label images again that failed in an earlier run.
        max_failures: the run stops when more images than this fail; None never stops.
        max_failure_rate: the same as a fraction of the images to label, in [0, 1].
        preview: how many pictures with masks and names to draw.
        part_images: most images in one Parquet part.
        part_seconds: a part is written after this time even when it is not full.
    """

    sources: tuple[str, ...]
    image_root: str | None = None
    output: str | None = None
    model: str = "auto"
    detector: str = "auto"
    vocabulary: str = "auto"
    classes: tuple[str, ...] = ()
    labels: str = "model"
    conf: float = 0.25
    iou: float = 0.5
    max_det: int = 300
    dtype: str = "auto"
    device: str = "auto"
    batch: int | None = None
    workers: int | None = None
    engine: str = "auto"
    address: str | None = None
    num_gpus: int | None = None
    on_existing: str = "resume"
    retry_failed: bool = False
    max_failures: int | None = None
    max_failure_rate: float | None = None
    preview: int = 0
    part_images: int = 64
    part_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Refuse values that cannot work, naming the setting.

        Raises:
            ConfigError: a value has the wrong type, is out of range, or names no known choice.
        """
        for field in fields(self):
            _check_type(field.name, getattr(self, field.name), str(field.type))
        if not self.sources or not all(self.sources):
            raise ConfigError("expected at least one source (folder, glob, list or COCO JSON)")
        for name, choices in _CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        for name in _FRACTIONS:
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"expected {_flag(name)} from 0 to 1, got {value}")
        for name, smallest in _SMALLEST.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise ConfigError(f"expected {_flag(name)} of at least {smallest}, got {value}")
        if not (math.isfinite(self.part_seconds) and self.part_seconds > 0):
            raise ConfigError(f"expected --part-seconds above 0, got {self.part_seconds}")
        self._check_engine()

    def _check_engine(self) -> None:
        wanted = [_flag("engine") + " ray"] if self.engine == "ray" else []
        wanted += [_flag(name) for name in ("address", "num_gpus") if getattr(self, name)]
        if wanted:
            raise ConfigError(
                f"{wanted[0]} needs a Ray cluster, and this version of ovsam labels on one machine "
                "only; leave the flag out, or run one `ovsam label` a machine with its own output"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that YAML and JSON can hold."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def load_label_config(config_file: str | None, given: Mapping[str, Any]) -> LabelConfig:
    """Join a config file and the values given on the command line; the latter win.

    Args:
        config_file: path of a YAML file, or the name of a packaged one ("label-quick"); None for
            none.
        given: settings by name; None values were not given.

    Raises:
        ConfigError: the file cannot be read, has an unknown key, or a value cannot work.
    """
    values = read_config_file(config_file) if config_file else {}
    values.update({name: value for name, value in given.items() if value is not None})
    for name in _LISTS:
        if isinstance(values.get(name), str):
            values[name] = _split_names(values[name]) if name == "classes" else (values[name],)
        elif isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    values.setdefault("sources", ())
    return LabelConfig(**values)


def _split_names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise ConfigError(f"expected --classes as names with commas between, got {text!r}")
    return names


def read_config_file(config_file: str) -> dict[str, Any]:
    """Return the settings of a YAML file, with underscores in the names.

    Raises:
        ConfigError: no such file, not YAML, not a mapping, a key twice, or an unknown key.
    """
    import yaml

    from ovsam_pipeline.strict_yaml import load_strict_yaml

    path = find_config_file(config_file)
    try:
        loaded = load_strict_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"cannot read the config file {path}: {reason}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"expected {path} to hold 'flag: value' lines, got {loaded!r:.60}")
    known = {field.name for field in fields(LabelConfig)}
    values: dict[str, Any] = {}
    for key, value in loaded.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise ConfigError(f"unknown key '{key}' in {path}{_nearest(name, known)}")
        if name in values:
            raise ConfigError(f"the key '{key}' stands twice in {path}; keep one")
        values[name] = value
    return {name: value for name, value in values.items() if value is not None}


def find_config_file(name_or_path: str) -> Path:
    """Return the file that `--config` means: a path, or a packaged example without `.yaml`.

    Raises:
        ConfigError: neither exists; the message lists the packaged names.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    packaged = {found.stem: found for found in _packaged_runs()}
    if name_or_path in packaged:
        return packaged[name_or_path]
    known = ", ".join(sorted(packaged)) or "none"
    raise ConfigError(f"no config file '{name_or_path}'; packaged ones: {known}")


def _packaged_runs() -> list[Path]:
    """Config files of an installed wheel (inside the package) or of a checkout (beside it)."""
    package = Path(__file__).resolve().parent
    for folder in (package / "configs" / "runs", package.parent / "configs" / "runs"):
        if folder.is_dir():
            return sorted(folder.glob("*.yaml"))
    return []


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known keys: {', '.join(sorted(known))}"


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"expected {_flag(name)} as one of {', '.join(choices)}, got '{value}'")


def _check_type(name: str, value: Any, annotation: str) -> None:
    """Compare a value with the field's annotation (the few forms that LabelConfig uses)."""
    if value is None and annotation.endswith("| None"):
        return
    kind = annotation.removesuffix(" | None")
    fits = {
        "str": isinstance(value, str) and bool(value),
        "bool": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "float": isinstance(value, int | float) and not isinstance(value, bool),
        "tuple[str, ...]": isinstance(value, tuple) and all(isinstance(v, str) for v in value),
    }[kind]
    if not fits:
        expected = {"str": "text", "bool": "true or false", "int": "a whole number"}
        words = expected.get(kind, "a number" if kind == "float" else "a list of texts")
        raise ConfigError(f"expected {_flag(name)} as {words}, got {value!r}")
