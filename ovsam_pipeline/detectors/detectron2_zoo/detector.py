"""`detectron2:CONFIG[,WEIGHTS]`: any detector that detectron2 builds, where it is installed.

Input: upright RGB images. Output: boxes with the class names of the data set that the
configuration names, else numbered ones. Weights are read by our own readers, never unpickled
freely. Only images that come out at one size run together, so boxes do not depend on the batch.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ovsam.errors import CheckpointError, ConfigError
from ovsam.weights.download import download
from ovsam.weights.files import find_cache_folder
from ovsam_pipeline.detectors.base import (
    Detections,
    Detector,
    DetectorImage,
    compute_fingerprint,
    hash_file,
    run_grouped,
)
from ovsam_pipeline.detectors.box_rules import to_detections
from ovsam_pipeline.detectors.detectron2_zoo.config import (
    ZooModel,
    build_zoo_model,
    import_detectron2,
    locate_config,
)
from ovsam_pipeline.detectors.official.array_pickle import read_official_file
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.errors import DetectorError

logger = logging.getLogger(__name__)

# In files and not in networks, or the other way round, without meaning anything for boxes.
_HARMLESS = re.compile(
    r".*anchor_generator\.cell_anchors\..*|pixel_mean|pixel_std|.*\.num_batches_tracked"
    r"|.*\.(fed_loss_cls_weights|freq_weight)|loss_normalizer"
)
# What detectron2's trainers write next to the config.yaml of a run.
_TRAINED = "model_final.pth"


def build_detectron2_detector(settings: DetectorSettings) -> Detectron2Detector:
    """Build a detector of detectron2 with weights.

    `settings`: `argument` is "CONFIG" or "CONFIG,WEIGHTS". CONFIG is a name in the model zoo, whose
    published weights are then fetched, or the path of a .yaml or LazyConfig .py file. WEIGHTS is a
    .pth, .pkl or .safetensors file; without it model_final.pth next to the file is taken.
    """
    folder = import_detectron2()
    name, _, file_name = settings.argument.partition(",")
    config_path, is_zoo = locate_config(name, folder)
    if file_name:
        weights_path = Path(file_name).expanduser()
    elif is_zoo:
        weights_path = _fetch_zoo_weights(config_path.relative_to(folder / "model_zoo/configs"))
    else:
        weights_path = _find_trained(config_path)
    state = read_official_file(weights_path)
    model = build_zoo_model(config_path, settings.device, is_zoo=is_zoo)
    _load_weights(model.network, state, weights_path)
    fingerprint = compute_fingerprint(
        "detectron2",
        model.description,
        model.class_names,
        hash_file(weights_path),
        settings.conf,
        settings.max_det,
    )
    return Detectron2Detector(model, fingerprint, settings)


def _find_trained(config_path: Path) -> Path:
    path = config_path.with_name(_TRAINED)
    if not path.is_file():
        raise ConfigError(
            f"expected the weights of {config_path} behind a comma (detectron2:CONFIG,WEIGHTS), or "
            f"{_TRAINED} next to it, got neither"
        )
    return path


def _fetch_zoo_weights(config_name: Path) -> Path:
    """Return the published weights of a configuration of the model zoo, fetching them once."""
    from detectron2.model_zoo import get_checkpoint_url

    try:
        url = get_checkpoint_url(config_name.as_posix())
    except RuntimeError as error:
        raise ConfigError(
            f"expected the weights of {config_name.as_posix()} behind a comma "
            "(detectron2:CONFIG,WEIGHTS): detectron2 publishes none for it"
        ) from error
    path = find_cache_folder() / "detectron2" / config_name.with_suffix("") / url.rpartition("/")[2]
    if not path.is_file():
        logger.info("fetching %s", url)
        download(url, path)
    return path


def _load_weights(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load all weights, or say what does not fit."""
    own = network.state_dict()
    given = {name: value for name, value in state.items() if not _HARMLESS.fullmatch(name)}
    missing = [name for name in own if name not in given and not _HARMLESS.fullmatch(name)]
    unexpected = [name for name in given if name not in own]
    differing = [name for name in own if name in given and own[name].shape != given[name].shape]
    if missing or unexpected or differing:
        first = (missing or unexpected or differing)[:3]
        raise CheckpointError(
            f"expected the weights of this configuration's network in {path}, got others: "
            f"{len(missing)} missing, {len(unexpected)} unexpected, {len(differing)} of another "
            f"shape, such as {', '.join(first)}"
        )
    network.load_state_dict(given, strict=False)


class Detectron2Detector(Detector):
    """A network of detectron2 as a `Detector`."""

    def __init__(self, model: ZooModel, fingerprint: str, settings: DetectorSettings) -> None:
        self.name = settings.spec
        self.fingerprint = fingerprint
        self.device = settings.device
        self.model = model
        names = model.class_names
        if names is None and model.num_classes is not None:
            names = tuple(f"class {index}" for index in range(model.num_classes))
        self.class_names: tuple[str, ...] | None = names
        _apply_settings(model.network, settings)

    @torch.inference_mode()
    def detect(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Find the boxes of a batch; see `Detector.detect`."""
        outputs = run_grouped(
            [self._prepare(image.rgb) for image in images],
            lambda item: item["image"].shape,
            self.model.network,
        )
        return [self._to_detections(output) for output in outputs]

    def _prepare(self, rgb: np.ndarray) -> dict[str, Any]:
        """(H, W, 3) uint8 → the resized image and the size that boxes are to be given in."""
        from detectron2.data.transforms import AugInput

        pixels = AugInput(rgb[:, :, ::-1] if self.model.is_bgr else rgb)
        self.model.augmentations(pixels)
        image = torch.from_numpy(np.ascontiguousarray(pixels.image.transpose(2, 0, 1)))
        height, width = rgb.shape[:2]
        return {"image": image.float().to(self.device), "height": height, "width": width}

    def _to_detections(self, output: dict[str, Any]) -> Detections:
        instances = output.get("instances")
        if instances is None or instances.pred_boxes.tensor.shape[-1] != 4:
            came = "none" if instances is None else "rotated boxes"
            raise DetectorError(
                f"expected upright boxes with classes from {self.name}, got {came}; use another "
                "configuration"
            )
        labels = instances.pred_classes.cpu().numpy()
        names = self.class_names
        if names is None:
            names = tuple(f"class {index}" for index in range(labels.max(initial=-1) + 1))
        return to_detections(
            instances.pred_boxes.tensor.float().cpu().numpy(),
            instances.scores.float().cpu().numpy(),
            labels,
            names,
        )


def _apply_settings(network: nn.Module, settings: DetectorSettings) -> None:
    """Set thresholds wherever detectron2 keeps them, and switch off masks and keypoints."""
    network.eval().requires_grad_(False)
    values: dict[str, Any] = {
        "test_score_thresh": settings.score_threshold,
        "test_topk_per_image": settings.max_det,
        "max_detections_per_image": settings.max_det,
        "mask_on": False,
        "keypoint_on": False,
    }
    for module in network.modules():
        for name, value in values.items():
            if hasattr(module, name):
                setattr(module, name, value)
