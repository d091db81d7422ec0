"""`Vocabulary`: class names, the texts that stand for them, base/novel split, text embeddings.

File formats are in class_list.py and vocabulary_files.py, embeddings are computed in embedding.py,
those of examples in `ovsam.examples`.

Letters: C classes, K texts (prototypes) per class, D embedding width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from ovsam.errors import VocabularyError
from ovsam.strict import suggest_names
from ovsam.text.class_list import (
    Split,
    VocabularyClass,
    check_indices,
    check_texts,
    fold_name,
    make_class,
)
from ovsam.text.class_rules import ClassRules

if TYPE_CHECKING:
    import torch

    from ovsam.examples.prototypes import ExamplePrototypes
    from ovsam.examples.references import References

NONE_OF_EXAMPLES = "(none of the examples)"
"""What is near no example is of this class, which is ignored, where examples are all there is."""


class Vocabulary:
    """The classes that a model chooses from, in order; immutable.

        ovsam.Vocabulary(["cat", "dog"])
        ovsam.Vocabulary(["cat", "dog"], base=[0], novel=[1], aliases=[["cat", "kitten"], []])

    Args:
        names: (C) class names, different whatever their case.
        embeddings: (C, K, D) or (C, D) text embeddings; kept as float32 and brought to unit
            length where they are not. None: `embed_vocabulary` computes them.
        base: indices of the classes that the model's labels were trained on (paper section 4.1).
        novel: indices of the classes to keep besides `base`; with a split, classes in neither set
            are never chosen.
        aliases: for each class the texts to embed, unchanged; None, or an empty list: the name,
            in lower case. A class scores by its best text.
        category_ids: (C) ids written to COCO files; None: 1 to C.
        title: what the vocabulary is called in reports.

    Attributes:
        classes: (C) `VocabularyClass` records.
        title: as given.
        references: examples that show classes, beside the texts of others or in their place; None
            where there are none.

    Raises:
        VocabularyError: no classes, empty or repeated names, aliases that are not lists of texts,
            lists of other lengths, indices outside the classes or in both sets, embeddings of
            another shape, not finite or zero.
    """

    classes: tuple[VocabularyClass, ...]
    title: str
    references: References | None
    _embeddings: torch.Tensor | None
    _prototypes: tuple[torch.Tensor, torch.Tensor] | None
    _own_embeddings: bool
    _example_prototypes: ExamplePrototypes | None
    _index_by_name: dict[str, int]

    def __init__(
        self,
        names: Sequence[str],
        embeddings: torch.Tensor | None = None,
        base: Iterable[int] | None = None,
        novel: Iterable[int] | None = None,
        *,
        aliases: Sequence[Sequence[str]] | None = None,
        category_ids: Sequence[int] | None = None,
        title: str = "custom",
    ) -> None:
        if isinstance(names, str):
            raise VocabularyError(
                f"expected a list of class names, got the text {names[:40]!r}; "
                "use load_vocabulary for a file or parse_vocabulary for a comma list"
            )
        ids = range(1, len(names) + 1) if category_ids is None else category_ids
        if len(ids) != len(names) or (aliases is not None and len(aliases) != len(names)):
            raise VocabularyError(
                f"expected category_ids and aliases for each of {len(names)} names, got "
                f"{len(ids)} ids and {len(names if aliases is None else aliases)} alias lists"
            )
        in_base = set(check_indices(base, len(names), "base") or ())
        in_novel = set(check_indices(novel, len(names), "novel") or ())
        if both := in_base & in_novel:
            raise VocabularyError(
                f"expected each class in base or in novel, got {names[min(both)]!r} in both"
            )
        classes = []
        for index, (name, category_id) in enumerate(zip(names, ids, strict=True)):
            where = f"index {index}"
            item = make_class(name, category_id=int(category_id), where=where)
            given = aliases[index] if aliases is not None else ()
            texts = check_texts(given, where) if given else item.aliases
            split: Split | None = "base" if index in in_base else None
            split = "novel" if index in in_novel else split
            classes.append(replace(item, aliases=texts, split=split))
        self._set(classes, title)
        if embeddings is not None:
            self._embeddings = _check_embeddings(embeddings, len(classes))
            self._own_embeddings = True

    @classmethod
    def from_classes(cls, classes: Sequence[VocabularyClass], title: str) -> Vocabulary:
        """Build a vocabulary from ready classes; their texts, splits and ids are kept."""
        vocabulary = cls.__new__(cls)
        vocabulary._set(classes, title)
        return vocabulary

    def _set(self, classes: Sequence[VocabularyClass], title: str) -> None:
        if not classes:
            raise VocabularyError("expected at least one class, got an empty vocabulary")
        self.classes = tuple(classes)
        self.title = title
        self._embeddings = None
        self._prototypes = None
        self._own_embeddings = False
        self._example_prototypes = None
        self.references = None
        self._index_by_name = {}
        for index, item in enumerate(classes):
            first = self._index_by_name.setdefault(fold_name(item.name), index)
            if first != index:
                raise VocabularyError(
                    f"expected different class names, got {classes[first].name!r} at index "
                    f"{first} and {item.name!r} at index {index}; remove one of them"
                )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(C) class names."""
        return tuple(item.name for item in self.classes)

    @cached_property
    def category_ids(self) -> tuple[int, ...]:
        """(C) ids written to COCO files."""
        return tuple(item.category_id for item in self.classes)

    @cached_property
    def aliases(self) -> tuple[tuple[str, ...], ...]:
        """(C) tuples of the texts embedded for each class."""
        return tuple(item.aliases for item in self.classes)

    @cached_property
    def rules(self) -> dict[int, ClassRules]:
        """The rules of the classes that have any, by category id."""
        return {item.category_id: item.rules for item in self.classes if item.rules}

    @property
    def num_classes(self) -> int:
        """C; background is not counted."""
        return len(self.classes)

    @cached_property
    def base(self) -> tuple[int, ...] | None:
        """Indices of the base classes; None when the vocabulary has no split."""
        return self._indices("base")

    @cached_property
    def novel(self) -> tuple[int, ...] | None:
        """Indices of the novel classes; None when the vocabulary has no split."""
        return self._indices("novel")

    def _indices(self, split: str) -> tuple[int, ...] | None:
        if not any(item.split for item in self.classes):
            return None
        return tuple(i for i, item in enumerate(self.classes) if item.split == split)

    @property
    def embeddings(self) -> torch.Tensor | None:
        """(C, K, D) float32 unit text embeddings on the CPU, or None before they are computed."""
        return self._embeddings

    @property
    def prototypes(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """(P, D) unit embeddings and (P,) int64, the class of each; None before they are computed.

        A class has one or more; none where only a detector can name it (`name_table.py`).
        """
        if self._prototypes is None and self._embeddings is not None:
            self._prototypes = find_prototypes(self._embeddings)
        return self._prototypes

    @cached_property
    def content_hash(self) -> str:
        """Hex digest of all that decides labels: classes, given embeddings and examples.

        Embeddings that `embed_vocabulary` computed follow from the texts and the model, and are
        left out.
        """
        # Without rules, the digest is what it was before there were any.
        rows = [
            [
                c.category_id,
                c.name,
                list(c.aliases),
                c.split,
                *([c.rules.to_dict()] if c.rules else []),
            ]
            for c in self.classes
        ]
        digest = hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode())
        if self.references is not None:
            digest.update(self.references.digest.encode())
        if self._own_embeddings and self._embeddings is not None:
            digest.update(self._embeddings.numpy().tobytes())
        return digest.hexdigest()

    def index_of(self, name: str) -> int:
        """Return the index of a class by its name, else by an alias or synonym of one class.

        Raises:
            VocabularyError: no class has that name, or it is an alias of several.
        """
        wanted = fold_name(name)
        if wanted in self._index_by_name:
            return self._index_by_name[wanted]
        found = [
            index
            for index, item in enumerate(self.classes)
            if wanted in map(fold_name, (*item.aliases, *item.synonyms))
        ]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(repr(self.classes[index].name) for index in found[:4])
            raise VocabularyError(f"{name!r} is another name of several classes: {names}; name one")
        raise VocabularyError(
            f"unknown class {name!r} in vocabulary {self.title!r} of {self.num_classes} classes"
            + suggest_names(wanted, list(self._index_by_name))
        )

    def subset(self, names: Iterable[str]) -> Vocabulary:
        """Return a vocabulary of only the named classes, in the given order.

        Ids, texts, splits, embeddings and examples are kept.

        Raises:
            VocabularyError: a name is unknown.
        """
        indices = list(dict.fromkeys(self.index_of(name) for name in names))
        # Without it, everything would be of one of the named classes.
        if self.classes[-1].name == NONE_OF_EXAMPLES and self.num_classes - 1 not in indices:
            indices.append(self.num_classes - 1)
        chosen = Vocabulary.from_classes([self.classes[i] for i in indices], self.title)
        chosen.references = self.references
        if self._embeddings is not None:
            chosen._embeddings = self._embeddings[indices]
            chosen._own_embeddings = self._own_embeddings
        return chosen

    def with_embeddings(self, embeddings: torch.Tensor) -> Vocabulary:
        """Return this vocabulary with (C, K, D) or (C, D) embeddings computed from its texts."""
        chosen = Vocabulary.from_classes(self.classes, self.title)
        chosen._embeddings = _check_embeddings(embeddings, self.num_classes)
        return chosen

    def with_references(self, references: References, title: str) -> Vocabulary:
        """Return this vocabulary with examples of its classes, and of further ones.

        A class that is in both has texts and examples. Where the classes have a base/novel split,
        those with examples are novel: frozen CLIP's look at the examples counts for them.
        """
        shown = {fold_name(item.name): item for item in references.classes}
        is_split = self.base is not None
        classes = [
            replace(
                item, split="novel" if is_split else None, rules=shown[name].rules or item.rules
            )
            if (name := fold_name(item.name)) in shown
            else item
            for item in self.classes
        ]
        next_id = max(self.category_ids) + 1
        for name, item in shown.items():
            if name not in self._index_by_name:
                split: Split | None = "novel" if is_split else None
                classes.append(replace(item, category_id=next_id, split=split))
                next_id += 1
        chosen = Vocabulary.from_classes(classes, title)
        chosen.references = references
        return chosen

    @classmethod
    def from_references(cls, references: References, title: str) -> Vocabulary:
        """Build a vocabulary of examples alone; what is near none is `NONE_OF_EXAMPLES`."""
        ids = [item.category_id for item in references.classes]
        none = VocabularyClass(max(ids) + 1, NONE_OF_EXAMPLES, (), rules=ClassRules(ignore=True))
        chosen = cls.from_classes([*references.classes, none], title)
        chosen.references = references
        return chosen

    def only_texts(self) -> Vocabulary | None:
        """Return the classes that have texts, or None where no class has any."""
        classes = [item for item in self.classes if item.aliases]
        if len(classes) == self.num_classes:
            return self
        return Vocabulary.from_classes(classes, self.title) if classes else None

    @property
    def example_prototypes(self) -> ExamplePrototypes | None:
        """Prototypes from examples; None where there are none, or before they are computed."""
        return self._example_prototypes

    def with_example_prototypes(
        self, texts: tuple[torch.Tensor, torch.Tensor], examples: ExamplePrototypes
    ) -> Vocabulary:
        """Return this vocabulary with prototypes of texts, as `prototypes`, and of examples."""
        chosen = self.with_prototypes(*texts)
        chosen.references, chosen._example_prototypes = self.references, examples
        return chosen

    def with_prototypes(self, rows: torch.Tensor, owners: torch.Tensor) -> Vocabulary:
        """Return this vocabulary with (P, D) unit rows computed from its names, and their classes.

        `owners`: (P,) int64 indices of classes. Unlike `with_embeddings`, a class can have any
        number of rows. `embeddings` stays None.
        """
        chosen = Vocabulary.from_classes(self.classes, self.title)
        chosen._prototypes = rows, owners
        return chosen

    def with_own_embeddings(self, embeddings: torch.Tensor) -> Vocabulary:
        """Return this vocabulary with (C, K, D) or (C, D) embeddings learned from examples.

        Unlike a text tower's they do not follow from the texts, so `content_hash` includes them.
        """
        chosen = self.with_embeddings(embeddings)
        chosen._own_embeddings = True
        return chosen

    def with_synonyms(self) -> Vocabulary:
        """Return this vocabulary with the synonyms (LVIS) embedded too; the release does not."""
        classes = [
            replace(
                item,
                aliases=tuple(dict.fromkeys((*item.aliases, *map(fold_name, item.synonyms)))),
            )
            for item in self.classes
        ]
        return Vocabulary.from_classes(classes, self.title)

    def without_split(self) -> Vocabulary:
        """Return this vocabulary with no base/novel split, so that every class can be chosen."""
        return self._with_split(None)

    def all_base(self) -> Vocabulary:
        """Return this vocabulary with every class as one that the model's labels learned."""
        return self._with_split("base")

    def _with_split(self, split: Split | None) -> Vocabulary:
        classes = [replace(item, split=split) for item in self.classes]
        chosen = Vocabulary.from_classes(classes, self.title)
        chosen._embeddings, chosen._own_embeddings = self._embeddings, self._own_embeddings
        chosen.references = self.references
        return chosen

    def __len__(self) -> int:
        return self.num_classes

    def __repr__(self) -> str:
        return f"Vocabulary({self.title!r}, {self.num_classes} classes)"


