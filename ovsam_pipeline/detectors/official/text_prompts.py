"""Class names → the text embeddings that Detic's classifier compares regions with.

OpenAI's CLIP ViT-B/32 (QuickGELU), one sentence a class: "a " and the name. Embeddings are kept on
disk by the content of names and weights, so a list of names is embedded once.

Letters: K classes.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from ovsam.config import TextConfig
from ovsam.text.embedding import embed_texts
from ovsam.text.text_tower import TextTower
from ovsam.text.vocabulary import Vocabulary
from ovsam.weights.tensor_files import read_tensors
from ovsam_pipeline.detectors.random_weights import fill_randomly

_TEMPLATE = "a {}"
_WIDTH, _HEADS, _LAYERS = 512, 8, 12


def load_clip_text(file: Path | None, seed: int = 0) -> TextTower:
    """Load the text tower of CLIP ViT-B/32.

    `file`: open_clip's weights; None: made-up ones.
    """
    text = TextConfig(width=_WIDTH, heads=_HEADS, layers=_LAYERS)
    tower = TextTower(text, _WIDTH, with_quick_gelu=True).eval().requires_grad_(False)
    if file is None:
        fill_randomly(tower, seed)
    else:
        tower.load_clip_state_dict(read_tensors(file))
    return tower


def write_class_texts(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return the text of each class, as Detic was trained on it.

    LVIS names stay as they are, underscores and all ("arctic_(type_of_shoe)"): Detic's published
    numbers are with these. In any other vocabulary an underscore is a space.
    """
    if vocabulary.title == "lvis":
        return vocabulary.names
    return tuple(" ".join(name.replace("_", " ").split()) for name in vocabulary.names)


def embed_class_names(
    vocabulary: Vocabulary, tower: TextTower, *, cache_dir: Path | None = None
) -> Tensor:
    """Return (K, 512) float32 unit embeddings of the classes.

    `vocabulary`: the classes; their aliases are not used, Detic has one text a class. `cache_dir`:
    folder of the cache; None: the user's.
    """
    texts = write_class_texts(vocabulary)
    tower.check_names(texts)
    return embed_texts(texts, tower, cache_dir=cache_dir, templates=(_TEMPLATE,))
