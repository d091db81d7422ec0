"""What every editor asks: an object at a prompt, or all objects of an image, by some class names.

The networks are loaded once. Each list of names (a project of Label Studio has its own labels) has
its embeddings and rules; encoded images are shared by all lists.
"""

from __future__ import annotations

import json
import logging
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ovsam.errors import ConfigError, ImageError, VocabularyError, show_value
from ovsam.predictor import Predictor
from ovsam.text.class_list import fold_name
from ovsam.text.vocabulary import Vocabulary
from ovsam_pipeline.detectors.base import compute_fingerprint
from ovsam_pipeline.labelling.build import build_labeller, load_run_model
from ovsam_pipeline.labelling.label_images import label_images
from ovsam_pipeline.labelling.labeller import Labeller
from ovsam_pipeline.labelling.modes import MasksAndLabels
from ovsam_pipeline.labelling.resolve import resolve
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.records import ImageRecord, LabelRecord
from ovsam_pipeline.ui.demo.session import Found, OpenedImage, Session
from ovsam_pipeline.ui.shared_cache import SharedCache

if TYPE_CHECKING:
    import numpy as np

    from ovsam.model_facts import ModelFacts
    from ovsam_pipeline.detectors.base import Detector
    from ovsam_pipeline.settings.label import LabelConfig
    from ovsam_pipeline.ui.demo.prompt import Prompt
    from ovsam_pipeline.ui.editors.images import TaskImage

logger = logging.getLogger(__name__)

PromptMaker = Callable[[tuple[int, int]], "Prompt"]
"""Returns a prompt, given height and width of the image in pixels."""

# Of other detectors the boxes do not depend on the names.
_LOOKS_FOR_NAMES = ("detic", "hf:")
_STORED_BOXES = ("boxes:", "gt:")
# Lists of names that are kept with their embeddings.
_MOST_LISTS = 16
_SHOWN_NAMES, _MOST_NAMES = 5, 50_000
_HASH_DIGITS = 8


