"""A run's settings → a labeller: one builder for each of label, detect and relabel.

Called where the labelling happens: in this process, or in each worker of a cluster. The driver of a
cluster imports this file too, to name the builder, so whatever needs torch is imported late.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ovsam.errors import CheckpointError, ConfigError, VocabularyError
from ovsam_pipeline.labelling.labeller import Labeller, RunFacts
from ovsam_pipeline.labelling.provenance import (
    choose_namer,
    describe_boxes,
    describe_labels,
    describe_new_labels,
    describe_parts,
)
from ovsam_pipeline.labelling.resolve import choose_pace, resolve
from ovsam_pipeline.labelling.rules import build_rules, find_max_det

if TYPE_CHECKING:
    from ovsam.predictor import Predictor
    from ovsam.segmenter import Segmenter
    from ovsam.text.class_list import VocabularyClass
    from ovsam.text.vocabulary import Vocabulary
    from ovsam_pipeline.detectors.base import Detector
    from ovsam_pipeline.labelling.rules import LabelRules
    from ovsam_pipeline.settings.label import LabelConfig

logger = logging.getLogger(__name__)


def build_labeller(
    config: LabelConfig, embedding: Callable[[int, int], None] | None = None
) -> Labeller:
    """Load what `ovsam label` needs: model, detector, vocabulary and rules.

    `embedding`: called with (done, total) while class names are embedded; not on a cache hit.
    """
    from ovsam_pipeline.labelling.modes import MasksAndLabels

    config = resolve(config)
    model = load_run_model(config)
    detector = build_run_detector(config)
    rules, predictor = _build_naming(config, model, detector, embedding)
    return Labeller(
        detector,
        MasksAndLabels(predictor, rules, model.config.input_size),
        choose_pace(config),
        RunFacts(
            config,
            depends_on=describe_labels(config, model, rules, detector),
            provenance=describe_parts(config, model, rules.vocabulary, detector),
            categories=rules.list_categories(),
        ),
    )


def build_box_finder(
    config: LabelConfig, embedding: Callable[[int, int], None] | None = None
) -> Labeller:
    """Load what `ovsam detect` needs: the detector alone, which "auto" chooses by the model.

    All boxes that the detector gives are kept, duplicates too: `ovsam label --detector boxes:OUT`
    drops them by its own `--conf`, `--iou` and `--max-det`, as it does with those of the detector.
    """
    from ovsam_pipeline.labelling.modes import BoxesAlone

    del embedding  # no vocabulary is embedded here
    config = resolve(config, needs_model=config.detector == "auto")
    detector = build_run_detector(config)
    depends_on, provenance = describe_boxes(config, detector)
    return Labeller(
        detector,
        BoxesAlone(config.conf, find_max_det(config)),
        choose_pace(config),
        RunFacts(config, depends_on, provenance, has_labels=False),
    )


def build_relabeller(
    config: LabelConfig, embedding: Callable[[int, int], None] | None = None
) -> Labeller:
    """Load what `ovsam label --relabel` needs: model, vocabulary and the stored regions.

    The image encoder, the mask decoder at its low resolution and the label head run, with the
    stored boxes as prompts: the decoder's coarse mask and label token are what the label head
    reads, so labels are those of a new run. The detector, full-size masks and the suppression of
    duplicates do not run: objects, boxes and masks are those of the stored output, byte for byte.
    """
    from ovsam_pipeline.labelling.modes import StoredMasks
    from ovsam_pipeline.labelling.stored_regions import StoredRegions, locate_regions

    regions = StoredRegions(locate_regions(config))
    config = resolve(config, needs_detector=False)
    model = load_run_model(config)
    rules, predictor = _build_naming(config, model, regions, embedding)
    depends_on, provenance = describe_new_labels(config, model, rules, regions)
    return Labeller(
        regions,
        StoredMasks(predictor, rules, model.config.input_size, regions),
        choose_pace(config),
        RunFacts(config, depends_on, provenance, rules.list_categories()),
    )


def load_run_model(config: LabelConfig) -> Segmenter:
    """Load the model of resolved settings, ready to predict.

    A SAM alone is a ConfigError where the model has objects to name.
    """
    from ovsam.labelling_model import LabellingModel
    from ovsam.load import is_sam_name, load_model
    from ovsam.weights.tensor_files import DTYPES

    if _needs_model_names(config) and is_sam_name(config.model):  # before gigabytes are read
        raise _describe_nameless_model(config)
    model = load_model(config.model, config.device)
    if _needs_model_names(config) and not isinstance(model, LabellingModel):
        raise _describe_nameless_model(config)
    return model.prepare_for_inference(DTYPES[config.dtype])


def _needs_model_names(config: LabelConfig) -> bool:
    """Whether an object may have no other name than the model's."""
    # A stored object may be one that its detector did not name.
    is_left_to_model = config.allow_unmatched or config.relabel is not None
    return config.labels != "detector" or is_left_to_model


