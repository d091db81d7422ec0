"""Images that are encoded once, and prompts that are answered from that: what a click costs.

`ovsam demo` and `ovsam serve` share it. Threads of a server call it at once: an image is encoded
once even where two ask for it together, and one request at a time uses the networks. Those that
somebody waits for come before previews, and a preview that is out of date never begins.

    session = Session(predictor, vocabulary)
    image = session.open_image(path, lambda warn: decode_file(path, warn=warn))
    found = session.predict(image, Prompt(points=((120, 80, 1),)))
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ovsam.preprocess import prepare_image
from ovsam.text.class_rules import ClassRules
from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.labelling.objects import build_box, build_objects
from ovsam_pipeline.labelling.risk import NameOpinions, assess_objects
from ovsam_pipeline.labelling.rules import LabelRules
from ovsam_pipeline.records import ObjectRecord
from ovsam_pipeline.sources.perceptual_hash import PerceptualHash, compute_phash
from ovsam_pipeline.ui.demo.prompt import Prompt
from ovsam_pipeline.ui.demo.scribble import build_prompts
from ovsam_pipeline.ui.shared_cache import SharedCache

if TYPE_CHECKING:
    from ovsam.decode import Warn
    from ovsam.predictor import Predictor
    from ovsam.structures import RLE, EncodedImage, Prediction
    from ovsam.text.vocabulary import Vocabulary

Read = Callable[["Warn"], NDArray[np.uint8]]
"""Returns (H, W, 3) uint8 RGB pixels, upright; is given what takes a sentence on a flaw of them."""

DEFAULT_CACHE_BYTES = 1_000_000_000
MOST_NAMES = 6
"""Of one object: the best name and the five next."""


class StaleError(Exception):
    """A preview that nobody waits for any more; it did not begin."""


@dataclass(frozen=True, eq=False)
class OpenedImage:
    """An image that is ready for prompts. Whoever holds it may prompt it, also after its eviction.

    Attributes:
        size_hw: height and width in pixels, upright.
        encoded: what the networks computed of it.
        phash: how it looks, as rows have it.
        seconds: that decoding and encoding took.
        num_bytes: of memory that `encoded` takes.
        warning: what was not quite right with the file, or None.
    """

    size_hw: tuple[int, int]
    encoded: EncodedImage
    phash: PerceptualHash | None
    seconds: float
    num_bytes: int
    warning: str | None = None


@dataclass(frozen=True)
class Name:
    """One of the names of an object.

    Attributes:
        score: its probability among the vocabulary's classes.
        is_ignored: whether it is a class that competes and never comes out: of such an object
            `ovsam label` makes none.
    """

    category: str
    score: float
    is_ignored: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as the page reads it."""
        ignored = {"ignored": True} if self.is_ignored else {}
        return {"category": self.category, "score": round(self.score, 6), **ignored}


@dataclass(frozen=True)
class Found:
    """The answer to a prompt.

    Attributes:
        object: mask, names, scores and risk as `ovsam label` stores them; None: the mask is empty.
            Without a vocabulary its `category` is "": a person types one.
        names: the best and the next ones, best first; empty without a vocabulary.
        mask_score: stability of the mask, in [0, 1].
        seconds: from the call to the answer, waiting for others among it.
        model_seconds: of it in the networks and in what follows from their results.
    """

    object: ObjectRecord | None
    names: tuple[Name, ...]
    mask_score: float
    seconds: float
    model_seconds: float

    @property
    def segmentation(self) -> RLE | None:
        """The mask at the size of the image; None where it is empty."""
        return None if self.object is None else self.object.segmentation


@dataclass(frozen=True)
class _Namer:
    """A predictor with its vocabulary, and what makes objects of its predictions."""

    predictor: Predictor
    vocabulary: Vocabulary | None
    rules: LabelRules | None


