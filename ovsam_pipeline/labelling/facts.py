"""Resolved settings, and what is known of model and detector → what a run depends on.

Before anything is loaded, and again with the loaded networks: by the same functions, so that both
say the same. What contradicts itself is refused here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ovsam.errors import ConfigError, VocabularyError
from ovsam_pipeline.labelling.labeller import RunFacts
from ovsam_pipeline.labelling.provenance import (
    describe_boxes,
    describe_labels,
    describe_new_labels,
    describe_parts,
    find_text_seed,
)
from ovsam_pipeline.labelling.rules import build_rules

if TYPE_CHECKING:
    from ovsam.model_facts import ModelFacts
    from ovsam.text.class_list import VocabularyClass
    from ovsam.text.vocabulary import Vocabulary
    from ovsam_pipeline.detectors.base import Known
    from ovsam_pipeline.labelling.rules import LabelRules
    from ovsam_pipeline.labelling.stored_regions import StoredRegions
    from ovsam_pipeline.settings.label import LabelConfig


def describe_labelling(
    config: LabelConfig, model: ModelFacts, detector: Known
) -> tuple[RunFacts, LabelRules]:
    """Return facts and rules of `ovsam label`."""
    rules = _choose_rules(config, model, detector)
    depends_on = describe_labels(config, model, rules, detector)
    provenance = describe_parts(config, model, rules.vocabulary, detector)
    return RunFacts(config, depends_on, provenance, rules.list_categories()), rules


def describe_relabelling(
    config: LabelConfig, model: ModelFacts, regions: StoredRegions
) -> tuple[RunFacts, LabelRules]:
    """Return facts and rules of `ovsam label --relabel`."""
    rules = _choose_rules(config, model, regions)
    depends_on, provenance = describe_new_labels(config, model, rules, regions)
    return RunFacts(config, depends_on, provenance, rules.list_categories()), rules


def describe_detecting(config: LabelConfig, detector: Known) -> RunFacts:
    """Return the facts of `ovsam detect`."""
    depends_on, provenance = describe_boxes(config, detector)
    return RunFacts(config, depends_on, provenance, has_labels=False)


def _choose_rules(config: LabelConfig, model: ModelFacts, detector: Known) -> LabelRules:
    vocabulary, kept = choose_vocabulary(config, model, detector)
    refuse_ignored(vocabulary, kept)
    return build_rules(config, vocabulary, kept, detector)


def refuse_ignored(vocabulary: Vocabulary, kept: frozenset[int] | None) -> None:
    """Refuse classes that are asked for and ignored, and a vocabulary of ignored ones alone."""
    ignored = {index for index, item in enumerate(vocabulary.classes) if item.rules.ignore}
    if kept is not None and (both := sorted(ignored & kept)):
        raise ConfigError(
            f"--classes asks for {vocabulary.names[both[0]]!r}, which the vocabulary "
            f"{vocabulary.title!r} ignores; leave it out, or take its 'ignore' out of the file"
        )
    if len(ignored) == vocabulary.num_classes:
        raise ConfigError(
            f"expected a class that is not ignored in the vocabulary {vocabulary.title!r}, got "
            f"none among {vocabulary.num_classes}; no object could come out"
        )


def check_names(config: LabelConfig, model: ModelFacts, vocabulary: Vocabulary) -> None:
    """Refuse class names that the model cannot embed, where an object may have no other name."""
    is_given = vocabulary.prototypes is not None  # embeddings learned from examples
    is_made_up = find_text_seed(model, vocabulary) is not None
    texts = vocabulary.only_texts()  # examples need no names
    if needs_model_names(config) and texts is not None and not is_given and not is_made_up:
        model.check_vocabulary(texts)


def check_model(config: LabelConfig, model: ModelFacts | None) -> None:
    """Refuse a SAM alone where the model has objects to name; None: what it is is not known yet."""
    from ovsam.model_facts import is_sam_name

    is_sam = is_sam_name(config.model) if model is None else model.is_sam
    if is_sam and needs_model_names(config):
        raise _describe_nameless_model(config)


def needs_model_names(config: LabelConfig) -> bool:
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


def choose_vocabulary(
    config: LabelConfig, model: ModelFacts, detector: Known
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


def _default_vocabulary(config: LabelConfig, model: ModelFacts, detector: Known) -> Vocabulary:
    """Return the words of an embedded model; the detector's where it names objects; else LVIS."""
    from ovsam.text.vocabulary import Vocabulary
    from ovsam.text.vocabulary_files import load_vocabulary

    if model.trained_on == "nano":
        return load_vocabulary("nano")
    if model.name == "photo" and config.labels != "detector":
        return load_vocabulary("everyday")
    if config.labels == "model" or detector.class_names is None:
        return load_vocabulary("lvis")
    coco = load_vocabulary("coco")
    is_coco = {name.lower() for name in detector.class_names} <= {n.lower() for n in coco.names}
    return coco if is_coco else Vocabulary(detector.class_names, title=detector.name)