def _describe_nameless_model(config: LabelConfig) -> ConfigError:
    """Return the error of a SAM alone where the model has objects to name."""
    wanted, way_out = f"--labels {config.labels}", "give --labels detector and a --detector"
    if config.relabel is not None:
        wanted, way_out = "--relabel", "give the --model of an OV-SAM"
    elif config.labels == "detector":
        wanted, way_out = "--allow-unmatched", "leave it out, or give the --model of an OV-SAM"
    else:
        way_out += " that names its boxes, or the --model of an OV-SAM"
    return ConfigError(
        f"{wanted} needs a model that names objects, and {config.model} is a SAM, which gives "
        f"masks alone; {way_out} (`ovsam models list`)"
    )


def build_run_detector(config: LabelConfig) -> Detector:
    """Build the detector of resolved settings."""
    from ovsam.text.vocabulary_files import load_vocabulary
    from ovsam_pipeline.detectors.build import build_detector

    is_chosen = config.vocabulary != "auto"
    return build_detector(
        config.detector,
        conf=config.conf,
        max_det=config.max_det,
        device=config.device,
        dtype=config.dtype,
        is_compiled=config.compile,
        vocabulary=load_vocabulary(config.vocabulary) if is_chosen else None,
    )


def _build_naming(
    config: LabelConfig,
    model: Segmenter,
    detector: Detector,
    embedding: Callable[[int, int], None] | None,
) -> tuple[LabelRules, Predictor]:
    """Choose vocabulary and rules, then embed the class names, which may take minutes."""
    from ovsam.predictor import Predictor

    vocabulary, kept = _choose_vocabulary(config, model, detector)
    rules = build_rules(config, vocabulary, kept, detector)
    embedded = _embed(config, model, vocabulary, embedding)
    is_restricted = rules.evaluation is not None and rules.evaluation.restricts_to_split
    return rules, Predictor(model, embedded, restrict_to_split=is_restricted)


def _embed(
    config: LabelConfig,
    model: Segmenter,
    vocabulary: Vocabulary,
    embedding: Callable[[int, int], None] | None,
) -> Vocabulary | None:
    """Return the vocabulary with embeddings; None where the model cannot and need not name it."""
    from ovsam.labelling_model import LabellingModel
    from ovsam.text.embedding import embed_vocabulary

    reason = "a SAM gives masks alone"
    if isinstance(model, LabellingModel):
        try:
            namer = choose_namer(model, vocabulary)
            return embed_vocabulary(vocabulary, namer, progress=embedding)
        except (CheckpointError, VocabularyError) as error:
            if _needs_model_names(config):
                raise
            reason = str(error).partition(";")[0]
    logger.info(
        "the detector alone names objects, and model_category, model_score and margin stay empty: "
        "the model %s cannot name them (%s)",
        model.config.name,
        reason,
    )
    return None


def _choose_vocabulary(
    config: LabelConfig, model: Segmenter, detector: Detector
) -> tuple[Vocabulary, frozenset[int] | None]:
    """Return the vocabulary and the indices of the classes that come out (None: all).

    Classes that are asked for without naming a vocabulary are added to the default one where it
    lacks them: the other names still compete, so that not every object becomes one of a few.
    """
    from ovsam.text.vocabulary import Vocabulary
    from ovsam.text.vocabulary_files import load_vocabulary, parse_vocabulary

    is_auto = config.vocabulary == "auto"
    if is_auto:
        vocabulary = _default_vocabulary(config, model, detector)
    else:
        vocabulary = load_vocabulary(config.vocabulary)
    if not config.classes:
        return vocabulary, None
    known: list[int] = []
    added: list[VocabularyClass] = []
    for item in parse_vocabulary(",".join(config.classes)).classes:
        try:
            known.append(vocabulary.index_of(item.name))
        except VocabularyError:
            if not is_auto:
                raise
            next_id = max(vocabulary.category_ids) + 1 + len(added)
            added.append(replace(item, category_id=next_id))
    known += range(vocabulary.num_classes, vocabulary.num_classes + len(added))
    if added:
        vocabulary = Vocabulary.from_classes([*vocabulary.classes, *added], vocabulary.title)
    return vocabulary, frozenset(known)


def _default_vocabulary(config: LabelConfig, model: Segmenter, detector: Detector) -> Vocabulary:
    """Return the words of an embedded model; the detector's where it names objects; else LVIS."""
    from ovsam.text.vocabulary import Vocabulary
    from ovsam.text.vocabulary_files import load_vocabulary

    if getattr(model.config, "trained_on", None) == "nano":  # a SAM has no classes
        return load_vocabulary("nano")
    if model.config.name == "photo" and config.labels != "detector":
        return load_vocabulary("everyday")
    if config.labels == "model" or detector.class_names is None:
        return load_vocabulary("lvis")
    coco = load_vocabulary("coco")
    is_coco = {name.lower() for name in detector.class_names} <= {n.lower() for n in coco.names}
    return coco if is_coco else Vocabulary(detector.class_names, title=detector.name)
