"""A run's settings → the same settings with every "auto" decided.

Loads no weights, and torch only where there may be a GPU to ask about.
"""

from __future__ import annotations

import logging
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ovsam.errors import ConfigError
from ovsam.weights.known_weights import KNOWN_MODELS
from ovsam.weights.run_folder import MODEL_FILE, find_own_vocabulary
from ovsam_pipeline.labelling.labeller import Pace

if TYPE_CHECKING:
    from ovsam_pipeline.settings.label import Dtype, LabelConfig, Labels

logger = logging.getLogger(__name__)

# Of drivers on Linux, below "/": NVIDIA's, those of its small boards, AMD's, and Windows' Linux's.
_SIGNS_OF_A_GPU = ("proc/driver/nvidia", "dev/nvidia*", "dev/nv*gpu*", "dev/kfd", "dev/dxg")


def resolve(
    config: LabelConfig, *, needs_model: bool = True, needs_detector: bool = True
) -> LabelConfig:
    """Return the settings with device, dtype, model, detector and labels decided.

    `needs_model`: false leaves the model as it is: none is used. `needs_detector`: false leaves the
    detector as it is. Deciding it needs the model's name.
    """
    device = _choose_device(config.device)
    config = replace(config, device=device, dtype=_choose_dtype(config.dtype, device))
    if needs_model:
        config = replace(config, model=_choose_model(config.model))
        own = find_own_vocabulary(config.model)
        if config.vocabulary == "auto" and own is not None:
            config = replace(config, vocabulary=str(own))
    if needs_detector and config.detector == "auto":
        from ovsam_pipeline.detectors.build import choose_detector

        config = replace(config, detector=choose_detector(config.model))
    if config.labels != "auto":
        return config
    labels = _choose_labels(config)
    # Nobody asked for the detector's names: one that the vocabulary lacks is no mistake.
    passes_unmatched = config.allow_unmatched or labels == "fused"
    return replace(config, labels=labels, allow_unmatched=passes_unmatched)


def choose_pace(config: LabelConfig) -> Pace:
    """Return batch size and threads for the device of resolved settings."""
    import torch

    is_cpu = torch.device(config.device).type == "cpu"
    return Pace(
        batch=config.batch or (1 if is_cpu else 8),
        workers=config.workers or min(8, max(1, torch.get_num_threads())),
        is_overlapping=not is_cpu,
    )


def may_have_gpu() -> bool:
    """Whether torch could find a GPU here; where it could not, it need not be asked."""
    # Elsewhere drivers leave no such signs.
    return not sys.platform.startswith("linux") or any(
        next(Path("/").glob(sign), None) for sign in _SIGNS_OF_A_GPU
    )


def _choose_device(name: str) -> str:
    if name == "cpu" or (name == "auto" and not may_have_gpu()):
        return "cpu"
    if name != "auto" and not re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d+)?", name):
        raise ConfigError(f"expected --device as auto, cpu or cuda:0, got '{name}'")
    if not name.startswith("cuda") or may_have_gpu():
        import torch

        if name == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        if not name.startswith("cuda") or torch.cuda.is_available():
            return str(torch.device(name))
    raise ConfigError(
        f"--device {name} asks for a GPU, and torch finds none here; see ovsam doctor"
    )


def _choose_dtype(name: Dtype, device: str) -> Dtype:
    """Return bf16 where a GPU computes it natively; a CPU keeps float32, the reference."""
    if name != "auto":
        return name
    if device.startswith("cuda"):
        import torch

        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "fp32"


def _choose_model(name: str) -> str:
    from ovsam.weights.hub import DEFAULT_MODEL, best_cached_model

    if name != "auto":
        if name not in KNOWN_MODELS and Path(name).is_dir():
            return _find_trained_model(name)
        if Path(name).suffix and not Path(name).is_file():
            raise ConfigError(f"expected --model as a name or a file, and there is no file {name}")
        return name
    name = best_cached_model()
    if name == DEFAULT_MODEL:
        logger.info(
            "using the embedded model photo: masks by MobileSAM, and 3,260 English names; "
            "OV-SAM's own weights name anything, and better: `ovsam models fetch rn50x16-lvis`"
        )
    else:
        logger.info("using the weights %s from the cache", name)
    return name


def _find_trained_model(folder: str) -> str:
    """Return the model file of a training's folder."""
    model = Path(folder) / MODEL_FILE
    if not model.is_file():
        raise ConfigError(
            f"expected --model as a name, a file or the folder of a training, got {folder} without "
            f"{MODEL_FILE}"
        )
    return str(model)


def _choose_labels(config: LabelConfig) -> Labels:
    """Return who names the objects: both where model and detector are the embedded photo ones.

    Neither of these two knows what the other does: a person is no class of ImageNet, an espresso
    none of COCO. A SAM alone names nothing.
    """
    from ovsam.model_facts import is_sam_name

    if is_sam_name(config.model):
        return "detector"
    is_photo = config.model == "photo" and config.detector == "photo"
    return "fused" if is_photo and config.protocol == "label" else "model"
