"""Vocabulary + text tower → the vocabulary with embeddings, from disk where computed before.

A file of the cache (`embedding_cache.py`) holds the embeddings of one list of texts by one text
tower; its name is the digest of the texts, the templates and the tower's weights.

Letters: U different texts, T templates, D embedding width.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ovsam.text.embedding_cache import recall_or_compute
from ovsam.text.name_table import NameTable
from ovsam.text.text_tower import TEMPLATES, TextTower
from ovsam.text.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

_LOG_EVERY_S = 10.0


def embed_vocabulary(
    vocabulary: Vocabulary,
    text_tower: TextTower | NameTable,
    *,
    cache_dir: Path | None = None,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> Vocabulary:
    """Return the vocabulary with (C, K, D) embeddings by the model's own text tower.

    Each text is put into the tower's templates (CLIP's: 14); the templates' unit embeddings are
    averaged and brought to unit length again (the released OV-SAM's way). A class with fewer texts
    than K repeats its first one. A vocabulary that has embeddings is returned unchanged. A name
    table looks its rows up instead: nothing is computed or kept.

    The result is kept on disk under a hash of texts, templates and weights; a damaged file is
    computed again and replaced.

    Args:
        vocabulary: C classes.
        text_tower: the model's (`model.text_tower`), weights loaded.
        cache_dir: folder of the cache; None: `text/` in `OVSAM_CACHE`, else in `~/.cache/ovsam`.
        batch_size: sentences (a text in a template) in one pass of the text tower.
        progress: called with (texts done, texts in all) after each batch; not on a cache hit. None:
            a log line every ten seconds.

    Raises:
        VocabularyError: a name is longer than the text tower's context, or the embedded model does
            not know it.
    """
    if vocabulary.prototypes is not None:
        return vocabulary
    if isinstance(text_tower, NameTable):
        return text_tower.embed(vocabulary)
    text_tower.check_names([text for aliases in vocabulary.aliases for text in aliases])
    texts = list(dict.fromkeys(text for aliases in vocabulary.aliases for text in aliases))
    embeddings_UD = embed_texts(
        texts,
        text_tower,
        cache_dir=cache_dir,
        batch_size=batch_size,
        progress=progress,
        templates=text_tower.templates,
    )
    rows = {text: row for row, text in enumerate(texts)}
    num_texts = max(len(aliases) for aliases in vocabulary.aliases)
    index_CK = [
        [rows[text] for text in (*aliases, *[aliases[0]] * (num_texts - len(aliases)))]
        for aliases in vocabulary.aliases
    ]
    return vocabulary.with_embeddings(embeddings_UD[torch.tensor(index_CK)])


def embed_texts(
    texts: Sequence[str],
    text_tower: TextTower,
    *,
    cache_dir: Path | None = None,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
    templates: Sequence[str] = TEMPLATES,
) -> Tensor:
    """Return (U, D) float32 unit embeddings of different texts, averaged over the templates.

    `templates` are sentences with "{}" in the text's place; the rest is as in `embed_vocabulary`.
    """
    tensors = recall_or_compute(
        [list(texts), list(templates), text_tower.identity],
        {"embeddings": (len(texts), text_tower.dim)},
        lambda: {"embeddings": _compute(texts, text_tower, batch_size, progress, templates)},
        cache_dir,
    )
    return tensors["embeddings"]


def _compute(
    texts: Sequence[str],
    text_tower: TextTower,
    batch_size: int,
    progress: Callable[[int, int], None] | None,
    templates: Sequence[str],
) -> Tensor:
    sentences = [
        (row, template.format(text)) for row, text in enumerate(texts) for template in templates
    ]
    # Sentences of equal length share a pass: a pass costs as much as its longest sentence.
    sentences.sort(key=lambda item: len(item[1].split()))
    sums_UD = torch.zeros(len(texts), text_tower.dim)
    started_s = logged_s = time.monotonic()
    for start in range(0, len(sentences), batch_size):
        rows, batch = zip(*sentences[start : start + batch_size], strict=True)
        with torch.inference_mode():
            sums_UD.index_add_(0, torch.tensor(rows), text_tower.encode(batch).cpu())
        done = min(start + batch_size, len(sentences)) / len(sentences)
        if progress is not None:
            progress(int(done * len(texts)), len(texts))
        elif time.monotonic() - logged_s > _LOG_EVERY_S:
            logged_s = time.monotonic()
            left_s = (logged_s - started_s) * (1 - done) / done
            message = "embedding %d class texts: %.0f %%, %.0f s left (once)"
            logger.info(message, len(texts), done * 100, left_s)
    return F.normalize(sums_UD, dim=-1)
