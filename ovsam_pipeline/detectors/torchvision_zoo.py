"""`torchvision[:NAME]`: torchvision's detection models, whose weights it downloads itself.

Input: upright RGB images. Output: boxes with COCO class names. The model normalises and resizes.
These are not the paper's detectors; they need only torchvision.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.error import URLError

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from ovsam.errors import describe_error
from ovsam_pipeline.detectors.base import Detections, Detector, DetectorImage, run_grouped
from ovsam_pipeline.detectors.box_rules import list_class_names, to_detections
from ovsam_pipeline.detectors.identity import identify_torchvision
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.detectors.torchvision_files import check_name, locate_weights
from ovsam_pipeline.errors import DetectorError

_NO_CLASS = frozenset(("__background__", "N/A"))


def build_torchvision_detector(settings: DetectorSettings) -> TorchvisionDetector:
    """Build a model of torchvision with its COCO weights, downloading them where they are not here.

    The argument is the model's name; "" is Faster R-CNN R50-FPN v2. Raises a ConfigError for an
    unknown name, a DetectorError for weights that cannot be fetched or are damaged in the cache.
    """
    name = check_name(settings.argument)
    weights = get_model_weights(name)["COCO_V1"]
    path = locate_weights(name)
    # torch reports downloads on stdout, which is for results.
    with _explain_failure(name, weights.url, path), contextlib.redirect_stdout(sys.stderr):
        state = weights.get_state_dict(
            progress=sys.stderr.isatty(),
            check_hash=True,
            weights_only=True,
        )
        # 91: COCO's ids go up to 90, and 0 is the background. Without a backbone of None,
        # torchvision would also download one that was trained on ImageNet.
        network = get_model(name, weights=None, weights_backbone=None, num_classes=91)
        network.load_state_dict(state)
    identity = identify_torchvision(settings)
    assert identity is not None, "the weights were loaded from there"
    return TorchvisionDetector(
        network, name, weights.meta["categories"], identity.fingerprint, settings
    )


class TorchvisionDetector(Detector):
    """A torchvision detection model as a `Detector`.

    `categories` are class names by label, of which "__background__" and "N/A" are not classes.
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
    """Turn the errors of fetching and loading weights into one sentence."""
    was_here = path.exists()
    try:
        yield
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, KeyError) as error:
        reason = str(error.reason if isinstance(error, URLError) else describe_error(error))[:120]
        if was_here:
            raise DetectorError(
                f"expected the weights of torchvision's {name} in {path}, got a file that does not "
                f"load ({reason}); delete it to fetch it again"
            ) from error
        raise DetectorError(
            f"cannot fetch the weights of torchvision's {name} from {url} ({reason}); download the "
            f"file elsewhere and put it at {path}, or use --detector nano"
        ) from error
