"""The table of names → the vocabularies `photo` (every name) and `everyday` (the default).

`everyday` is flat: each leaf of ImageNet belongs to one class, which has the name that COCO, Open
Images, Objects365 or LVIS give it, else the leaf's own.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from ovsam.text.class_list import VocabularyClass, strip_qualifier
from ovsam.text.name_table import KnownNames, load_known_names, share_out
from ovsam.text.vocabulary_files import load_vocabulary


def _split(text: str) -> frozenset[str]:
    return frozenset(" ".join(text.split()).split(", "))


_EVERYDAY = ("coco", "openimages", "objects365", "lvis")
# Too wide, or of another sense than everyday's ("toy" dogs), to be the name of what is left.
_TOO_WIDE = _split(
    """
    animal, carnivore, vehicle, land vehicle, invertebrate, musical instrument, furniture, motor
    vehicle, watercraft, building, vegetable, toy, dish, footwear, ball, fruit, mammal, reptile,
    clothing, food, tool, home appliance, kitchen utensil, container, plant, tableware,
    kitchenware, sports equipment, shepherd dog, office supplies, weapon, aircraft, seafood,
    dessert, drink, baked goods, snack, tree, personal care, medical equipment, auto part,
    fashion accessory, telephone, cosmetics, luggage
    """
)
# Places rather than things, and people, whom the detector names.
_NOT_THINGS = _split(
    """
    alp, cliff, coral reef, lakeside, promontory, sandbar, seashore, valley, web site,
    ballplayer, groom, scuba diver, bakery, barbershop, butcher shop, bookshop, shoe shop,
    toyshop, tobacco shop, grocery store, restaurant, library, confectionery, patio, prison,
    stage
    """
)


def build_photo(known: KnownNames) -> dict[str, Any]:
    """Return a vocabulary of all names: one class for the names of the same leaves."""
    names: dict[frozenset[int], list[str]] = defaultdict(list)
    for name, leaves in known.of_name.items():
        names[leaves].append(name)
    everyday = {name for name, _ in _everyday_names(known)}
    classes = []
    for leaves in sorted(names, key=sorted):
        own = known.leaves[min(leaves)].lower() if len(leaves) == 1 else ""
        texts = sorted(names[leaves], key=lambda n: (n not in everyday, n != own, len(n), n))
        classes.append(texts)
    classes += [[name] for name in sorted(known.detector_only)]
    return _to_file("photo", "every name that the embedded photo model knows", classes)


def build_everyday(known: KnownNames) -> dict[str, Any]:
    """Return a flat vocabulary of everyday names."""
    names: dict[frozenset[int], list[str]] = defaultdict(list)
    for name, leaves in _everyday_names(known):
        if not leaves < known.of_name["dog"]:
            names[leaves].append(name)
    claimed = frozenset().union(*names)
    for leaf in sorted(set(range(len(known.leaves))) - claimed):
        if known.leaves[leaf].lower() not in _NOT_THINGS:
            names[frozenset((leaf,))].append(known.leaves[leaf].lower())
    sets = list(names)
    coco = set(load_vocabulary("coco").names)
    used = {index for index, _ in share_out(sets)}
    # A detector's "truck" is a truck, though every leaf of it has a name of its own.
    used |= {index for index, leaves in enumerate(sets) if coco.intersection(names[leaves])}
    first: dict[str, list[str]] = {}
    for index in sorted(used, key=lambda i: min(sets[i])):
        texts = names[sets[index]]
        first.setdefault(texts[0], texts)
    rows = [*first.values(), *([name] for name in sorted(known.detector_only))]
    return _to_file("everyday", "everyday names for photographs; each thing has one", rows)


def _everyday_names(known: KnownNames) -> list[tuple[str, frozenset[int]]]:
    found: dict[str, frozenset[int]] = {}
    for title in _EVERYDAY:
        for item in load_vocabulary(title).classes:
            name = strip_qualifier(item.name).split("/")[0].strip()
            leaves = known.find_leaves(VocabularyClass(1, name, (name,)))
            if leaves and name not in _TOO_WIDE | _NOT_THINGS:
                found.setdefault(name, leaves)
    return list(found.items())


def _to_file(title: str, description: str, rows: list[list[str]]) -> dict[str, Any]:
    classes = [
        {"id": number, "name": texts[0], "prompts": texts}
        for number, texts in enumerate(rows, start=1)
    ]
    return {"title": title, "description": description, "classes": classes}


def write_vocabularies(folder: Path) -> None:
    """Write both files."""
    known = load_known_names()
    for content in (build_photo(known), build_everyday(known)):
        classes = content.pop("classes")
        lines = ",\n".join("  " + json.dumps(item, ensure_ascii=False) for item in classes)
        head = json.dumps(content, ensure_ascii=False)[:-1]
        text = f'{head}, "classes": [\n{lines}\n]}}\n'
        (folder / f"{content['title']}.json").write_text(text, encoding="utf-8")
