"""A run's settings → a labeller: one builder for each of label, detect and relabel.

Called where the labelling happens: in this process, or in each worker of a cluster. The driver of a
cluster imports this file too, to name the builder, so whatever needs torch is imported late. Each
builder has a function that foresees, without networks, what the labels will depend on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ovsam.errors import CheckpointError, VocabularyError
from ovsam_pipeline.detectors.base import Detector
from ovsam_pipeline.labelling.facts import (
    check_model,
    check_names,
    describe_detecting,
    describe_labelling,
    describe_relabelling,
    needs_model_names,
)
from ovsam_pipeline.labelling.labeller import Foresee, Labeller, Outlook, choose_decode
from ovsam_pipeline.labelling.provenance import choose_namer
from ovsam_pipeline.labelling.resolve import choose_pace, resolve
from ovsam_pipeline.labelling.rules import find_max_det

if TYPE_CHECKING:
    from ovsam.predictor import Predictor
    from ovsam.segmenter import Segmenter
    from ovsam.text.vocabulary import Vocabulary
    from ovsam_pipeline.detectors.base import Known
    from ovsam_pipeline.labelling.rules import LabelRules
    from ovsam_pipeline.labelling.stored_regions import StoredRegions
    from ovsam_pipeline.settings.label import LabelConfig

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
_Build = TypeVar("_Build")


def _foreseen_by(foresee: Foresee) -> Callable[[_Build], _Build]:
    """Mark a builder with what foresees its facts; `find_outlook` asks for it."""

    def mark(build: _Build) -> _Build:
        build.foresee = foresee  # type: ignore[attr-defined]
        return build

    return mark


def foresee_labels(config: LabelConfig) -> Outlook | None:
    """Return what `ovsam label` will depend on; None where only loading tells.

    Raises what `build_labeller` would, where that needs no networks.
    """
    from ovsam.model_facts import read_model_facts

    config = resolve(config)
    check_model(config, None)
    model = read_model_facts(config.model)
    check_model(config, model)
    known = identify_run_detector(config)
    if model is None or known is None:
        return None
    facts, rules = describe_labelling(config, model, known)
    check_names(config, model, rules.vocabulary)
    detector = known if isinstance(known, Detector) else None
    return Outlook(facts, partial(build_labeller, detector=detector), detector)


@_foreseen_by(foresee_labels)
def build_labeller(
    config: LabelConfig,
    embedding: Progress | None = None,
    *,
    model: Segmenter | None = None,
    detector: Detector | None = None,
) -> Labeller:
    """Load what `ovsam label` needs: model, detector, vocabulary and rules.

    `embedding`: called with (done, total) while class names are embedded; not on a cache hit.
    `model`, `detector`: that of the settings, where it is loaded already.
    """
    from ovsam.model_facts import describe_model
    from ovsam_pipeline.labelling.modes import MasksAndLabels

    config = resolve(config)
    model = model or load_run_model(config)
    detector = detector or build_run_detector(config)
    facts, rules = describe_labelling(config, describe_model(model), detector)
    predictor = _build_predictor(config, model, rules, embedding)
    mode = MasksAndLabels(predictor, rules, model.config.input_size)
    return Labeller(detector, mode, choose_pace(config), facts, choose_decode(config))


def foresee_boxes(config: LabelConfig) -> Outlook | None:
    """Return what `ovsam detect` will depend on; None where only loading tells."""
    config = resolve(config, needs_model=config.detector == "auto")
    known = identify_run_detector(config)
    if known is None:
        return None
    detector = known if isinstance(known, Detector) else None
    facts = describe_detecting(config, known)
    return Outlook(facts, partial(build_box_finder, detector=detector), detector)


@_foreseen_by(foresee_boxes)
def build_box_finder(
    config: LabelConfig, embedding: Progress | None = None, *, detector: Detector | None = None
) -> Labeller:
    """Load what `ovsam detect` needs: the detector alone, which "auto" chooses by the model.

    All boxes that the detector gives are kept, duplicates too: `ovsam label --detector boxes:OUT`
    drops them by its own `--conf`, `--iou` and `--max-det`, as it does with those of the detector.
    """
    from ovsam_pipeline.labelling.modes import BoxesAlone

    del embedding  # no vocabulary is embedded here
    config = resolve(config, needs_model=config.detector == "auto")
    detector = detector or build_run_detector(config)
    mode = BoxesAlone(config.conf, find_max_det(config))
    facts = describe_detecting(config, detector)
    return Labeller(detector, mode, choose_pace(config), facts, choose_decode(config))


def foresee_new_labels(config: LabelConfig) -> Outlook | None:
    """Return what the labels of `--relabel` will depend on; None where only loading tells."""
    from ovsam.model_facts import read_model_facts
    from ovsam_pipeline.labelling.stored_regions import StoredRegions, locate_regions

    regions = StoredRegions(locate_regions(config))
    config = resolve(config, needs_detector=False)
    model = read_model_facts(config.model)
    check_model(config, model)
    if model is None:
        return None
    facts, rules = describe_relabelling(config, model, regions)
    check_names(config, model, rules.vocabulary)
    return Outlook(facts, partial(build_relabeller, regions=regions), regions)


@_foreseen_by(foresee_new_labels)
def build_relabeller(
    config: LabelConfig,
    embedding: Progress | None = None,
    *,
    regions: StoredRegions | None = None,
) -> Labeller:
    """Load what `ovsam label --relabel` needs: model, vocabulary and the stored regions.

    The image encoder, the mask decoder at its low resolution and the label head run, with the
    stored boxes as prompts: the decoder's coarse mask and label token are what the label head
    reads, so labels are those of a new run. The detector, full-size masks and the suppression of
    duplicates do not run: objects, boxes and masks are those of the stored output, byte for byte.
    `regions`: the stored ones, where they are read already.
    """
    from ovsam.model_facts import describe_model
    from ovsam_pipeline.labelling.modes import StoredMasks
    from ovsam_pipeline.labelling.stored_regions import StoredRegions, locate_regions

    regions = regions or StoredRegions(locate_regions(config))
    config = resolve(config, needs_detector=False)
    model = load_run_model(config)
    facts, rules = describe_relabelling(config, describe_model(model), regions)
    predictor = _build_predictor(config, model, rules, embedding)
    mode = StoredMasks(predictor, rules, model.config.input_size, regions)
    return Labeller(regions, mode, choose_pace(config), facts, choose_decode(config))


def load_run_model(config: LabelConfig) -> Segmenter:
    """Load the model of resolved settings, ready to predict.

    A SAM alone is a ConfigError where the model has objects to name.
    """
    from ovsam.load import load_model
    from ovsam.model_facts import describe_model
    from ovsam.weights.tensor_files import DTYPES

    check_model(config, None)  # before gigabytes are read
    model = load_model(config.model, config.device)
    check_model(config, describe_model(model))
    return model.prepare_for_inference(DTYPES[config.dtype])


def build_run_detector(config: LabelConfig) -> Detector:
    """Build the detector of resolved settings."""
    from ovsam_pipeline.detectors.build import build_detector

    return build_detector(config.detector, **_list_detector_settings(config))


def identify_run_detector(config: LabelConfig) -> Known | None:
    """Return what is known of the detector of resolved settings, or the detector; None: nothing."""
    from ovsam_pipeline.detectors.build import identify_detector

    return identify_detector(config.detector, **_list_detector_settings(config))


def _list_detector_settings(config: LabelConfig) -> dict[str, Any]:
    from ovsam.text.vocabulary_files import load_vocabulary

    # A detector cannot look at examples: it looks for what has a name.
    asked = None if config.vocabulary == "auto" else load_vocabulary(config.vocabulary).only_texts()
    return {
        "conf": config.conf,
        "max_det": config.max_det,
        "device": config.device,
        "dtype": config.dtype,
        "is_compiled": config.compile,
        "vocabulary": asked,
    }


def _build_predictor(
    config: LabelConfig, model: Segmenter, rules: LabelRules, embedding: Progress | None
) -> Predictor:
    """Embed the class names, which may take minutes."""
    from ovsam.predictor import Predictor

    embedded = _embed(config, model, rules.vocabulary, embedding)
    is_restricted = rules.evaluation is not None and rules.evaluation.restricts_to_split
    return Predictor(model, embedded, restrict_to_split=is_restricted)


def _embed(
    config: LabelConfig,
    model: Segmenter,
    vocabulary: Vocabulary,
    embedding: Progress | None,
) -> Vocabulary | None:
    """Return the vocabulary with embeddings; None where the model cannot and need not name it."""
    from ovsam.examples.classes import embed_classes
    from ovsam.labelling_model import LabellingModel

    reason = "a SAM gives masks alone"
    if isinstance(model, LabellingModel):
        try:
            namer = None if vocabulary.only_texts() is None else choose_namer(model, vocabulary)
            return embed_classes(vocabulary, model, namer=namer, progress=embedding)
        except (CheckpointError, VocabularyError) as error:
            if needs_model_names(config):
                raise
            reason = str(error).partition(";")[0]
    logger.info(
        "the detector alone names objects, and model_category, model_score and margin stay empty: "
        "the model %s cannot name them (%s)",
        model.config.name,
        reason,
    )
    return None
