"""Open-Vocabulary SAM: boxes and points in, masks and labels of any vocabulary out.

    model = ovsam.load_model("nano")
    predictor = ovsam.Predictor(model, ovsam.load_vocabulary("nano"))
    predictor.set_image(image)
    prediction = predictor.predict(boxes_xyxy=[[10, 20, 200, 180]])

Names are imported at first use, so that `import ovsam` loads neither torch nor open_clip. Begin
reading at `predictor.py`; `model.py` shows how the paper's parts fit together.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names for type checkers, which do not run `__getattr__`
    from ovsam.build import MODEL_NAMES as MODEL_NAMES
    from ovsam.build import build_model as build_model
    from ovsam.build import get_config as get_config
    from ovsam.config import ClipConfig as ClipConfig
    from ovsam.config import ModelConfig as ModelConfig
    from ovsam.config import NeckConfig as NeckConfig
    from ovsam.config import TextConfig as TextConfig
    from ovsam.errors import CheckpointError as CheckpointError
    from ovsam.errors import ConfigError as ConfigError
    from ovsam.errors import DownloadError as DownloadError
    from ovsam.errors import ImageError as ImageError
    from ovsam.errors import MissingDependencyError as MissingDependencyError
    from ovsam.errors import OvsamError as OvsamError
    from ovsam.errors import PromptError as PromptError
    from ovsam.errors import TrainingError as TrainingError
    from ovsam.errors import VocabularyError as VocabularyError
    from ovsam.load import load_model as load_model
    from ovsam.model import OVSAM as OVSAM
    from ovsam.predictor import Predictor as Predictor
    from ovsam.preprocess import prepare_image as prepare_image
    from ovsam.sam import SAM as SAM
    from ovsam.sam import build_sam as build_sam
    from ovsam.structures import EncodedImage as EncodedImage
    from ovsam.structures import Prediction as Prediction
    from ovsam.structures import PreparedImage as PreparedImage
    from ovsam.structures import Prompts as Prompts
    from ovsam.text.embedding import embed_vocabulary as embed_vocabulary
    from ovsam.text.vocabulary import Vocabulary as Vocabulary
    from ovsam.text.vocabulary_files import load_vocabulary as load_vocabulary
    from ovsam.weights.checkpoint import load_checkpoint as load_checkpoint
    from ovsam.weights.checkpoint import load_released_checkpoint as load_released_checkpoint
    from ovsam.weights.checkpoint import save_checkpoint as save_checkpoint

__version__ = "0.1.0"

_NAMES_OF = {
    "build": "MODEL_NAMES build_model get_config",
    "config": "ClipConfig ModelConfig NeckConfig TextConfig",
    "errors": "CheckpointError ConfigError DownloadError ImageError MissingDependencyError "
    "OvsamError PromptError TrainingError VocabularyError",
    "load": "load_model",
    "model": "OVSAM",
    "predictor": "Predictor",
    "preprocess": "prepare_image",
    "sam": "SAM build_sam",
    "structures": "EncodedImage Prediction PreparedImage Prompts",
    "text.embedding": "embed_vocabulary",
    "text.vocabulary": "Vocabulary",
    "text.vocabulary_files": "load_vocabulary",
    "weights.checkpoint": "load_checkpoint load_released_checkpoint save_checkpoint",
}
_HOME_OF = {name: home for home, names in _NAMES_OF.items() for name in names.split()}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'ovsam' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ovsam.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
