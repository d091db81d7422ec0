"""A run's settings → a labeller: one builder for each of label, detect and relabel.

Called where the labelling happens: in this process, or in each worker of a cluster. The driver of a
cluster imports this file too, to name the builder, so whatever needs torch is imported late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ovsam.errors import VocabularyError
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
    from ovsam.labelling_model import LabellingModel
    from ovsam.predictor import Predictor
    from ovsam.text.class_list import VocabularyClass
    from ovsam.text.vocabulary import Vocabulary
    from ovsam_pipeline.detectors.base import Detector
    from ovsam_pipeline.labelling.rules import LabelRules
    from ovsam_pipeline.settings.label import LabelConfig


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


def load_run_model(config: LabelConfig) -> LabellingModel:
    """Load the model of resolved settings, ready to predict."""
    from ovsam.load import load_model
    from ovsam.weights.tensor_files import DTYPES

    return load_model(config.model, config.device).prepare_for_inference(DTYPES[config.dtype])


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
    model: LabellingModel,
    detector: Detector,
    embedding: Callable[[int, int], None] | None,
) -> tuple[LabelRules, Predictor]:
    """Choose vocabulary and rules, then embed the class names, which may take minutes."""
    from ovsam.predictor import Predictor
    from ovsam.text.embedding import embed_vocabulary

    vocabulary, kept = _choose_vocabulary(config, model, detector)
    rules = build_rules(config, vocabulary, kept, detector)
    namer = choose_namer(model, vocabulary)
    vocabulary = embed_vocabulary(vocabulary, namer, progress=embedding)
    is_restricted = rules.evaluation is not None and rules.evaluation.restricts_to_split
    return rules, Predictor(model, vocabulary, restrict_to_split=is_restricted)


def _choose_vocabulary(
    config: LabelConfig, model: LabellingModel, detector: Detector
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


def _default_vocabulary(
    config: LabelConfig, model: LabellingModel, detector: Detector
) -> Vocabulary:
    """Return nano's words for nano; the detector's where it names the objects; else LVIS."""
    from ovsam.text.vocabulary import Vocabulary
    from ovsam.text.vocabulary_files import load_vocabulary

    if model.config.trained_on == "nano":
        return load_vocabulary("nano")
    if config.labels == "model" or detector.class_names is None:
        return load_vocabulary("lvis")
    coco = load_vocabulary("coco")
    is_coco = {name.lower() for name in detector.class_names} <= {n.lower() for n in coco.names}
    return coco if is_coco else Vocabulary(detector.class_names, title=detector.name)
