"""Classes from examples: accuracy with 1, 5 and 10 examples a class, and what is near none.

    npm pack @iconify-json/twemoji @iconify-json/openmoji     # unpacked into icons/NAME
    python benchmarks/trust/examples.py icons/twemoji icons/openmoji --data DATA --scenes 120

Draws scenes of 40 classes that nano knows by name, in styles that it never saw: other classes and
other scenes for each seed. The objects' own boxes are given. Examples are drawn anew 20 times, and
all other objects are named. Beside it stand names instead of examples, and plain means of CLIP's
embeddings; and what random and perfect would give.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import ovsam
from ovsam.classifier import Classifier, best_classes
from ovsam.decode import decode_file
from ovsam.examples.embedding import _compute, embed_by_both, embed_examples
from ovsam.examples.prototypes import ExampleEmbeddings, ExamplePrototypes, build_space
from ovsam.examples.references import References, read_references
from ovsam.preprocess import prepare_image
from ovsam.training.scenes.files import SceneFile, write_scene_files
from ovsam.training.scenes.iconify import load_iconify_sprites
from ovsam.training.scenes.sprites import SpriteAtlas, read_nano_classes

CLASSES, DRAWS = 40, 20
SIZES_HW = ((640, 640), (360, 480), (320, 240), (360, 640), (384, 384))


def write_scenes(style: Path, seed: int, count: int, data: Path) -> Path:
    """Draw scenes of 40 classes, once; return their ground truth."""
    folder = data / f"{style.name}_{seed}_{count}"
    if not (folder / "annotations.json").exists():
        classes = read_nano_classes()
        sprites = load_iconify_sprites(style, classes)
        drawn = [index for index, pictures in enumerate(sprites) if pictures]
        order = np.random.default_rng([17, seed]).permutation(drawn)[:CLASSES]
        atlas = SpriteAtlas(
            tuple(classes[index] for index in sorted(order)),
            tuple(sprites[index] for index in sorted(order)),
        )
        files = [SceneFile(f"{i:04d}.png", SIZES_HW[i % len(SIZES_HW)]) for i in range(count)]
        write_scene_files(folder, atlas, files, 1000 + seed)
        path = folder / "annotations.json"
        content = json.loads(path.read_text())
        content["annotations"] = [a for a in content["annotations"] if a["area"] >= 64]
        path.write_text(json.dumps(content))
    return folder / "annotations.json"


def embed_objects(references: References, model: ovsam.OVSAM) -> tuple[Tensor, Tensor]:
    """Return what head and CLIP see in all objects as they are labelled, their boxes given."""
    found = []
    for picture, file in enumerate(references.pictures):
        boxes = [one.box_xyxy for one in references.examples if one.picture == picture]
        size = model.config.input_size
        prepared = prepare_image(decode_file(file), size)
        given = torch.tensor(boxes) * torch.tensor(prepared.scale_xy).repeat(2)
        unknown = torch.full((len(boxes), size // 4, size // 4), torch.nan)
        with torch.no_grad():
            found.append(embed_by_both(model, prepared, given.float(), unknown)[:2])
    head, clip = zip(*found, strict=True)
    return torch.cat(head), torch.cat(clip)


def build_classifier(
    seen: ExampleEmbeddings, owners: Tensor, rows: np.ndarray, shown: np.ndarray
) -> Classifier:
    """Build the classifier of `shown` classes from the examples `rows`."""
    place = {int(category): index for index, category in enumerate(shown)}
    own = torch.tensor([place[int(owners[row])] for row in rows])
    scale, count = 20.0, len(shown)
    head = build_space(seen.head[rows][:, None], own, count, seen.head_background[::2], scale)
    clip = build_space(seen.clip[rows], own, count, seen.clip_background[::2], scale)
    prototypes = ExamplePrototypes(head, clip, torch.arange(count), count)
    names = [f"class {number}" for number in range(count)]
    width = seen.head.shape[1]
    texts = torch.zeros(0, width), torch.zeros(0, dtype=torch.int64)
    vocabulary = ovsam.Vocabulary([*names, "none"]).with_example_prototypes(texts, prototypes)
    return Classifier.of_vocabulary(
        vocabulary, None, np.log(scale), torch.device("cpu"), restrict_to_split=False
    )


def score(classifier: Classifier, head: Tensor, clip: Tensor) -> Tensor:
    """Return fused logits (N, K + 2): the classes, none of them, background."""
    has_mask = torch.ones(len(head), dtype=torch.bool)
    return classifier.fuse(classifier.head_logits(head), classifier.clip_logits(clip), has_mask)


def measure_accuracy(
    seen: ExampleEmbeddings, asked: tuple[Tensor, Tensor], owners: Tensor, count: int
) -> tuple[float, float]:
    """Return the accuracy among the 40 classes, by `score` and by plain mean cosines of CLIP."""
    found, plain = [], []
    for draw in range(DRAWS):
        rows, rest = draw_examples(owners, np.arange(CLASSES), count, draw)
        fused = score(
            build_classifier(seen, owners, rows, np.arange(CLASSES)),
            *(half[rest] for half in asked),
        )
        found.append((fused[:, :CLASSES].argmax(1) == owners[rest]).float().mean().item())
        means = torch.zeros(CLASSES, seen.head.shape[1])
        means.index_add_(0, owners[rows], seen.clip[rows, 0])
        nearest = (asked[1][rest] @ torch.nn.functional.normalize(means, dim=1).T).argmax(1)
        plain.append((nearest == owners[rest]).float().mean().item())
    return float(np.mean(found)), float(np.mean(plain))


def draw_examples(
    owners: Tensor, shown: np.ndarray, count: int, draw: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of examples, and all others."""
    random = np.random.default_rng([draw, count])
    every = owners.numpy()
    rows = [random.permutation(np.flatnonzero(every == k))[:count] for k in shown]
    chosen = np.concatenate(rows)
    return chosen, np.setdiff1d(np.arange(len(every)), chosen)


