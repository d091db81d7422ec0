"""A built-in name, a file's path or a comma list → `Vocabulary`; and one with embeddings to disk.

Safetensors files hold classes with learned embeddings, for names that mean nothing to CLIP's text
tower (`ovsam train labels` with `class_embeddings: examples`). Other formats are class_list.py's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path

from ovsam.checked_json import parse_json
from ovsam.errors import CheckpointError, VocabularyError, describe_error
from ovsam.strict import build_strict, suggest_names
from ovsam.text.class_list import (
    VocabularyClass,
    parse_class_names,
    read_class_file,
    split_prototypes,
)
from ovsam.text.vocabulary import Vocabulary
from ovsam.weights.files import replace_file

_FOLDER = Path(__file__).parent.parent / "data" / "vocabularies"
BUILT_IN_VOCABULARIES = {
    "coco": "coco.json",
    "coco-80": "coco.json",
    "everyday": "everyday.json",
    "lvis": "lvis.json",
    "lvis+imagenet21k": "lvis_imagenet21k.json.gz",
    "nano": "nano.json",
    "objects365": "objects365.json",
    "openimages": "openimages.json",
    "photo": "photo.json",
}
# What is in front of it are names; a path may have a "+" in it.
_EXAMPLES = re.compile(r"(?:^|\+)examples:")
VOCABULARY_SUFFIX = ".safetensors"
_FILE_SUFFIXES = (".txt", ".json", ".yaml", ".yml", ".gz", VOCABULARY_SUFFIX)
_CLASSES, _EMBEDDINGS = "ovsam-classes", "embeddings"


def load_vocabulary(name_or_path: str | Path) -> Vocabulary:
    """Load a built-in vocabulary by name, or the classes of a file or of a comma list.

    Built in are coco (48 base and 17 novel classes; the other 15 are never chosen), coco-80 (all
    80, no split), lvis (rare classes are novel), lvis+imagenet21k, objects365, openimages; nano,
    the names of the embedded model of that name; photo, all names that the embedded photo model
    knows; and everyday, that model's default.

    Args:
        name_or_path: a built-in name, in any case; or the path of a text file with one class per
            line (`cat, kitty` for aliases), of a JSON, YAML or COCO-format file, or of a
            safetensors file from `ovsam train`; or the names themselves (`cat,dog`).

            Or `examples:REFS`, classes that examples show: a COCO file with boxes or masks, or a
            folder with one folder of crops per class (docs/examples.md); several, and any of the
            above in front, are joined by "+": `coco+examples:refs.json`.

    Returns:
        The classes without embeddings, which `Predictor` computes; a safetensors file has them.

    Raises:
        VocabularyError: neither a built-in name nor a file, or the content is refused.
    """
    name = str(name_or_path)
    if has_examples(name):
        return _load_with_examples(name)
    file_name = BUILT_IN_VOCABULARIES.get(name.lower())
    if file_name is not None:
        vocabulary = Vocabulary.from_classes(_read_built_in(file_name), name.lower())
        return vocabulary.without_split() if name.lower() == "coco-80" else vocabulary
    if "," in name and not _is_file_name(name):
        return parse_vocabulary(name.removesuffix(","))
    path = Path(name_or_path).expanduser()
    if not _may_exist(path) and not path.suffix and len(path.parts) == 1:
        raise VocabularyError(
            f"unknown vocabulary {name!r}"
            + suggest_names(name.lower(), list(BUILT_IN_VOCABULARIES))
            + f"; give one of {', '.join(BUILT_IN_VOCABULARIES)}, the path of a file, or names "
            "with commas (a single name with a comma after it)"
        )
    if path.suffix.lower() == VOCABULARY_SUFFIX:
        return read_vocabulary(path)
    classes, title = read_class_file(path)
    return Vocabulary.from_classes(classes, title)


def has_examples(name: str) -> bool:
    """Return whether a vocabulary's name, as `load_vocabulary` takes it, has examples in it."""
    return len(split_examples(name)) > 1


def split_examples(name: str) -> list[str]:
    """Return the parts of a vocabulary's name: names, "" for none, and each file of examples."""
    return _EXAMPLES.split(name)


def join_examples(names: str, files: Iterable[str]) -> str:
    """Return the name of a vocabulary that `split_examples` parts so."""
    return "+".join([*filter(None, [names]), *(f"examples:{file}" for file in files)])


@cache
def _read_built_in(file_name: str) -> tuple[VocabularyClass, ...]:
    """Return the classes of a packaged list: a command asks for several of them several times."""
    return tuple(read_class_file(_FOLDER / file_name, split_prototypes)[0])


def _load_with_examples(name: str) -> Vocabulary:
    """Load "examples:REFS", "NAMES+examples:REFS", or more of the latter."""
    from ovsam.examples.references import join_references, read_references

    names, *parts = split_examples(name)
    if not all(parts):
        raise VocabularyError(
            f"expected a COCO file, or a folder with one folder of crops per class, after "
            f"'examples:', got {name!r}"
        )
    references = join_references([read_references(Path(part)) for part in parts])
    title = "examples:" + "+examples:".join(Path(part).name for part in parts)
    if not names:
        return Vocabulary.from_references(references, title)
    named = load_vocabulary(names)
    return named.with_references(references, f"{named.title}+{title}")


def parse_vocabulary(text: str) -> Vocabulary:
    """Build a vocabulary from a comma list of names, as in `--classes "cat,dog"`."""
    return Vocabulary.from_classes(parse_class_names(text), "custom")


def _is_file_name(text: str) -> bool:
    """Whether a text with commas is meant as a path: it exists, or ends like a class file."""
    path = Path(text).expanduser()
    return _may_exist(path) or path.suffix.lower() in _FILE_SUFFIXES


def _may_exist(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # longer than a path may be, or closed to us
        return isinstance(error, PermissionError)


def save_vocabulary(vocabulary: Vocabulary, path: Path) -> None:
    """Write classes and embeddings to one file; a VocabularyError where there are none."""
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
        raise VocabularyError(
            f"cannot write the vocabulary {path}: {describe_error(error)}"
        ) from error


def read_vocabulary(path: Path) -> Vocabulary:
    """Read what `save_vocabulary` wrote; a VocabularyError for any other file."""
    from ovsam.weights.metadata import read_metadata
    from ovsam.weights.tensor_files import read_tensors

    try:
        rows = parse_json(read_metadata(path)[_CLASSES])
        classes = [build_strict(VocabularyClass, row, "class") for row in rows]
        embeddings = read_tensors(path)[_EMBEDDINGS]
    except CheckpointError as error:
        raise VocabularyError(f"cannot read the vocabulary {path}: {error}") from error
    except (KeyError, ValueError, TypeError) as error:
        raise VocabularyError(
            f"expected a vocabulary with embeddings in {path}, got another safetensors file "
            f"({error!r}); `ovsam train` writes vocabulary{VOCABULARY_SUFFIX} next to its model"
        ) from error
    return Vocabulary.from_classes(classes, path.stem).with_own_embeddings(embeddings)