class Session:
    """Encoded images, and the networks that answer prompts on them; for many threads.

    Attributes:
        input_size: side of the network input in pixels.
    """

    def __init__(
        self,
        predictor: Predictor,
        vocabulary: Vocabulary | None,
        *,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        """Take what predicts.

        Args:
            predictor: with or without a vocabulary.
            vocabulary: the predictor's; None where it segments only.
            cache_bytes: of encoded images that are kept; one is kept in any case.
        """
        self.input_size = predictor.model.config.input_size
        self._namer = _build_namer(predictor, vocabulary)
        self._turns = _Turns()
        self._cache: SharedCache[Hashable, OpenedImage] = SharedCache(
            cache_bytes, lambda image: image.num_bytes
        )

    @property
    def predictor(self) -> Predictor:
        """What predicts now."""
        return self._namer.predictor

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The names of now; None where the model gives masks alone."""
        return self._namer.vocabulary

    def set_vocabulary(self, predictor: Predictor, vocabulary: Vocabulary | None) -> None:
        """Name by other classes from now on; encoded images stay as they are.

        `predictor`: of the same model, with that vocabulary.
        """
        assert predictor.model is self.predictor.model
        self._namer = _build_namer(predictor, vocabulary)

    def share(self, predictor: Predictor, vocabulary: Vocabulary | None) -> Session:
        """Return a session that names by other classes and shares images and turns with this one.

        `predictor`: of the same model, with that vocabulary.
        """
        other = copy.copy(self)
        other.set_vocabulary(predictor, vocabulary)
        return other

    def open_image(self, key: Hashable, read: Read) -> OpenedImage:
        """Return an image ready for prompts: from memory, or read and encoded, once.

        Args:
            key: what tells images apart.
            read: called where the image is not in memory.

        Raises:
            OvsamError: what `read` raises; the next call tries again.
        """

        def open_anew() -> OpenedImage:
            start_s, warnings = time.perf_counter(), list[str]()
            pixels = read(warnings.append)
            prepared, phash = prepare_image(pixels, self.input_size), compute_phash(pixels)
            del pixels  # large ones need not wait for their turn
            with self._turns.take():
                encoded = self.predictor.encode([prepared])[0]
            return OpenedImage(
                prepared.original_size_hw,
                encoded,
                phash,
                time.perf_counter() - start_s,
                count_bytes(encoded),
                "; ".join(warnings) or None,
            )

        return self._cache.get(key, open_anew)

    def predict(
        self,
        image: OpenedImage,
        prompt: Prompt,
        *,
        is_wanted: Callable[[], bool] | None = None,
    ) -> Found:
        """Return the mask at a prompt, with its names.

        Args:
            image: of `open_image`.
            prompt: in pixels of the image.
            is_wanted: of a preview: whether somebody waits for it still. Others go before it.

        Raises:
            PromptError: the prompt lies outside the image, or is of another image's shape.
            StaleError: a preview was not wanted any more before it began.
        """
        start_s = time.perf_counter()
        prompts = build_prompts(prompt, image.encoded)
        with self._turns.take(is_wanted):
            namer = self._namer
            own_s = time.perf_counter()
            prediction = namer.predictor.segment(image.encoded, prompts, masks="rle")
            item = _build_object(prediction, prompt, namer.rules)
        end_s = time.perf_counter()
        return Found(
            item,
            _list_names(prediction, namer.vocabulary),
            float(prediction.mask_scores[0]),
            end_s - start_s,
            end_s - own_s,
        )

    @contextmanager
    def networks(self) -> Iterator[None]:
        """Use the networks for something else meanwhile: examples that are embedded."""
        with self._turns.take():
            yield


def count_bytes(encoded: EncodedImage) -> int:
    """Return the memory that an encoded image takes."""
    features = encoded.features
    tensors = [
        features.image_embedding,
        features.clip_feature,
        *features.fpn_levels,
        *features.mask_details,
    ]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _build_namer(predictor: Predictor, vocabulary: Vocabulary | None) -> _Namer:
    if vocabulary is None:
        return _Namer(predictor, None, None)
    return _Namer(predictor, vocabulary, build_prompt_rules(vocabulary))


def build_prompt_rules(vocabulary: Vocabulary) -> LabelRules:
    """Return the rules of objects that a person pointed at: the model names them, and none goes."""
    from ovsam.text.vocabulary import Vocabulary

    classes = [replace(item, rules=ClassRules()) for item in vocabulary.classes]
    bare = Vocabulary.from_classes(classes, vocabulary.title)
    return LabelRules(bare, iou=None, max_det=None)


def _build_object(
    prediction: Prediction, prompt: Prompt, rules: LabelRules | None
) -> ObjectRecord | None:
    """Return the object of a prediction of one prompt, by the rules of `ovsam label`."""
    if not prediction.areas[0]:
        return None
    found = _describe_prompt(prediction, prompt)
    if rules is not None and prediction.is_named:
        objects, _ = build_objects(prediction, found, rules)
        item = objects[0]
        assert isinstance(item, ObjectRecord)
        return item
    assert prediction.rles is not None
    left, top, right, bottom = (float(value) for value in prediction.boxes_xyxy[0])
    unnamed = ObjectRecord(
        build_box(found, 0),
        bbox=(left, top, right - left, bottom - top),
        category_id=0,
        category="",
        score=1.0,
        margin=None,
        mask_score=float(prediction.mask_scores[0]),
        area=int(prediction.areas[0]),
        segmentation=prediction.rles[0],
        model_category=None,
        model_score=None,
    )
    return assess_objects([unnamed], [NameOpinions(is_by_detector=True)])[0]


def _describe_prompt(prediction: Prediction, prompt: Prompt) -> Detections:
    """Return a prompt as a detection by a person, who is sure that there is something."""
    box = prediction.boxes_xyxy[0] if prompt.box is None else np.array(prompt.box, np.float32)
    on_object = [point[:2] for point in prompt.points if point[2]]
    point = np.array(on_object[:1], np.float32) if on_object and prompt.box is None else None
    return Detections(np.asarray(box, np.float32)[None], np.ones(1, np.float32), points_xy=point)


def _list_names(prediction: Prediction, vocabulary: Vocabulary | None) -> tuple[Name, ...]:
    """Return the best names of a prediction of one prompt."""
    if vocabulary is None or not prediction.is_named:
        return ()
    from ovsam.classifier import EXCLUDED  # imports torch, which is there by now

    fused = prediction.fused_logits[0, :-1].astype(np.float64)
    scores = np.exp(fused - np.logaddexp.reduce(fused))
    best = np.argsort(-fused, kind="stable")[:MOST_NAMES].tolist()
    # The order of equal ones, and the last digits, as the predictor has them.
    chosen = int(prediction.labels[0])
    order = [chosen, *(index for index in best if index != chosen)][:MOST_NAMES]
    scores[chosen] = float(prediction.scores[0])
    return tuple(
        Name(item.name, float(scores[index]), is_ignored=item.rules.ignore)
        for index in order
        if fused[index] > EXCLUDED and (item := vocabulary.classes[index])
    )


class _Turns:
    """Who uses the networks: one at a time, previews last."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_busy = False
        self._num_urgent = 0

    @contextmanager
    def take(self, is_wanted: Callable[[], bool] | None = None) -> Iterator[None]:
        """Wait for a turn and have it; a StaleError where a preview is not wanted before that."""
        with self._changed:
            # Older previews look again whether they are wanted.
            self._changed.notify_all()
            self._wait_urgently() if is_wanted is None else self._wait_idly(is_wanted)
            self._is_busy = True
        try:
            yield
        finally:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()

    def _wait_urgently(self) -> None:
        self._num_urgent += 1
        try:
            self._changed.wait_for(lambda: not self._is_busy)
        finally:
            self._num_urgent -= 1

    def _wait_idly(self, is_wanted: Callable[[], bool]) -> None:
        def may_end() -> bool:
            return not is_wanted() or not (self._is_busy or self._num_urgent)

        self._changed.wait_for(may_end)
        if not is_wanted():
            raise StaleError
