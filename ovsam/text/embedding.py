"""Vocabulary + text tower → the vocabulary with embeddings, from disk where computed before.

A file holds the embeddings of one list of texts by one text tower; its name is the digest of the
texts, the templates and the tower's weights, so that it cannot be out of date. A damaged file is
noticed by its checksum, computed again and replaced.

Letters: U different texts, T templates, D embedding width.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ovsam.text.name_table import NameTable
from ovsam.text.text_tower import TEMPLATES, TextTower
from ovsam.text.vocabulary import Vocabulary
from ovsam.weights.files import find_cache_folder, write_atomically

logger = logging.getLogger(__name__)

# Files that this process has read or written: `collect_used_files` sends them to other machines.
_used_files: set[Path] = set()
# Part of a file's name: raise it when what a file holds changes its meaning.
_FORMAT = "1"
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
    path = _cache_path(texts, text_tower, cache_dir, templates)
    _used_files.add(path)
    cached = _read_cached(path, (len(texts), text_tower.dim))
    if cached is not None:
        return cached
    embeddings_UD = _compute(texts, text_tower, batch_size, progress, templates)
    data = embeddings_UD.numpy().tobytes()
    metadata = {"format": _FORMAT, "sha256": hashlib.sha256(data).hexdigest()}
    try:
        write_atomically(path, save({"embeddings": embeddings_UD}, metadata))
    except OSError as error:
        logger.warning("text embeddings are not cached, cannot write %s: %s", path, error)
    return embeddings_UD


def collect_used_files() -> dict[str, bytes]:
    """Return name and content of the cache files that this process has used so far."""
    return {path.name: path.read_bytes() for path in _used_files if path.is_file()}


def store_files(files: Mapping[str, bytes]) -> None:
    """Add another machine's `collect_used_files` to this one's cache, so that it computes nothing.

    A damaged file needs no check here: it is noticed when it is read.
    """
    folder = find_cache_folder() / "text"
    for name, content in files.items():
        path = folder / Path(name).name
        if not path.is_file():
            try:
                write_atomically(path, content)
            except OSError as error:
                logger.warning("cannot write %s: %s; it is computed again", path, error)


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


def _cache_path(
    texts: Sequence[str], text_tower: TextTower, cache_dir: Path | None, templates: Sequence[str]
) -> Path:
    content = json.dumps([_FORMAT, list(texts), templates, text_tower.identity])
    key = hashlib.sha256(content.encode()).hexdigest()
    folder = find_cache_folder() / "text" if cache_dir is None else Path(cache_dir)
    return folder / f"{key[:40]}.safetensors"


def _read_cached(path: Path, shape: tuple[int, int]) -> Tensor | None:
    """Return the cached (U, D) embeddings; None where there are none, or they are damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            embeddings_UD = file.get_tensor("embeddings")
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        logger.warning("cached text embeddings are damaged and computed again: %s: %s", path, error)
        return None
    digest = hashlib.sha256(embeddings_UD.numpy().tobytes()).hexdigest()
    if digest != metadata.get("sha256") or tuple(embeddings_UD.shape) != shape:
        logger.warning("cached text embeddings are damaged and computed again: %s", path)
        return None
    return embeddings_UD
