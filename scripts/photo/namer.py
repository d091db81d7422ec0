"""EfficientNet-Lite2 and WordNet → the tower and the table of names of the photo model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ovsam.text.vocabulary_files import load_vocabulary

_EPSILON = 1e-3  # of EfficientNet's batch norms
_FOLDER = Path(__file__).parent
# Everyday names that ImageNet has an example of, under another word.
EXTRA_NAMES = {
    "cow": "ox",
    "tv": "television",
    "sink": "washbasin",
    "toilet": "toilet seat",
    "wine glass": "goblet",
    "handbag": "purse",
    "cell phone": "cellular telephone",
    "skis": "ski",
}
# A person's leaves would be a bridegroom, a ballplayer and a scuba diver.
NOT_BY_NAME = ("person",)


def convert_tower(path: Path) -> tuple[dict[str, Tensor], Tensor]:
    """Return the tensors of `EfficientNetLite`, and its classifier's centred (1000, D) rows."""
    found = torch.load(path, map_location="cpu", weights_only=True)
    tensors: dict[str, Tensor] = {}

    def fold(name: str, conv: str, norm: str) -> None:
        scale = found[f"{norm}.weight"] / (found[f"{norm}.running_var"] + _EPSILON).sqrt()
        tensors[f"{name}.weight"] = found[f"{conv}.weight"] * scale[:, None, None, None]
        tensors[f"{name}.bias"] = found[f"{norm}.bias"] - found[f"{norm}.running_mean"] * scale

    fold("stem", "_conv_stem", "_bn0")
    fold("head", "_conv_head", "_bn1")
    index = 0
    while f"_blocks.{index}._project_conv.weight" in found:
        block = f"_blocks.{index}"
        if f"{block}._expand_conv.weight" in found:
            fold(f"blocks.{index}.expand", f"{block}._expand_conv", f"{block}._bn0")
        fold(f"blocks.{index}.depthwise", f"{block}._depthwise_conv", f"{block}._bn1")
        fold(f"blocks.{index}.project", f"{block}._project_conv", f"{block}._bn2")
        index += 1
    rows = found["_fc.weight"]
    return tensors, rows - rows.mean(dim=0)


def read_wordnet(path: Path) -> dict[str, tuple[list[str], list[str]]]:
    """Return the words and the wider nouns of each noun in WordNet's data.noun, by its offset."""
    nouns = {}
    for line in path.read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):  # the licence
            continue
        fields = line.split("|")[0].split()
        count = int(fields[3], 16)
        words = [fields[4 + 2 * i].replace("_", " ") for i in range(count)]
        start = 5 + 2 * count
        pointers = [fields[i : i + 4] for i in range(start, start + 4 * int(fields[start - 1]), 4)]
        nouns[fields[0]] = (words, [p[1] for p in pointers if p[0] in ("@", "@i")])
    return nouns


def build_names(nouns: Mapping[str, tuple[list[str], list[str]]]) -> dict[str, Any]:
    """Return the content of names.json.gz: leaves, the leaves of each name, detectors' names."""
    text = (resources.files("timm") / "data/_info/imagenet_synsets.txt").read_text()
    offsets = [line.strip().removeprefix("n") for line in text.split()]
    below: dict[str, set[int]] = defaultdict(set)
    for leaf, offset in enumerate(offsets):
        for noun in _with_wider(offset, nouns):
            below[noun].add(leaf)
    names: dict[str, set[int]] = defaultdict(set)
    for noun, leaves in below.items():
        for word in nouns[noun][0]:
            names[word.lower()] |= leaves
    for name, word in EXTRA_NAMES.items():
        names[name] = names.get(name) or names[word]
    for name in NOT_BY_NAME:
        del names[name]
    coco = load_vocabulary("coco").names
    return {
        "leaves": [nouns[offset][0][0] for offset in offsets],
        "names": {name: sorted(leaves) for name, leaves in sorted(names.items())},
        "detector_only": sorted(name for name in coco if name not in names),
    }


def _with_wider(offset: str, nouns: Mapping[str, tuple[list[str], list[str]]]) -> Iterable[str]:
    """Yield a noun and every wider one, each once."""
    waiting, seen = [offset], set()
    while waiting:
        noun = waiting.pop()
        if noun not in seen:
            seen.add(noun)
            yield noun
            waiting += nouns[noun][1]
