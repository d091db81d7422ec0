"""Class texts -> their averaged template embeddings, from disk where they were computed before.

A file holds the embeddings of one list of texts by one text tower; its name is the digest of the
texts, the templates and the tower's weights, so nothing in it can be out of date. What can happen
is a damaged file: it is noticed by its checksum, computed anew and replaced.

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

from ovsam.text.text_tower import TEMPLATES, TextTower
from ovsam.text.vocabulary import Vocabulary
from ovsam.weights.files import find_cache_folder, write_atomically


def embed_vocabulary(
    vocabulary: Vocabulary,
    text_tower: TextTower,
    *,
    cache_dir: Path | None = None,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> Vocabulary:
    """Return the vocabulary with (C, K, D) embeddings by the model's own text tower.

    Each text goes through the tower's templates (CLIP's: 14); each template's embedding is
    normalised, averaged, normalised. Classes with fewer texts than the most repeat their first one.
    A vocabulary that has embeddings is returned as it is. Results are kept on disk by content
    hash; a damaged file is computed anew and replaced.

    Args:
        vocabulary: The classes to embed.
        text_tower: The model's text tower, weights loaded.
        cache_dir: Folder of the cache; None: `OVSAM_CACHE`, else the user's cache folder.
        batch_size: Sentences (a text in a template) in one pass of the text tower.
        progress: Called with (texts done, texts in all) after each batch; not on a cache hit.

    Raises:
        VocabularyError: A name is longer than the text tower's context, or the embedded model does
            not know it.
    """
    if vocabulary.embeddings is not None:
        return vocabulary
    import torch

    from ovsam.text.embedding import embed_texts

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


logger = logging.getLogger(__name__)

# Files that this process has read or written, for other machines.
_used_files: set[Path] = set()
_FORMAT = "1"
_TELL_EVERY_S = 10.0


def embed_texts(
    texts: Sequence[str],
    text_tower: TextTower,
    *,
    cache_dir: Path | None = None,
    batch_size: int = 256,
    progress: Callable[[int, int], None] | None = None,
    templates: Sequence[str] = TEMPLATES,
) -> Tensor:
    """Return (U, D) float32 unit embeddings of class texts, averaged over the templates.

    Args:
        texts: U different class texts.
        text_tower: The tower that embeds them, weights loaded.
        cache_dir: Folder of the cache; None: the user's.
        batch_size: Sentences in one pass of the tower.
        progress: Called with (texts done, U) after each pass; not when the cache has them. None:
            a log line every ten seconds.
        templates: Sentences that a text is put into, "{}" in its place.
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
    """Return name and content of the cache files that this process has used so far.

    `store_files` puts them into the cache of another machine, which then computes nothing.
    """
    return {path.name: path.read_bytes() for path in _used_files if path.is_file()}


def store_files(files: Mapping[str, bytes]) -> None:
    """Put cache files of another machine into the user's cache, those that it lacks.

    Args:
        files: what `collect_used_files` returned there. A damaged one is noticed when it is read.
    """
    folder = find_cache_folder() / "text"
    for name, content in files.items():
        path = folder / Path(name).name
        if not path.is_file():
            try:
                write_atomically(path, content)
            except OSError as error:
                logger.warning("cannot write %s: %s; it is computed anew", path, error)


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
    # sentences of like length together: a pass is as long as its longest one
    sentences.sort(key=lambda item: len(item[1].split()))
    sums_UD = torch.zeros(len(texts), text_tower.dim)
    started_s = told_s = time.monotonic()
    for start in range(0, len(sentences), batch_size):
        rows, batch = zip(*sentences[start : start + batch_size], strict=True)
        with torch.inference_mode():
            sums_UD.index_add_(0, torch.tensor(rows), text_tower.encode(batch).cpu())
        done = min(start + batch_size, len(sentences)) / len(sentences)
        if progress is not None:
            progress(int(done * len(texts)), len(texts))
        elif time.monotonic() - told_s > _TELL_EVERY_S:
            told_s = time.monotonic()
            left_s = (told_s - started_s) * (1 - done) / done
            logger.info(
                "embedding %d class texts: %.0f %%, %.0f s left (once)",
                len(texts),
                done * 100,
                left_s,
            )
    return F.normalize(sums_UD, dim=-1)


def _cache_path(
    texts: Sequence[str], text_tower: TextTower, cache_dir: Path | None, templates: Sequence[str]
) -> Path:
    content = json.dumps([_FORMAT, list(texts), templates, text_tower.identity])
    key = hashlib.sha256(content.encode()).hexdigest()
    folder = find_cache_folder() / "text" if cache_dir is None else Path(cache_dir)
    return folder / f"{key[:40]}.safetensors"


def _read_cached(path: Path, shape: tuple[int, int]) -> Tensor | None:
    """The cached (U, D) embeddings; None when there are none, or they are damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            embeddings_UD = file.get_tensor("embeddings")
    except FileNotFoundError:
        return None
    except (OSError, SafetensorError) as error:
        logger.warning("cached text embeddings are damaged and computed anew: %s: %s", path, error)
        return None
    digest = hashlib.sha256(embeddings_UD.numpy().tobytes()).hexdigest()
    if digest != metadata.get("sha256") or tuple(embeddings_UD.shape) != shape:
        logger.warning("cached text embeddings are damaged and computed anew: %s", path)
        return None
    return embeddings_UD
