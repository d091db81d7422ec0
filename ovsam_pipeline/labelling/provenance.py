"""What a run's labels depend on, and what they were made with: for the fingerprint and run.json."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ovsam.text.class_list import fold_name
from ovsam.text.text_tower import TextTower, build_text_tower
from ovsam_pipeline.detectors.base import Detector, compute_fingerprint
from ovsam_pipeline.detectors.build import find_family
from ovsam_pipeline.detectors.random_weights import (
    fill_randomly,
    read_random_seed,
    warn_meaningless,
)

if TYPE_CHECKING:
    from ovsam.labelling_model import LabellingModel
    from ovsam.text.vocabulary import Vocabulary
    from ovsam_pipeline.labelling.rules import LabelRules
    from ovsam_pipeline.settings.label import LabelConfig


def choose_text_tower(model: LabellingModel, vocabulary: Vocabulary) -> TextTower:
    """Return the model's text tower; a made-up one where nano is asked for names it does not know.

    The latter with `OVSAM_WEIGHTS=random:SEED` only: without it nano refuses such names.
    """
    seed = find_text_seed(model, vocabulary)
    if seed is None:
        return model.text_tower
    clip = model.config.clip
    tower = build_text_tower(replace(clip, text=replace(clip.text, compact=False)))
    fill_randomly(tower, seed)
    warn_meaningless("nano's text tower")
    return tower


def find_text_seed(model: LabellingModel, vocabulary: Vocabulary) -> int | None:
    """Return the seed of the made-up text tower that a run needs; None: it needs none."""
    tower, seed = model.text_tower, read_random_seed()
    texts = {text for aliases in vocabulary.aliases for text in aliases}
    is_known = tower.known_texts is None or texts <= set(tower.known_texts)
    return None if is_known else seed


# Raise it when a change of code changes labels: outputs made before are then not continued.
LABELS_VERSION = 1


def describe_settings(
    config: LabelConfig, model: LabellingModel, rules: LabelRules, detector: Detector
) -> dict[str, Any]:
    """Return everything that changes labels, in words and hashes.

    Files go by content: the same one under another path is the same detector.
    """
    # Outputs made before there was a protocol stay valid.
    protocol = {} if config.protocol == "label" else {"protocol": config.protocol}
    seed = find_text_seed(model, rules.vocabulary)
    title = rules.vocabulary.title
    return {
        "model": model.config.name,
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
        **protocol,
        **({} if seed is None else {"text_tower": f"random:{seed}"}),
        **describe_matching(config, rules),
    }


def describe_matching(config: LabelConfig, rules: LabelRules) -> dict[str, Any]:
    """Return how a detector's names are matched, where that is more than comparing them.

    Nothing otherwise, so that outputs made before names had aliases stay valid.
    """
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
    config: LabelConfig, model: LabellingModel, vocabulary: Vocabulary, detector: Detector
) -> dict[str, Any]:
    """Return what run.json says of model, detector and vocabulary."""
    return {
        "model": {
            "name": model.config.name,
            "weights": config.model,
            "identity": model.identity,
            "licence": _find_licence(config.model),
        },
        "detector": describe_detector(detector),
        # All that it knows, found or not: labels made from the stored boxes match the same names.
        "class_names": None if detector.class_names is None else list(detector.class_names),
        "vocabulary": {
            "name": vocabulary.title,
            "hash": vocabulary.content_hash,
            "classes": vocabulary.num_classes,
        },
    }


def describe_detector(detector: Detector) -> dict[str, str]:
    """Return what run.json says of the detector: with its weights' licence, where it states one."""
    known = {"name": detector.name, "fingerprint": detector.fingerprint}
    return {**known, "licence": detector.licence} if detector.licence else known


def _find_licence(name_or_path: str) -> str:
    """Return the licence of weights by name, or as a file of our own states it."""
    from ovsam.weights.known_weights import KNOWN_MODELS
    from ovsam.weights.tensor_files import read_metadata

    for known in KNOWN_MODELS.values():
        if known.name == name_or_path:
            return ", ".join(licence.title for licence in known.licences)
    return read_metadata(name_or_path).get("licence", "not stated")
