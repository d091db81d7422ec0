"""A vocabulary + a model → the vocabulary with prototypes, of texts and of examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ovsam.examples.embedding import embed_examples
from ovsam.examples.prototypes import ExampleEmbeddings, ExamplePrototypes, build_space
from ovsam.text.class_list import fold_name
from ovsam.text.embedding import embed_vocabulary
from ovsam.text.vocabulary import NONE_OF_EXAMPLES, Vocabulary

if TYPE_CHECKING:
    from ovsam.labelling_model import LabellingModel
    from ovsam.text.name_table import NameTable
    from ovsam.text.text_tower import TextTower

Progress = Callable[[int, int], None]


def embed_classes(
    vocabulary: Vocabulary,
    model: LabellingModel,
    *,
    namer: TextTower | NameTable | None = None,
    progress: Progress | None = None,
    seen: ExampleEmbeddings | None = None,
) -> Vocabulary:
    """Return the vocabulary with the prototypes of all its classes.

    Args:
        vocabulary: one that has prototypes comes back unchanged.
        model: what looks at the examples.
        namer: what embeds texts; None: the model's own.
        progress: called with (texts or examples done, in all) while they are embedded.
        seen: what the model sees in the examples, where that is known; None: it looks at them.

    Raises:
        VocabularyError: the text tower refuses a name, or a picture of examples is gone.
        CheckpointError: texts are to be embedded and the model came without its text tower.
    """
    if vocabulary.references is None:
        if vocabulary.prototypes is not None:
            return vocabulary
        return embed_vocabulary(vocabulary, namer or model.namer, progress=progress)
    if vocabulary.example_prototypes is not None:
        return vocabulary
    texts = _embed_texts(vocabulary, model, namer, progress)
    seen = seen or embed_examples(vocabulary.references, model, progress)
    return vocabulary.with_example_prototypes(texts, _build_examples(vocabulary, model, seen))


def _embed_texts(
    vocabulary: Vocabulary,
    model: LabellingModel,
    namer: TextTower | NameTable | None,
    progress: Progress | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return prototypes (P, D) of the texts, and their classes; none where there are no texts."""
    if vocabulary.prototypes is not None:
        return vocabulary.prototypes
    named = vocabulary.only_texts()
    if named is None:
        return torch.zeros(0, model.config.clip.embed_dim), torch.zeros(0, dtype=torch.int64)
    embedded = embed_vocabulary(named, namer or model.namer, progress=progress)
    assert embedded.prototypes is not None
    rows, owners = embedded.prototypes
    places = torch.tensor([i for i, item in enumerate(vocabulary.classes) if item.aliases])
    return rows, places[owners]


def _build_examples(
    vocabulary: Vocabulary, model: LabellingModel, seen: ExampleEmbeddings
) -> ExamplePrototypes:
    """Return the prototypes of the classes that have examples; a subset may lack some."""
    references = vocabulary.references
    assert references is not None
    index_of = {fold_name(name): index for index, name in enumerate(vocabulary.names)}
    places = [index_of.get(fold_name(item.name)) for item in references.classes]
    present = [row for row, place in enumerate(places) if place is not None]
    row_of = {category: row for row, category in enumerate(present)}
    used = [i for i, item in enumerate(references.examples) if item.category in row_of]
    owners = torch.tensor([row_of[references.examples[i].category] for i in used])
    scale = torch.tensor(model.config.logit_scale).exp().item()
    spaces = [
        build_space(views[used], owners, len(present), background, scale)
        for views, background in (
            (seen.head[:, None], seen.head_background),
            (seen.clip, seen.clip_background),
        )
    ]
    none = vocabulary.num_classes - 1 if vocabulary.names[-1] == NONE_OF_EXAMPLES else None
    classes = torch.tensor([places[row] for row in present])
    return ExamplePrototypes(spaces[0], spaces[1], classes, none)
