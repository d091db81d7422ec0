"""The files that torchvision keeps its detection models' weights in, found without torch."""

from __future__ import annotations

import os
from pathlib import Path

from ovsam.errors import ConfigError
from ovsam.strict import suggest_names

DEFAULT_NAME = "fasterrcnn_resnet50_fpn_v2"
# Those of its detection models that give boxes of COCO's classes, and their COCO_V1 files.
_FILES = {
    DEFAULT_NAME: "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth",
    "fasterrcnn_resnet50_fpn": "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
    "fasterrcnn_mobilenet_v3_large_fpn": "fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth",
    "fasterrcnn_mobilenet_v3_large_320_fpn": "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth",
    "retinanet_resnet50_fpn_v2": "retinanet_resnet50_fpn_v2_coco-5905b1c5.pth",
    "retinanet_resnet50_fpn": "retinanet_resnet50_fpn_coco-eeacb38b.pth",
    "fcos_resnet50_fpn": "fcos_resnet50_fpn_coco-99b0c9b7.pth",
    "maskrcnn_resnet50_fpn_v2": "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
    "maskrcnn_resnet50_fpn": "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
    "ssd300_vgg16": "ssd300_vgg16_coco-b556d3b4.pth",
    "ssdlite320_mobilenet_v3_large": "ssdlite320_mobilenet_v3_large_coco-a79551df.pth",
}
TORCHVISION_NAMES = tuple(_FILES)


def check_name(argument: str) -> str:
    """Return the model behind `--detector torchvision`; a ConfigError for an unknown one."""
    name = argument or DEFAULT_NAME
    if name not in _FILES:
        raise ConfigError(
            f"expected a detection model of torchvision, got '{name}'"
            f"{suggest_names(name, _FILES)}; there are {', '.join(_FILES)}"
        )
    return name


def is_cached(name: str = DEFAULT_NAME) -> bool:
    """Return whether the weights of a model are on this machine."""
    return locate_weights(name).is_file()


def locate_weights(name: str) -> Path:
    """Return the path at which torchvision keeps a model's weights once they are downloaded."""
    # As `torch.hub.get_dir` has it.
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"))
    home = Path(os.environ.get("TORCH_HOME", cache / "torch")).expanduser()
    return home / "hub" / "checkpoints" / _FILES[name]
