"""A configuration of detectron2 → a network of it, and how it wants its images.

Reads yaml files of the older kind ("MODEL: ..."), LazyConfig files (.py, or yaml with "_target_"),
from detectron2's model zoo by name or from any path. LazyConfig files are programs: run only
those you trust. No weights are read here.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from ovsam.errors import ConfigError, MissingDependencyError, describe_error
from ovsam.strict import suggest_names

# The memory address of an object is not part of a configuration.
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_RESIZING = "dataloader.test.mapper.augmentations"


@dataclass(frozen=True)
class ZooModel:
    """A network and what belongs to it.

    Attributes:
        network: on its device, with random weights.
        augmentations: detectron2's augmentations that resize an image.
        is_bgr: whether images are given blue first.
        class_names: of the data set that the configuration is tested on, where detectron2 knows
            them and the network has as many classes; else None.
        num_classes: of the network, None where it does not say.
        description: the configuration as text, for the fingerprint.
    """

    network: nn.Module
    augmentations: Any
    is_bgr: bool
    class_names: tuple[str, ...] | None
    num_classes: int | None
    description: str


def import_detectron2() -> Path:
    """Import detectron2 and return its folder."""
    try:
        import detectron2
    except ImportError as error:
        raise MissingDependencyError(
            "--detector detectron2:CONFIG needs detectron2, which no package index has: install it "
            "from its repository, https://github.com/facebookresearch/detectron2, by pip with "
            "--no-build-isolation, so that it is compiled against the torch that is here; or use "
            "--detector faster-rcnn, vitdet or detic, which need no detectron2"
        ) from error
    return Path(detectron2.__file__).parent


def locate_config(name: str, detectron2_folder: Path) -> tuple[Path, bool]:
    """Return the file of a configuration, and whether it is the model zoo's.

    `name`: a path, or a name in the model zoo, with or without its suffix.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path, False
    zoo = detectron2_folder / "model_zoo" / "configs"
    for suffix in ("", ".yaml", ".py"):
        if name and (zoo / f"{name}{suffix}").is_file():
            return zoo / f"{name}{suffix}", True
    known = [
        file.relative_to(zoo).as_posix()
        for kind in ("yaml", "py")
        for file in zoo.rglob(f"*.{kind}")
    ]
    raise ConfigError(
        f"expected a configuration behind --detector detectron2:, a .yaml or .py file or a name of "
        f"its model zoo such as COCO-Detection/faster_rcnn_R_50_FPN_3x.yaml, got '{name}'"
        f"{suggest_names(name, known)}"
    )


def build_zoo_model(path: Path, device: str, *, is_zoo: bool = False) -> ZooModel:
    """Build the network of a configuration.

    `is_zoo`: whether the file is detectron2's own; only there may yaml hold Python, as RetinaNet's
    does.
    """
    with _explain_failure(path):
        if path.suffix == ".py":
            from detectron2.config import LazyConfig

            return _build_lazy(LazyConfig.load(str(path)), path, device)
        content = None if is_zoo else yaml.safe_load(path.read_text())
        if isinstance(content, dict) and "model" in content:
            from omegaconf import OmegaConf

            return _build_lazy(OmegaConf.create(content), path, device)
        return _build_yacs(path, device, is_zoo)


def _build_yacs(path: Path, device: str, is_zoo: bool) -> ZooModel:
    from detectron2.config import get_cfg
    from detectron2.data import transforms
    from detectron2.data.detection_utils import build_augmentation
    from detectron2.modeling import build_model

    config = get_cfg()
    config.merge_from_file(str(path), allow_unsafe=is_zoo)
    config.MODEL.DEVICE = device
    network = build_model(config)
    sets = config.DATASETS.TEST
    return ZooModel(
        network,
        transforms.AugmentationList(build_augmentation(config, False)),
        config.INPUT.FORMAT == "BGR",
        *_find_classes(network, sets[0] if sets else None),
        config.dump(),
    )


def _build_lazy(config: Any, path: Path, device: str) -> ZooModel:
    from detectron2.config import instantiate
    from detectron2.data import transforms
    from omegaconf import OmegaConf

    if "model" not in config:
        raise ConfigError(f"expected a 'model' in the configuration {path}, got none")
    network = instantiate(config.model).to(device)
    steps = OmegaConf.select(config, _RESIZING)
    if steps is None:
        raise ConfigError(
            f"expected {_RESIZING} in the configuration {path}, which says how images are "
            "resized, got none"
        )
    order = OmegaConf.select(config, "dataloader.test.mapper.image_format")
    names = OmegaConf.select(config, "dataloader.test.dataset.names")
    return ZooModel(
        network,
        transforms.AugmentationList(instantiate(steps)),
        (order or getattr(network, "input_format", None) or "BGR") == "BGR",
        *_find_classes(network, names if isinstance(names, str) or not names else names[0]),
        _ADDRESS.sub("", f"{config.model} {steps} {order}"),
    )


def _find_classes(
    network: nn.Module, data_set: str | None
) -> tuple[tuple[str, ...] | None, int | None]:
    """Return class names, where data set and network agree, and the number of classes."""
    from detectron2.data import MetadataCatalog

    heads = getattr(network, "roi_heads", network)
    count = getattr(heads, "num_classes", None)
    names = MetadataCatalog.get(data_set).get("thing_classes", None) if data_set else None
    if not names or (count is not None and len(names) != count):
        return None, count
    return tuple(names), len(names)


@contextlib.contextmanager
def _explain_failure(path: Path) -> Iterator[None]:
    """Turn what reading a configuration and building its network can raise into a sentence."""
    try:
        yield
    except ConfigError:
        raise
    except yaml.constructor.ConstructorError as error:
        raise ConfigError(
            f"expected plain values in {path} and the files it is based on, got Python in yaml "
            f"({describe_error(error)[:200]}), which is run for detectron2's own files only; give "
            "the config.yaml that a training writes into its output folder"
        ) from error
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        ImportError,
        LookupError,
        NameError,
        OSError,
        RuntimeError,
        SyntaxError,
        TypeError,
        ValueError,
        yaml.YAMLError,
    ) as error:
        raise ConfigError(
            f"expected a configuration that the installed detectron2 can build, got {path} "
            f"({type(error).__name__}: {describe_error(error)[:200]}); what needs a project's own "
            "code needs a LazyConfig file that imports it"
        ) from error
