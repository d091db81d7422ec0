"""What a run's labels depend on, and what they were made with: for the fingerprint and run.json."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam.text.class_list import fold_name
from ovsam.text.vocabulary import NONE_OF_EXAMPLES
from ovsam_pipeline.detectors.base import compute_fingerprint
from ovsam_pipeline.detectors.build import find_family

if TYPE_CHECKING:
    from ovsam.labelling_model import LabellingModel
    from ovsam.model_facts import ModelFacts
    from ovsam.text.name_table import NameTable
    from ovsam.text.text_tower import TextTower
    from ovsam.text.vocabulary import Vocabulary
    from ovsam_pipeline.detectors.base import Known
    from ovsam_pipeline.labelling.rules import LabelRules
    from ovsam_pipeline.labelling.stored_regions import StoredRegions
    from ovsam_pipeline.settings.label import LabelConfig

# Raise one when a change of code changes labels, or boxes: outputs made before are not continued.
LABELS_VERSION = 2  # 2: colour profiles are applied
BOXES_VERSION = 2
# What makes or chooses regions, and so changes nothing where these are stored.
_OF_REGIONS = ("detector", "classes", "conf", "iou", "max_det")


def describe_labels(
    config: LabelConfig, model: ModelFacts, rules: LabelRules, detector: Known
) -> dict[str, Any]:
    """Return everything that changes labels, in words and hashes.

    Files go by content: the same one under another path is the same detector. What is not used is
    left out, so that an output made before the setting existed has the same fingerprint.
    """
    seed = find_text_seed(model, rules.vocabulary)
    title = rules.vocabulary.title
    return {
        "model": model.name,
        "detector": find_family(config.detector),
        "vocabulary": "the detector's" if title == detector.name else title,
        "classes": ", ".join(config.classes) or "all",
        "labels": config.labels,
        "conf": config.conf,
        "iou": config.iou,
        "max_det": config.max_det,
        "dtype": config.dtype,
        "model_hash": model.identity,
        "detector_hash": detector.fingerprint,
        "vocabulary_hash": rules.vocabulary.content_hash,
        "labels_version": LABELS_VERSION,
        **({"min_score": config.min_score} if config.min_score else {}),
        **({"below": config.below} if config.below != "drop" else {}),
        **({} if rules.evaluation is None else {"protocol": rules.evaluation.protocol}),
        **({} if seed is None else {"text_tower": f"random:{seed}"}),
        **describe_matching(config, rules),
    }


def describe_matching(config: LabelConfig, rules: LabelRules) -> dict[str, Any]:
    """Return how a detector's names are matched, where that is more than comparing them."""
    found: dict[str, Any] = {"allow_unmatched": True} if config.allow_unmatched else {}
    names = rules.vocabulary.names
    renamed = sorted(
        (name, names[index])
        for name, index in (rules.detector_labels or {}).items()
        if fold_name(name) != fold_name(names[index])
    )
    if renamed and (config.labels != "model" or config.class_map is not None):
        found["class_map_hash"] = compute_fingerprint(renamed)
    return found


def describe_parts(
    config: LabelConfig, model: ModelFacts, vocabulary: Vocabulary, detector: Known
) -> dict[str, Any]:
    """Return what run.json records of model, detector and vocabulary."""
    return {
        "model": {
            "name": model.name,
            "weights": config.model,
            "identity": model.identity,
            "licence": _find_licence(config.model),
        },
        **_describe_detector(detector),
        "vocabulary": {
            "name": vocabulary.title,
            "hash": vocabulary.content_hash,
            "classes": vocabulary.num_classes - (vocabulary.names[-1] == NONE_OF_EXAMPLES),
            **({"examples": len(vocabulary.references.examples)} if vocabulary.references else {}),
        },
    }


def describe_boxes(config: LabelConfig, detector: Known) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the boxes of `ovsam detect` depend on, and what run.json records of them."""
    depends_on = {
        "task": "detect",
        "detector": find_family(config.detector),
        "conf": config.conf,
        "max_det": config.max_det,
        "dtype": config.dtype,
        "detector_hash": detector.fingerprint,
        "boxes_version": BOXES_VERSION,
    }
    return depends_on, {"task": "detect", **_describe_detector(detector)}


def describe_new_labels(
    config: LabelConfig, model: ModelFacts, rules: LabelRules, regions: StoredRegions
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the labels of `--relabel` depend on, and what run.json records of them."""
    depends_on = describe_labels(config, model, rules, regions)
    parts = describe_parts(config, model, rules.vocabulary, regions)
    source = {
        "output": str(regions.output),
        "depends_on": regions.run.get("depends_on", {}),
        "detector": regions.run.get("detector", {}),
    }
    return (
        {"task": "relabel", **{k: v for k, v in depends_on.items() if k not in _OF_REGIONS}},
        {**parts, "task": "relabel", "regions": source},
    )


def _describe_detector(detector: Known) -> dict[str, Any]:
    known = {"name": detector.name, "fingerprint": detector.fingerprint}
    if detector.licence:
        known["licence"] = detector.licence
    return {
        "detector": known,
        # All that it knows, found or not: labels made from the stored boxes match the same names.
        "class_names": None if detector.class_names is None else list(detector.class_names),
    }


def _find_licence(name_or_path: str) -> str:
    """Return the licence of weights by name, or as a file of ovsam's own states it."""
    from ovsam.weights.known_weights import KNOWN_MODELS
    from ovsam.weights.metadata import read_metadata

    for known in KNOWN_MODELS.values():
        if known.name == name_or_path:
            return ", ".join(licence.title for licence in known.licences)
    if Path(name_or_path).suffix != ".safetensors":  # an official SAM file
        return "not stated"
    return read_metadata(name_or_path).get("licence", "not stated")


def choose_namer(model: LabellingModel, vocabulary: Vocabulary) -> TextTower | NameTable:
    """Return what the model embeds names with, or a made-up text tower.

    The latter where nano is asked for names that it does not know, with
    `OVSAM_WEIGHTS=random:SEED` only: without it nano refuses such names.
    """
    from ovsam.model_facts import describe_model
    from ovsam.text.text_tower import build_text_tower
    from ovsam_pipeline.detectors.random_weights import fill_randomly, warn_meaningless

    seed = find_text_seed(describe_model(model), vocabulary)
    if seed is None:
        return model.namer
    clip = model.config.clip
    assert clip.text is not None, "a name table needs no seed"
    tower = build_text_tower(replace(clip, text=replace(clip.text, compact=False)))
    fill_randomly(tower, seed)
    warn_meaningless("nano's text tower")
    return tower


def find_text_seed(model: ModelFacts, vocabulary: Vocabulary) -> int | None:
    """Return the seed of the made-up text tower that a run needs; None: it needs none."""
    from ovsam_pipeline.detectors.random_weights import read_random_seed

    seed = read_random_seed()
    return seed if model.has_unknown(vocabulary) else None