@dataclass(frozen=True)
class Naming:
    """The model with a list of names, ready.

    Attributes:
        session: answers prompts.
        labeller: labels whole images, as `ovsam label` does.
        version: changes with everything that changes labels.
    """

    session: Session
    labeller: Labeller
    version: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names that may come out; () of a model that gives masks alone."""
        return tuple(category["name"] for category in self.labeller.facts.categories)


class EditorModel:
    """A loaded model and detector, for many threads.

    Attributes:
        config: the settings, with every "auto" decided.
    """

    def __init__(self, config: LabelConfig) -> None:
        """Load what the settings say.

        Raises:
            OvsamError: as `ovsam label` with these settings.
        """
        from ovsam.model_facts import describe_model

        self.has_own_names = config.vocabulary != "auto"
        self.config = resolve(config)
        if self.config.detector.startswith(_STORED_BOXES):
            raise ConfigError(
                f"--detector {self.config.detector} has boxes of stored images, and an editor "
                "sends others; give a detector that looks at images (`ovsam detectors`)"
            )
        logger.info("Loading model %s, detector %s", self.config.model, self.config.detector)
        self._model = load_run_model(self.config)
        self._facts = describe_model(self._model)
        self._folder = tempfile.TemporaryDirectory(prefix="ovsam-serve-")
        self._lists: SharedCache[tuple[str, ...], Naming] = SharedCache(_MOST_LISTS, lambda _: 1)
        # One image is labelled while the next one is read; pixels of more would only wait.
        self._reading = threading.Semaphore(2)
        self._opening = threading.Semaphore(4)
        self._detector: Detector | None = None
        labeller = self._build_labeller(self.config)
        if not self.config.detector.startswith(_LOOKS_FOR_NAMES):
            self._detector = labeller.detector
        self.own = self._make_naming(labeller)

    def close(self) -> None:
        """Remove what was written."""
        self._folder.cleanup()

    def name_by(self, names: Sequence[str] = ()) -> Naming:
        """Return the model with a list of names; () for those of `--vocabulary`.

        The first call for a list embeds it, which may take minutes for thousands of names; others
        that ask for it meanwhile wait. Names that the model does not know are left out, and told in
        the log; where it knows none, those of `--vocabulary` are taken. Where the detector alone
        names objects its names are taken in any case.

        Raises:
            OvsamError: the names cannot be used, or the model has nothing that embeds names.
        """
        key = tuple(names)
        if not key or self.config.labels == "detector":
            return self.own
        if len(key) > _MOST_NAMES:
            raise ConfigError(f"expected at most {_MOST_NAMES:,} names, got {len(key):,}")
        return self._lists.get(key, lambda: self._build_list(key))

    def open_image(self, image: TaskImage) -> OpenedImage:
        """Return an image ready for prompts; encoded once while it stays in memory."""

        def read(_: object) -> np.ndarray:
            with self._opening:
                return image.read()

        return self.own.session.open_image(image.key, read)

    def point(self, naming: Naming, image: TaskImage, make_prompt: PromptMaker) -> Found:
        """Return the object at a prompt.

        `make_prompt`: is given the height and width of the image in pixels.

        Raises:
            OvsamError: the image cannot be read, or the prompt lies outside it.
        """
        opened = self.open_image(image)
        return naming.session.predict(opened, make_prompt(opened.size_hw))

    def label(self, naming: Naming, image: TaskImage) -> LabelRecord:
        """Return all objects of an image, as `ovsam label` with the same settings finds them.

        Raises:
            ImageError: the image cannot be read or labelled.
        """
        record = ImageRecord(0, "image", Path("image"))
        with self._reading:
            pixels = image.read()
            labeller = replace(naming.labeller, decode=lambda _, **__: pixels)
            with naming.session.networks():
                [row] = label_images([record], labeller)
        if row.error is not None:
            raise ImageError(row.error)
        return row

    def _build_list(self, names: tuple[str, ...]) -> Naming:
        known = _choose_known(names, self._facts)
        if not known:
            logger.warning(
                "none of the labels (%s) is a name that the model %s knows: those of its own names "
                "are given that match one", _shorten(names), self._facts.name,
            )  # fmt: skip
            return self.own
        path = Path(self._folder.name, f"{compute_fingerprint(list(known))}.json")
        path.write_text(json.dumps(known), encoding="utf-8")
        # A class of the detector that a project lacks is no mistake of anybody's.
        config = replace(self.config, vocabulary=str(path), classes=(), allow_unmatched=True)
        with self.own.session.networks():
            labeller = self._build_labeller(config)
        logger.info("ready to name by %s: %s", count_things(len(known), "label"), _shorten(known))
        return self._make_naming(labeller)

    def _build_labeller(self, config: LabelConfig) -> Labeller:
        return build_labeller(config, model=self._model, detector=self._detector)

    def _make_naming(self, labeller: Labeller) -> Naming:
        assert isinstance(labeller.mode, MasksAndLabels)
        predictor = labeller.mode.predictor
        assert isinstance(predictor, Predictor)
        vocabulary = _find_vocabulary(predictor)
        if hasattr(self, "own"):
            session = self.own.session.share(predictor, vocabulary)
        else:
            session = Session(predictor, vocabulary)
        # Where the list of names lies is of no matter.
        depends_on = {k: v for k, v in labeller.facts.depends_on.items() if k != "vocabulary"}
        digits = compute_fingerprint(depends_on)[:_HASH_DIGITS]
        return Naming(session, labeller, f"{labeller.facts.depends_on['model']}-{digits}")


def _find_vocabulary(predictor: Predictor) -> Vocabulary | None:
    try:
        return predictor.vocabulary
    except VocabularyError:  # it segments only
        return None


def _choose_known(names: Sequence[str], facts: ModelFacts) -> list[str]:
    """Return the names that a model can give, each once; tell about the others."""
    # A dict keeps their order, and finds them at once among thousands.
    unknown = dict.fromkeys(name for name in names if not _is_known(name, facts))
    if unknown and len(unknown) < len(names):
        logger.warning(
            "the model %s does not know %s (%s): no object gets one of these names",
            facts.name, count_things(len(unknown), "label"), _shorten([*unknown]),
        )  # fmt: skip
    # Of "cat" and "Cat" the first: to the model they are one.
    by_name = {fold_name(name): name for name in reversed(names) if name not in unknown}
    return [name for name in names if by_name.get(fold_name(name)) == name]


def _is_known(name: str, facts: ModelFacts) -> bool:
    try:
        facts.check_vocabulary(Vocabulary([name]))
    except VocabularyError:
        return False
    return True


def _shorten(names: Sequence[str]) -> str:
    shown = ", ".join(show_value(name) for name in names[:_SHOWN_NAMES])
    return shown + (", …" if len(names) > _SHOWN_NAMES else "")
