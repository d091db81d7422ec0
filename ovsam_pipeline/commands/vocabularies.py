"""`ovsam vocabularies`: the class lists that come with ovsam, or the classes of one or a file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ovsam_pipeline.commands.options import Json
from ovsam_pipeline.terminal.tables import format_table

if TYPE_CHECKING:
    from ovsam.text.vocabulary import Vocabulary


def vocabularies(
    vocabulary: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="A built-in name or a file: show its classes."),
    ] = None,
    json: Json = False,
) -> None:
    """List the built-in vocabularies, or the classes of one.

    Examples:
        ovsam vocabularies
        ovsam vocabularies lvis
        ovsam vocabularies my_classes.txt
    """
    from ovsam.text.vocabulary_files import BUILT_IN_VOCABULARIES, load_vocabulary
    from ovsam_pipeline.terminal.app import print_json, print_result

    if vocabulary is not None:
        chosen = load_vocabulary(vocabulary)
        if json:
            print_json({**_summarise(chosen), "classes": _list_classes(chosen)})
        else:
            print_result(*_format_classes(chosen).splitlines())
        return
    loaded = [load_vocabulary(name) for name in BUILT_IN_VOCABULARIES]
    if json:
        print_json({"vocabularies": [_summarise(item) for item in loaded]})
        return
    rows = [
        [item.title, f"{item.num_classes:,}", *_format_split(item), f"{_count_texts(item):,}"]
        for item in loaded
    ]
    header = ("vocabulary", "classes", "base", "novel", "texts")
    print_result(*format_table(header, rows, right=" rrrr").splitlines())


def _summarise(vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "name": vocabulary.title,
        "classes": vocabulary.num_classes,
        "base": None if vocabulary.base is None else len(vocabulary.base),
        "novel": None if vocabulary.novel is None else len(vocabulary.novel),
        "texts": _count_texts(vocabulary),
        "content_hash": vocabulary.content_hash,
    }


def _count_texts(vocabulary: Vocabulary) -> int:
    return sum(len(texts) for texts in vocabulary.aliases)


def _format_split(vocabulary: Vocabulary) -> tuple[str, str]:
    if vocabulary.base is None or vocabulary.novel is None:
        return "-", "-"
    return f"{len(vocabulary.base):,}", f"{len(vocabulary.novel):,}"


def _list_classes(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    return [
        {
            "id": item.category_id,
            "name": item.name,
            "texts": list(item.aliases),
            "split": item.split,
            "frequency": item.frequency,
            **({"rules": item.rules.to_dict()} if item.rules else {}),
        }
        for item in vocabulary.classes
    ]


def _format_classes(vocabulary: Vocabulary) -> str:
    from ovsam.text.class_list import fold_name

    has_rules = ["rules"] if vocabulary.rules else []
    shown = _count_examples(vocabulary)
    has_examples = ["examples"] if shown else []
    rows = [
        [
            str(item.category_id),
            item.name,
            item.split or "-",
            *(item.rules.describe() or "-" for _ in has_rules),
            *(str(shown[fold_name(item.name)]) for _ in has_examples),
            " | ".join(item.aliases),
        ]
        for item in vocabulary.classes
    ]
    header = ("id", "name", "split", *has_rules, *has_examples, "texts")
    return format_table(header, rows, right="r")


def _count_examples(vocabulary: Vocabulary) -> Counter[str]:
    """Return how many examples show each class, by its folded name."""
    from ovsam.text.class_list import fold_name

    found = vocabulary.references
    if found is None:
        return Counter()
    return Counter(fold_name(found.classes[one.category].name) for one in found.examples)
