"""Which names the embedded models know, without torch: nano's texts, and photo's WordNet names.

`name_table.py` and `text_tower.py` embed them; here a run can refuse others before it loads.
"""

from __future__ import annotations

import difflib
import functools
import gzip
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ovsam.errors import VocabularyError
from ovsam.text.class_list import VocabularyClass, fold_name, strip_qualifier

_FILE = Path(__file__).parent.parent / "data" / "photo" / "names.json.gz"
_MOST_SHOWN = 8


@dataclass(frozen=True)
class KnownNames:
    """Which names lead to which leaves.

    Attributes:
        leaves: (L) names of the classifier's classes, in its order.
        of_name: indices of leaves for each name, in lower case.
        detector_only: names that have no leaf of their own but are a detector's classes.
    """

    leaves: tuple[str, ...]
    of_name: Mapping[str, frozenset[int]]
    detector_only: frozenset[str]

    def find_leaves(self, item: VocabularyClass) -> frozenset[int]:
        """Return the leaves of a class: of its texts, else of its synonyms; none where unknown."""
        if self.is_detector_only(item):
            return frozenset()
        own = [self._look_up(text) for text in (item.name, *item.aliases)]
        return frozenset().union(*own) or frozenset().union(*map(self._look_up, item.synonyms))

    def is_detector_only(self, item: VocabularyClass) -> bool:
        """Whether only a detector can name a class."""
        return fold_name(item.name) in self.detector_only

    def _look_up(self, text: str) -> frozenset[int]:
        """Return the leaves of a text, also in the singular or written as one word."""
        text = strip_qualifier(text)
        singular = re.sub(r"ies$", "y", text), re.sub(r"es$", "", text), re.sub(r"s$", "", text)
        for form in (text, text.replace("-", " "), text.replace(" ", ""), *singular):
            if form in self.of_name:
                return self.of_name[form]
        return frozenset()

    def check_classes(self, classes: Iterable[VocabularyClass]) -> None:
        """Refuse classes that no name leads to."""
        unknown = [
            item.name
            for item in classes
            if not self.find_leaves(item) and not self.is_detector_only(item)
        ]
        if unknown:
            raise VocabularyError(self._describe_unknown(unknown))

    def _describe_unknown(self, unknown: list[str]) -> str:
        names = list(self.of_name)
        shown = ", ".join(_suggest(name, names) for name in unknown[:_MOST_SHOWN])
        more = f" and {len(unknown) - _MOST_SHOWN} more" if len(unknown) > _MOST_SHOWN else ""
        return (
            f"the embedded photo model knows {len(names):,} English names, not {shown}{more}; "
            "`ovsam vocabularies photo` lists them. It is no CLIP: for any other name fetch real "
            "weights, `ovsam models fetch rn50x16-lvis`, then `--model rn50x16-lvis`"
        )


def _suggest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(fold_name(name), known, n=2, cutoff=0.75)
    return f"'{name}'" + (f" (near: {', '.join(near)})" if near else "")


@functools.cache
def load_known_names() -> KnownNames:
    """Read the embedded table of names."""
    content: dict[str, Any] = json.loads(gzip.decompress(_FILE.read_bytes()))
    return KnownNames(
        leaves=tuple(content["leaves"]),
        of_name={name: frozenset(leaves) for name, leaves in content["names"].items()},
        detector_only=frozenset(content["detector_only"]),
    )


@functools.cache
def list_nano_texts() -> tuple[str, ...]:
    """Return the texts that nano's text tower has tokens for."""
    from ovsam.text.vocabulary_files import load_vocabulary

    texts = (text for aliases in load_vocabulary("nano").aliases for text in aliases)
    return tuple(dict.fromkeys(texts))


def check_nano_texts(texts: Iterable[str], known: Sequence[str]) -> None:
    """Refuse class texts that nano's text tower does not know."""
    have = set(known)
    unknown = [text for text in texts if text.lower() not in have]
    if unknown:
        raise VocabularyError(describe_unknown_texts(unknown, known))


def describe_unknown_texts(unknown: Sequence[str], known: Sequence[str]) -> str:
    """Return the sentence about texts that nano's text tower does not know."""
    shown = ", ".join(repr(name) for name in unknown[:3])
    more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
    # Letters in common say little of the meaning ("present" for "person"): only slips are told.
    nearest = difflib.get_close_matches(unknown[0], known, n=1, cutoff=0.8)
    meant = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    return (
        f"the model nano knows only its own {len(known)} names and synonyms of emoji, not "
        f"{shown}{more}{meant}; `ovsam vocabularies nano` lists them. For photos leave out --model "
        "nano; for any name fetch real weights: `ovsam models fetch rn50x16-lvis`, then `--model "
        "rn50x16-lvis`"
    )
