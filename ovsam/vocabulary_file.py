"""A vocabulary with embeddings of its own in one safetensors file.

For classes whose names mean nothing to CLIP's text tower: their embeddings were learned from
examples (`ovsam train labels` with `class_embeddings: examples`).
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from ovsam.class_list import VocabularyClass
from ovsam.errors import CheckpointError, VocabularyError
from ovsam.vocabulary import Vocabulary

VOCABULARY_SUFFIX = ".safetensors"
_CLASSES, _EMBEDDINGS = "ovsam-classes", "embeddings"


def save_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Write classes and embeddings, whole or not at all.

    Raises:
        VocabularyError: it has no embeddings, or the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    if vocabulary.embeddings is None:
        raise VocabularyError(f"expected embeddings in vocabulary {vocabulary.title}, got none")
    classes = json.dumps([asdict(item) for item in vocabulary.classes], ensure_ascii=False)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {_EMBEDDINGS: vocabulary.embeddings.contiguous()}
        save_file(tensors, str(temporary), metadata={_CLASSES: classes})
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise VocabularyError(f"cannot write the vocabulary {path}: {error}") from error


def read_vocabulary(path: Path) -> Vocabulary:
    """Read what `save_vocabulary` wrote.

    Raises:
        VocabularyError: it cannot be read, or is another file.
    """
    from ovsam.tensor_files import read_metadata, read_tensors

    try:
        rows = json.loads(read_metadata(path)[_CLASSES])
        classes = [_build_class(row) for row in rows]
        embeddings = read_tensors(path)[_EMBEDDINGS]
    except CheckpointError as error:
        raise VocabularyError(f"cannot read the vocabulary {path}: {error}") from error
    except (KeyError, ValueError, TypeError) as error:
        raise VocabularyError(
            f"expected a vocabulary with embeddings in {path}, got another safetensors file "
            f"({error!r}); `ovsam train` writes vocabulary{VOCABULARY_SUFFIX} beside its model"
        ) from error
    return Vocabulary.from_classes(classes, path.stem).with_own_embeddings(embeddings)


def _build_class(row: dict[str, object]) -> VocabularyClass:
    """Return a class of JSON values, where tuples are lists."""
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
    return VocabularyClass(**values)  # type: ignore[arg-type]
