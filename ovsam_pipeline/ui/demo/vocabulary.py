"""The names that a demo chooses from: typed, of a built-in list, and shown by examples.

Changing them embeds texts and examples and touches no encoded image. What was embedded before
comes from the cache on disk: texts all together, examples picture by picture.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam.errors import ConfigError, ImageError, VocabularyError, explain
from ovsam.text.class_list import fold_name, make_class
from ovsam_pipeline.ui.demo.session import Session

if TYPE_CHECKING:
    from ovsam.examples.prototypes import ExampleEmbeddings
    from ovsam.examples.references import References
    from ovsam.labelling_model import LabellingModel
    from ovsam.segmenter import Segmenter
    from ovsam.structures import RLE
    from ovsam.text.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

MOST_NAMES = 25_000
MOST_EXAMPLES = 200
_MOST_SHOWN = 200
_TITLE = "examples drawn in the demo"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DrawnExample:
    """An object of an image that shows a class.

    Attributes:
        number: of the example, from 1; numbers of removed ones do not come again.
        name: of its class.
        row: of its image.
        picture: a file with the image.
        digest: of that file's bytes.
    """

    number: int
    name: str
    row: int
    picture: Path
    digest: str
    box_xyxy: tuple[float, float, float, float]
    mask: RLE

    def to_json(self) -> dict[str, Any]:
        """Return it as the page reads it."""
        return {"number": self.number, "name": self.name, "row": self.row}


class DemoVocabulary:
    """The names of a session, changed by the page.

    Attributes:
        text: as the page's text box has it: names, or that of a list.
        examples: in the order of their numbers.
    """

    def __init__(
        self,
        session: Session,
        model: Segmenter,
        names: Vocabulary | None,
        follow: Callable[[Vocabulary], None],
    ) -> None:
        """Take a session that names by `names` already; None: its model gives masks alone.

        `follow` is called with each vocabulary that the session names by from then on.
        """
        self._session, self._model, self._names, self._follow = session, model, names, follow
        self._last_number = 0
        self._changing = threading.Lock()
        self.text = "" if names is None else describe_names(names)
        self.examples: tuple[DrawnExample, ...] = ()

    def set_names(self, vocabulary: Vocabulary, text: str) -> float:
        """Name by other classes, and by the examples as before; return the seconds it took.

        Raises:
            VocabularyError: the model does not know a name.
            ConfigError: the model names nothing.
        """
        with self._changing:
            seconds = self._apply(vocabulary, self.examples)
            self._names, self.text = vocabulary, text
            return seconds

    def add_example(
        self, name: str, row: int, picture: Path, box: Sequence[float], mask: RLE
    ) -> None:
        """Show what a name looks like by an object of an image.

        `picture`: a file with the upright image; `box`: left, top, right, bottom in its pixels. An
        ImageError where the file is gone.
        """
        with self._changing:
            if len(self.examples) >= MOST_EXAMPLES:
                raise ConfigError(
                    f"expected at most {MOST_EXAMPLES} examples; remove one, or draw more into a "
                    "COCO file for --vocabulary examples:FILE"
                )
            left, top, right, bottom = (float(value) for value in box)
            shown = make_class(name, category_id=1, where="the example").name
            with explain("cannot read", picture, ImageError):
                digest = hashlib.sha256(picture.read_bytes()).hexdigest()
            example = DrawnExample(
                self._last_number + 1,
                shown,
                row,
                picture,
                digest,
                (left, top, right, bottom),
                mask,
            )
            self._apply(self._names, (*self.examples, example))
            self.examples += (example,)
            self._last_number += 1

    def remove_example(self, number: int) -> None:
        """Take an example back; a ConfigError where there is none of that number."""
        with self._changing:
            kept = tuple(example for example in self.examples if example.number != number)
            if len(kept) == len(self.examples):
                raise ConfigError(f"there is no example {number}; load the page again")
            self._apply(self._names, kept)
            self.examples = kept

    def describe(self, seconds: float = 0.0) -> dict[str, Any]:
        """Return what the page shows of the names."""
        vocabulary = self._session.vocabulary
        names = [] if vocabulary is None else list_names(vocabulary)
        return {"classes": len(names), "names": names[:_MOST_SHOWN], "seconds": round(seconds, 3)}

    def _apply(self, names: Vocabulary | None, examples: Sequence[DrawnExample]) -> float:
        """Embed the classes and let the session name by them."""
        from ovsam.labelling_model import LabellingModel

        start_s = time.perf_counter()
        if not isinstance(self._model, LabellingModel):
            raise ConfigError(
                f"the model {self._model.config.name} gives masks alone; type the name of each "
                "object, or start with the --model of an OV-SAM"
            )
        embedded = self._embed(self._model, names, examples)
        self._session.set_vocabulary(build_predictor(self._model, embedded), embedded)
        self._follow(embedded)
        return time.perf_counter() - start_s

    def _embed(
        self, model: LabellingModel, names: Vocabulary | None, examples: Sequence[DrawnExample]
    ) -> Vocabulary:
        from ovsam.examples.classes import embed_classes
        from ovsam.examples.references import join_references
        from ovsam.text.vocabulary import Vocabulary

        if not examples:
            if names is None:
                raise ConfigError("expected names or an example, got neither; type a name")
            return embed_names(names, model)
        parts = [self._describe_picture(own) for own in _group_by_picture(examples)]
        seen = [self._look_at(part, model) for part in parts]
        drawn = replace(join_references(parts), title=_TITLE)
        if names is None:
            return embed_classes(Vocabulary.from_references(drawn, _TITLE), model, seen=_join(seen))
        if names.references is not None:
            given = names.references
            seen.insert(0, self._look_at(given, model))
            drawn = join_references([given, drawn])
        both = names.with_references(drawn, f"{names.title}+{_TITLE}")
        return embed_classes(both, model, seen=_join(seen))

    def _look_at(self, references: References, model: LabellingModel) -> ExampleEmbeddings:
        """Return what the model sees in the examples of a picture; computed once."""
        from ovsam.examples.embedding import embed_examples

        with self._session.networks():
            return embed_examples(references, model)

    def _describe_picture(self, examples: Sequence[DrawnExample]) -> References:
        """Return the examples of one picture as those of a file are."""
        from ovsam.examples.references import Example, References

        classes = {fold_name(item.name): item.name for item in examples}
        index_of = {name: index for index, name in enumerate(classes)}
        return References(
            _TITLE,
            tuple(
                replace(make_class(name, category_id=index), aliases=())
                for index, name in enumerate(classes.values(), start=1)
            ),
            (examples[0].picture,),
            tuple(
                Example(0, index_of[fold_name(item.name)], item.box_xyxy, item.mask)
                for item in examples
            ),
            is_cropped=False,
            digest=_compute_digest(examples),
        )


def read_names(text: Any, builtin: Any = None) -> tuple[Vocabulary, str]:
    """Return the vocabulary of a request, without embeddings, and its text.

    Args:
        text: names with commas or lines between them, or the name of a built-in list. Never a file:
            that is for the command line.
        builtin: the name of a built-in list; None: `text` counts.

    Raises:
        VocabularyError: a name is empty, too long or repeated, or there is no such list.
    """
    from ovsam.text.vocabulary_files import BUILT_IN_VOCABULARIES, load_vocabulary, parse_vocabulary

    wanted = text if builtin is None else builtin
    if not isinstance(wanted, str) or not wanted.strip():
        raise VocabularyError("expected names with commas or lines between them, got none")
    name = wanted.strip().lower()
    if name in BUILT_IN_VOCABULARIES:
        return load_vocabulary(name), name
    if builtin is not None:
        lists = ", ".join(BUILT_IN_VOCABULARIES)
        raise VocabularyError(f"expected the name of a list, one of {lists}, got {wanted[:40]!r}")
    names = [part for line in wanted.splitlines() for part in line.split(",")]
    names = [part.strip() for part in names if part.strip()]
    if len(names) > MOST_NAMES:
        raise VocabularyError(
            f"expected at most {MOST_NAMES:,} names in the page, got {len(names):,}; put them into "
            "a file for --vocabulary"
        )
    return parse_vocabulary(",".join(names)), ", ".join(names)


def describe_names(vocabulary: Vocabulary) -> str:
    """Return a vocabulary as the text box has it: the name of a list, else its names."""
    from ovsam.text.vocabulary_files import BUILT_IN_VOCABULARIES

    if vocabulary.title in BUILT_IN_VOCABULARIES or vocabulary.num_classes > _MOST_SHOWN:
        return vocabulary.title
    return ", ".join(list_names(vocabulary))


def list_names(vocabulary: Vocabulary) -> list[str]:
    """Return the names that an object can get."""
    return [item.name for item in vocabulary.classes if not item.rules.ignore]


def embed_names(
    names: Vocabulary, model: LabellingModel, progress: Progress | None = None
) -> Vocabulary:
    """Return a vocabulary with its embeddings, as a run of `ovsam label` has them."""
    from ovsam.examples.classes import embed_classes
    from ovsam_pipeline.labelling.provenance import choose_namer

    namer = None if names.only_texts() is None else choose_namer(model, names)
    return embed_classes(names, model, namer=namer, progress=progress)


def build_predictor(model: Segmenter, vocabulary: Vocabulary | None) -> Any:
    """Return what predicts by an embedded vocabulary, as a run of `ovsam label` does."""
    from ovsam.predictor import Predictor

    return Predictor(model, vocabulary, restrict_to_split=False)


def _group_by_picture(examples: Sequence[DrawnExample]) -> list[list[DrawnExample]]:
    groups: dict[Path, list[DrawnExample]] = {}
    for example in examples:
        groups.setdefault(example.picture, []).append(example)
    return list(groups.values())


def _compute_digest(examples: Sequence[DrawnExample]) -> str:
    """Return a digest of a picture's bytes, the names and the regions."""
    said = [[item.name, item.box_xyxy, item.mask] for item in examples]
    text = json.dumps(["demo 1", examples[0].digest, said])
    return hashlib.sha256(text.encode()).hexdigest()


def _join(parts: Sequence[ExampleEmbeddings]) -> ExampleEmbeddings:
    import torch

    from ovsam.examples.prototypes import ExampleEmbeddings

    return ExampleEmbeddings(
        *(
            torch.cat([getattr(part, name) for part in parts])
            for name in ("clip", "head", "clip_background", "head_background")
        )
    )
