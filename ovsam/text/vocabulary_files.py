"""A vocabulary with embeddings of its own in one safetensors file.

For classes whose names mean nothing to CLIP's text tower: their embeddings were learned from
examples (`ovsam train labels` with `class_embeddings: examples`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from ovsam.errors import CheckpointError, VocabularyError
from ovsam.strict import suggest_names
from ovsam.text.class_list import VocabularyClass, parse_class_names, read_class_file
from ovsam.text.vocabulary import Vocabulary
from ovsam.weights.files import replace_file

_FILE_SUFFIXES = (".txt", ".json", ".yaml", ".yml", ".gz", ".safetensors")


_FOLDER = Path(__file__).parent.parent / "data" / "vocabularies"


BUILT_IN_VOCABULARIES = {
    "coco": "coco.json",
    "coco-80": "coco.json",
    "lvis": "lvis.json",
    "lvis+imagenet21k": "lvis_imagenet21k.json.gz",
    "nano": "nano.json",
    "objects365": "objects365.json",
    "openimages": "openimages.json",
}


def load_vocabulary(name_or_path: str | Path) -> Vocabulary:
    """Load a built-in vocabulary by name, a file's or a comma list's classes; no embeddings yet.

    Built in: coco (48 base and 17 novel classes; the other 15 are never chosen), coco-80 (all 80,
    no split), lvis, lvis+imagenet21k, objects365, openimages, nano. Files: text with one class a
    line (`cat, kitty` for aliases), JSON, YAML, COCO-format JSON, and the safetensors files of
    `vocabulary_file.save_vocabulary`, which have embeddings. A text with a comma that is no
    file is the list of names itself.

    Raises:
        VocabularyError: Neither a built-in name nor a file, or the content is refused.
    """
    name = str(name_or_path)
    file_name = BUILT_IN_VOCABULARIES.get(name.lower())
    if file_name is not None:
        classes, _ = read_class_file(_FOLDER / file_name)
        vocabulary = Vocabulary.from_classes(classes, name.lower())
        return vocabulary.without_split() if name.lower() == "coco-80" else vocabulary
    if "," in name and not _is_file_name(name):
        return parse_vocabulary(name.removesuffix(","))
    path = Path(name_or_path).expanduser()
    if not path.exists() and not path.suffix and len(path.parts) == 1:
        raise VocabularyError(
            f"unknown vocabulary {name!r}"
            + suggest_names(name.lower(), list(BUILT_IN_VOCABULARIES))
            + f"; built in are {', '.join(BUILT_IN_VOCABULARIES)}, or give the path of a file, or "
            "names with commas (a single one with a comma behind it)"
        )
    if path.suffix.lower() == ".safetensors":
        from ovsam.text.vocabulary_files import read_vocabulary

        return read_vocabulary(path)
    classes, title = read_class_file(path)
    return Vocabulary.from_classes(classes, title)


def parse_vocabulary(text: str) -> Vocabulary:
    """Build a vocabulary from a comma list of names, as in `--classes "cat,dog"`.

    Raises:
        VocabularyError: The list is empty, has an empty name or names a class twice.
    """
    return Vocabulary.from_classes(parse_class_names(text), "custom")


def _is_file_name(text: str) -> bool:
    """Whether a text with commas is meant as a path: it is there, or ends like a class file."""
    path = Path(text).expanduser()
    try:
        return path.exists() or path.suffix.lower() in (
            ".txt",
            ".json",
            ".yaml",
            ".yml",
            ".gz",
            ".safetensors",
        )
    except OSError:  # longer than a path may be
        return False


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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {_EMBEDDINGS: vocabulary.embeddings.contiguous()}
        with replace_file(path) as temporary:
            save_file(tensors, str(temporary), metadata={_CLASSES: classes})
    except (OSError, SafetensorError) as error:
        raise VocabularyError(f"cannot write the vocabulary {path}: {error}") from error


def read_vocabulary(path: Path) -> Vocabulary:
    """Read what `save_vocabulary` wrote.

    Raises:
        VocabularyError: it cannot be read, or is another file.
    """
    from ovsam.weights.tensor_files import read_metadata, read_tensors

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
