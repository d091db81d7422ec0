"""`torchvision[:NAME]`: torchvision's detection models, with weights by its own download.

Input: upright RGB images. Output: boxes with COCO class names. The model itself normalises and
resizes. These are not the paper's detectors; they need nothing but torchvision.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import detection as zoo
from torchvision.models._api import WeightsEnum

from ovsam.errors import ConfigError
from ovsam.strict import suggest_names
from ovsam_pipeline.detectors.base import (
    Detections,
    Detector,
    DetectorImage,
    compute_fingerprint,
    hash_file,
    run_grouped,
)
from ovsam_pipeline.detectors.box_rules import list_class_names, to_detections
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.errors import DetectorError

DEFAULT_NAME = "fasterrcnn_resnet50_fpn_v2"
_NO_CLASS = frozenset(("__background__", "N/A"))


@dataclass(frozen=True)
class _Model:
    build: Callable[..., nn.Module]
    weights: WeightsEnum


_MODELS = {
    DEFAULT_NAME: _Model(
        zoo.fasterrcnn_resnet50_fpn_v2, zoo.FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1
    ),
    "fasterrcnn_resnet50_fpn": _Model(
        zoo.fasterrcnn_resnet50_fpn, zoo.FasterRCNN_ResNet50_FPN_Weights.COCO_V1
    ),
    "fasterrcnn_mobilenet_v3_large_fpn": _Model(
        zoo.fasterrcnn_mobilenet_v3_large_fpn,
        zoo.FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1,
    ),
    "fasterrcnn_mobilenet_v3_large_320_fpn": _Model(
        zoo.fasterrcnn_mobilenet_v3_large_320_fpn,
        zoo.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
    ),
    "retinanet_resnet50_fpn_v2": _Model(
        zoo.retinanet_resnet50_fpn_v2, zoo.RetinaNet_ResNet50_FPN_V2_Weights.COCO_V1
    ),
    "retinanet_resnet50_fpn": _Model(
        zoo.retinanet_resnet50_fpn, zoo.RetinaNet_ResNet50_FPN_Weights.COCO_V1
    ),
    "fcos_resnet50_fpn": _Model(zoo.fcos_resnet50_fpn, zoo.FCOS_ResNet50_FPN_Weights.COCO_V1),
    "maskrcnn_resnet50_fpn_v2": _Model(
        zoo.maskrcnn_resnet50_fpn_v2, zoo.MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1
    ),
    "maskrcnn_resnet50_fpn": _Model(
        zoo.maskrcnn_resnet50_fpn, zoo.MaskRCNN_ResNet50_FPN_Weights.COCO_V1
    ),
    "ssd300_vgg16": _Model(zoo.ssd300_vgg16, zoo.SSD300_VGG16_Weights.COCO_V1),
    "ssdlite320_mobilenet_v3_large": _Model(
        zoo.ssdlite320_mobilenet_v3_large, zoo.SSDLite320_MobileNet_V3_Large_Weights.COCO_V1
    ),
}


def build_torchvision_detector(settings: DetectorSettings) -> TorchvisionDetector:
    """Build a model of torchvision with its COCO weights, downloading them where they are not here.

    The argument is the model's name; "" is Faster R-CNN R50-FPN v2. Raises a ConfigError for an
    unknown name, a DetectorError for weights that cannot be fetched or are damaged in the cache.
    """
    name = settings.argument or DEFAULT_NAME
    if name not in _MODELS:
        raise ConfigError(
            f"expected a detection model of torchvision, got '{name}'"
            f"{suggest_names(name, _MODELS)}; there are {', '.join(_MODELS)}"
        )
    model = _MODELS[name]
    path = locate_weights(model.weights.url)
    # torch reports downloads on stdout, which is for results.
    with _explain_failure(name, model.weights.url, path), contextlib.redirect_stdout(sys.stderr):
        state = model.weights.get_state_dict(
            progress=sys.stderr.isatty(),
            check_hash=True,
            weights_only=True,
        )
        network = model.build(weights=None, weights_backbone=None, num_classes=91)
        network.load_state_dict(state)
    fingerprint = compute_fingerprint(
        "torchvision", name, hash_file(path), settings.conf, settings.max_det
    )
    categories = model.weights.meta["categories"]
    return TorchvisionDetector(network, name, categories, fingerprint, settings)


def is_cached(name: str = DEFAULT_NAME) -> bool:
    """Return whether the weights of a model are on this machine."""
    return locate_weights(_MODELS[name].weights.url).is_file()


def locate_weights(url: str) -> Path:
    """Return where torchvision keeps the file of a URL, whether it is there or not."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


class TorchvisionDetector(Detector):
    """A torchvision detection model as a `Detector`.

    Args:
        network: maps a list of (3, H, W) float images to boxes, labels and scores.
        name: of the model.
        categories: class names by label; "__background__" and "N/A" are not classes.
        fingerprint: of weights and settings.
        settings: of the run.
    """

    def __init__(
        self,
        network: nn.Module,
        name: str,
        categories: Sequence[str],
        fingerprint: str,
        settings: DetectorSettings,
    ) -> None:
        self.name = f"torchvision:{name}"
        self.fingerprint = fingerprint
        self.device = settings.device
        self.categories = tuple(None if name in _NO_CLASS else name for name in categories)
        self.class_names: tuple[str, ...] | None = list_class_names(self.categories)
        self.network = network.to(settings.device).eval().requires_grad_(False)
        # Two-stage models keep their thresholds in the second stage.
        head = getattr(network, "roi_heads", network)
        head.score_thresh = settings.score_threshold
        head.detections_per_img = settings.max_det

    @torch.inference_mode()
    def detect(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Find the boxes of a batch; see `Detector.detect`."""
        return run_grouped(images, lambda image: image.rgb.shape, self._run)

    def _run(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Run images of one size."""
        outputs = self.network([self._to_tensor(image.rgb) for image in images])
        return [
            to_detections(
                output["boxes"].float().cpu().numpy(),
                output["scores"].float().cpu().numpy(),
                output["labels"].cpu().numpy(),
                self.categories,
            )
            for output in outputs
        ]

    def _to_tensor(self, rgb: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 → (3, H, W) float32 in [0, 1]."""
        return torch.from_numpy(rgb).to(self.device).permute(2, 0, 1).float().div_(255)


@contextlib.contextmanager
def _explain_failure(name: str, url: str, path: Path) -> Iterator[None]:
    """Turn what fetching and loading weights can raise into one sentence."""
    was_here = path.exists()
    try:
        yield
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError) as error:
        reason = error.reason if isinstance(error, URLError) else " ".join(str(error).split())
        if was_here:
            raise DetectorError(
                f"expected the weights of torchvision's {name} in {path}, got a file that does not "
                f"load ({str(reason)[:120]}): delete it, and it is fetched again"
            ) from error
        raise DetectorError(
            f"cannot fetch the weights of torchvision's {name} from {url} ({str(reason)[:120]}): "
            f"fetch the file elsewhere and put it at {path}, or use --detector nano"
        ) from error