def measure_filter(
    seen: ExampleEmbeddings,
    asked: tuple[Tensor, Tensor],
    owners: Tensor,
    count: int,
    num_shown: int,
) -> np.ndarray:
    """Return shares that come out: of objects shown, rightly named; of others; of background."""
    shares = []
    for draw in range(DRAWS):
        shown = np.sort(np.random.default_rng([7, draw]).permutation(CLASSES)[:num_shown])
        rows, rest = draw_examples(owners, shown, count, draw)
        classifier = build_classifier(seen, owners, rows, shown)
        labels, _, _ = best_classes(score(classifier, *(half[rest] for half in asked)))
        far, _, _ = best_classes(
            score(classifier, seen.head_background[1::2], seen.clip_background[1::2])
        )
        is_shown = np.isin(owners[rest].numpy(), shown)
        is_out = (labels < num_shown).numpy()
        right = is_out & (shown[labels.clamp(max=num_shown - 1)] == owners[rest].numpy())
        shares.append(
            [right[is_shown].mean(), is_out[~is_shown].mean(), (far < num_shown).float().mean()]
        )
    return np.mean(shares, axis=0)


def measure_names(
    model: ovsam.OVSAM, asked: tuple[Tensor, Tensor], owners: Tensor, names: list[str]
) -> float:
    """Return the accuracy of names: the 40 alone compete."""
    predictor = ovsam.Predictor(model, ovsam.load_vocabulary("nano").subset(names))
    fused = score(predictor._classifier, *asked)
    return (fused[:, :-1].argmax(1) == owners).float().mean().item()


def measure_time(path: Path, model: ovsam.OVSAM) -> None:
    """Print how long 100 examples take that are in no cache."""
    content = json.loads(path.read_text())
    content["annotations"] = content["annotations"][:100]
    used = {item["category_id"] for item in content["annotations"]}
    content["categories"] = [c for c in content["categories"] if c["id"] in used]
    few = path.with_name("hundred.json")
    few.write_text(json.dumps(content))
    references = read_references(few)
    start_s, cpu_s = time.perf_counter(), time.process_time()
    with torch.no_grad():
        _compute(references, model, None)
    wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - cpu_s
    pictures = len(references.pictures)
    print(
        f"100 examples in {pictures} pictures: {wall_s:.1f} s, {cpu_s:.1f} s of processor time, "
        f"{torch.get_num_threads()} threads"
    )


def main() -> None:
    """Print all numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("styles", type=Path, nargs="+", help="unpacked @iconify-json packages")
    parser.add_argument("--data", type=Path, required=True, help="folder for the scenes")
    parser.add_argument("--scenes", type=int, default=160)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()
    model = ovsam.load_model("nano").prepare_for_inference(torch.float32)
    print(f"random {1 / CLASSES:.3f}, perfect 1.000")
    for style in arguments.styles:
        table = []
        for seed in arguments.seeds:
            path = write_scenes(style, seed, arguments.scenes, arguments.data)
            references = read_references(path)
            seen, asked = embed_examples(references, model), embed_objects(references, model)
            owners = torch.tensor([item.category for item in references.examples])
            counts = [measure_accuracy(seen, asked, owners, count) for count in (1, 5, 10)]
            names = measure_names(model, asked, owners, [c.name for c in references.classes])
            table.append([names, *(own for own, _ in counts), *(plain for _, plain in counts)])
            values = " ".join(f"{value:.3f}" for value in table[-1])
            print(f"{style.name} seed {seed}, {len(owners)} objects: {values}", flush=True)
            for count, shown in ((1, 1), (5, 1), (1, 20), (5, 20)):
                shares = measure_filter(seen, asked, owners, count, shown)
                text = ", ".join(f"{share:.2f}" for share in shares)
                print(f"  {count} of each of {shown}: right, others out, background out {text}")
        values = " ".join(f"{value:.3f}" for value in np.mean(table, axis=0))
        print(f"{style.name} mean: names, 1/5/10 examples, 1/5/10 by plain means: {values}")
    measure_time(path, model)


if __name__ == "__main__":
    main()
