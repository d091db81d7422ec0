"""Open-Vocabulary SAM: boxes and points in, masks and labels of any vocabulary out.

    model = ovsam.load_model("nano")
    predictor = ovsam.Predictor(model, ovsam.load_vocabulary("nano"))
    predictor.set_image(image)
    prediction = predictor.predict(boxes_xyxy=[[10, 20, 200, 180]])

Names are imported at first use, so that `import ovsam` loads neither torch nor open_clip.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ovsam.build import MODEL_NAMES, build_model, get_config
    from ovsam.config import ClipConfig, ModelConfig, NeckConfig, TextConfig
    from ovsam.errors import (
        CheckpointError,
        ConfigError,
        DownloadError,
        ImageError,
        MissingDependencyError,
        OvsamError,
        PromptError,
        TrainingError,
        VocabularyError,
    )
    from ovsam.load import load_model
    from ovsam.model import OVSAM
    from ovsam.predictor import Predictor
    from ovsam.preprocess import prepare_image
    from ovsam.sam import SAM, build_sam
    from ovsam.structures import EncodedImage, Prediction, PreparedImage, Prompts
    from ovsam.text.embedding import embed_vocabulary
    from ovsam.text.vocabulary import Vocabulary
    from ovsam.text.vocabulary_files import load_vocabulary
    from ovsam.weights.checkpoint import load_checkpoint, load_released_checkpoint, save_checkpoint

__version__ = "0.1.0"

_HOME_OF = {
    "MODEL_NAMES": "build",
    "build_model": "build",
    "get_config": "build",
    "load_checkpoint": "weights.checkpoint",
    "load_released_checkpoint": "weights.checkpoint",
    "save_checkpoint": "weights.checkpoint",
    "ClipConfig": "config",
    "ModelConfig": "config",
    "NeckConfig": "config",
    "TextConfig": "config",
    "CheckpointError": "errors",
    "ConfigError": "errors",
    "DownloadError": "errors",
    "ImageError": "errors",
    "MissingDependencyError": "errors",
    "OvsamError": "errors",
    "PromptError": "errors",
    "TrainingError": "errors",
    "VocabularyError": "errors",
    "load_model": "load",
    "OVSAM": "model",
    "Predictor": "predictor",
    "prepare_image": "preprocess",
    "SAM": "sam",
    "build_sam": "sam",
    "EncodedImage": "structures",
    "Prediction": "structures",
    "PreparedImage": "structures",
    "Prompts": "structures",
    "Vocabulary": "text.vocabulary",
    "embed_vocabulary": "text.embedding",
    "load_vocabulary": "text.vocabulary_files",
}

__all__ = [
    "MODEL_NAMES",
    "OVSAM",
    "SAM",
    "CheckpointError",
    "ClipConfig",
    "ConfigError",
    "DownloadError",
    "EncodedImage",
    "ImageError",
    "MissingDependencyError",
    "ModelConfig",
    "NeckConfig",
    "OvsamError",
    "Prediction",
    "Predictor",
    "PreparedImage",
    "PromptError",
    "Prompts",
    "TextConfig",
    "TrainingError",
    "Vocabulary",
    "VocabularyError",
    "build_model",
    "build_sam",
    "embed_vocabulary",
    "get_config",
    "load_checkpoint",
    "load_model",
    "load_released_checkpoint",
    "load_vocabulary",
    "prepare_image",
    "save_checkpoint",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ovsam' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ovsam.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
