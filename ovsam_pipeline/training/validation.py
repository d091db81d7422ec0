"""A model while it trains → what `ovsam eval` says of it, by that command's own code."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ovsam.errors import ConfigError
from ovsam.model import OVSAM
from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import save_vocabulary
from ovsam.training.stages.label import Validate, ValidationSettings
from ovsam.weights.checkpoint import save_checkpoint
from ovsam_pipeline.errors import DatasetError

logger = logging.getLogger(__name__)


def make_validation(settings: ValidationSettings, out: Path) -> Validate | None:
    """Return what measures a model on the data set of a stage's `validation`; None without one.

    `out`: folder of the run; each evaluation has a folder of its own there until it ends.
    """
    from ovsam_pipeline.evaluation.datasets import find_dataset

    if not settings.dataset:
        return None
    data_root, image_root = settings.data_root or None, settings.image_root or None
    try:
        find_dataset(settings.dataset, data_root=data_root, image_root=image_root)
    except DatasetError as error:
        raise ConfigError(
            f"{error} (in the training's YAML these are validation.dataset, validation.data_root "
            "and validation.image_root)"
        ) from error

    def validate(model: OVSAM, vocabulary: Vocabulary) -> Mapping[str, float]:
        from ovsam_pipeline.evaluation.run import evaluate

        with tempfile.TemporaryDirectory(prefix="validation-", dir=out) as name:
            folder = Path(name)
            save_checkpoint(model, folder / "model.safetensors")
            classes = settings.vocabulary
            if not classes:
                save_vocabulary(vocabulary, folder / "vocabulary.safetensors")
                classes = str(folder / "vocabulary.safetensors")
            result = evaluate(
                settings.dataset,
                progress=False,  # a training has a bar of its own
                data_root=data_root,
                image_root=image_root,
                prompts=settings.prompts,
                limit=settings.limit or None,
                vocabulary=classes,
                model=folder / "model.safetensors",
                output=folder / "eval",
                device=str(model.device),
                plots=False,
                worst=0,
            )
        if not result.metrics:
            logger.warning("the validation was stopped before its end: no numbers of it")
            return {}
        found = result.metrics["metrics"]["instances"]
        return {name: value for name, value in found.items() if isinstance(value, float)}

    return validate