def find_prototypes(embeddings: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the different ones of (C, K, D) embeddings: (P, D), and (P,) int64, their classes.

    Classes repeat their first text to fill the table: that would only cost time.
    """
    import torch

    distinct = torch.ones(embeddings.shape[:2], dtype=torch.bool, device=embeddings.device)
    distinct[:, 1:] = (embeddings[:, 1:] != embeddings[:, :1]).any(dim=-1)
    return embeddings[distinct], torch.nonzero(distinct)[:, 0]


def _check_embeddings(embeddings: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Return (C, K, D) or (C, D) embeddings as (C, K, D) float32 of unit length on the CPU."""
    import torch

    tensor = torch.as_tensor(embeddings).detach().to("cpu", torch.float32)
    if tensor.ndim == 2:
        tensor = tensor[:, None]
    if tensor.ndim != 3 or tensor.shape[0] != num_classes or 0 in tensor.shape:
        raise VocabularyError(
            f"expected embeddings of shape ({num_classes}, K, D) for {num_classes} classes, "
            f"got {tuple(tensor.shape)}"
        )
    norms = tensor.norm(dim=-1)
    if not torch.isfinite(norms).all() or (norms == 0).any():
        raise VocabularyError("expected finite embeddings that are not zero, got one that is")
    # Unit vectors stay bit for bit as given: `content_hash` reads them.
    if (norms - 1).abs().max() > 1e-4:
        tensor = tensor / norms[..., None]
    return tensor.contiguous()
