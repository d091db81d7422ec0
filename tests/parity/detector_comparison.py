"""Our detectors against recorded outputs of the official ones, stage by stage.

A folder of records holds `cases.json`, an .npz a case and image, and manifests of parameter names
(`keys_*.json`, or all in `keys.json.gz`). Nothing about a case is written here: architecture,
class count, sizes, salt and thresholds are read from the folder, so other folders of the kind work
too. Used by the parity tests and by benchmarks/paper/detector_parity.py.

Arrays of a record: `input`; `body_*`; `fpn_*`; `objectness{l}` and `deltas{l}`, or `heatmap{l}`
(logits) and `ltrb{l}` (in strides); `proposals`, `proposal_scores`; `class_scores`, `class_boxes`
of the second stage for the recorded proposals; `roi_class_scores`, `roi_class_boxes` for the given
`rois` with `roi_objectness`; `det_boxes`, `det_scores`, `det_classes` in original pixels.
"""

import dataclasses
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from deterministic_detector_weights import (
    make_detector_image,
    make_state_dict,
    make_text_embeddings,
)
from PIL import Image

from ovsam.config import VitConfig
from ovsam_pipeline.detectors.official.rcnn.detic import SwinNumbers, build_detic
from ovsam_pipeline.detectors.official.rcnn.faster_rcnn import build_faster_rcnn
from ovsam_pipeline.detectors.official.rcnn.network import RCNN
from ovsam_pipeline.detectors.official.rcnn.official_names import load_official_state
from ovsam_pipeline.detectors.official.rcnn.resize import build_batch, prepare
from ovsam_pipeline.detectors.official.rcnn.structures import Proposals
from ovsam_pipeline.detectors.official.rcnn.vitdet import build_vitdet

BUNDLED = Path(__file__).parent / "golden_detectors"

INPUT_LIMIT = 1e-5
FEATURE_LIMIT = 1e-4
BOX_LIMIT = 0.05
SCORE_LIMIT = 2e-4
WINDOW_TABLE = 27

Shapes = dict[str, list[int]]
Arrays = dict[str, np.ndarray]


class Difference(NamedTuple):
    """How far one stage of one image is from its record, and how far it may be."""

    case: str
    image: str
    stage: str
    value: float
    limit: float
    unit: str

    @property
    def is_within(self) -> bool:
        return self.value <= self.limit


def read_manifests(folder: Path) -> dict[str, Shapes]:
    """Return {name: {parameter: shape}} of a folder; what it lacks comes from the bundled one."""
    manifests: dict[str, Shapes] = {}
    for packed in (BUNDLED / "keys.json.gz", folder / "keys.json.gz"):
        if packed.is_file():
            manifests |= json.loads(gzip.decompress(packed.read_bytes()))
    for path in folder.glob("keys_*.json"):
        manifests[path.stem.removeprefix("keys_")] = json.loads(path.read_text())
    return manifests


def find_manifest(case: str, manifests: Mapping[str, Shapes]) -> Shapes:
    """Return the manifest of a case: its name, else the shortest name that begins with it."""
    names = [name for name in manifests if name == case or name.startswith(f"{case}_")]
    if not names:
        raise LookupError(f"no manifest keys_{case}.json, and none that begins with this name")
    return manifests[min(names, key=len)]


def build_network(case: str, shapes: Shapes, num_classes: int) -> RCNN:
    """Build the network that a manifest describes, on the meta device."""
    with torch.device("meta"):
        if "backbone.net.pos_embed" in shapes:
            is_sigmoid = "sigmoid" in case or "lvis" in case
            return build_vitdet(read_vit_config(shapes), num_classes, is_sigmoid=is_sigmoid)
        if "backbone.bottom_up.base.conv1.weight" in shapes:
            return build_detic("r50", num_classes)
        if "backbone.bottom_up.patch_embed.proj.weight" in shapes:
            return build_detic(read_swin_numbers(shapes), num_classes)
        return build_faster_rcnn(num_classes)


def read_vit_config(shapes: Shapes) -> VitConfig:
    tables = {
        int(match[1]): shape
        for name, shape in shapes.items()
        if (match := re.fullmatch(r"backbone\.net\.blocks\.(\d+)\.attn\.rel_pos_h", name))
    }
    width = shapes["backbone.net.pos_embed"][-1]
    global_blocks = tuple(i for i in sorted(tables) if tables[i][0] != WINDOW_TABLE)
    return VitConfig(
        width=width,
        depth=len(tables),
        heads=width // tables[0][1],
        global_blocks=global_blocks,
        input_size=16 * (tables[global_blocks[0]][0] + 1) // 2,
    )


def read_swin_numbers(shapes: Shapes) -> SwinNumbers:
    prefix = "backbone.bottom_up."
    heads, depths = [], []
    for stage in range(4):
        pattern = rf"{re.escape(prefix)}layers\.{stage}\..*relative_position_bias_table"
        tables = [shape for name, shape in shapes.items() if re.fullmatch(pattern, name)]
        depths.append(len(tables))
        heads.append(tables[0][1])
    width = shapes[f"{prefix}patch_embed.proj.weight"][0]
    return SwinNumbers(width=width, depths=tuple(depths), heads=tuple(heads))


def get_shapes(network: RCNN) -> Shapes:
    """Return {name: shape} of a network."""
    return {name: list(value.shape) for name, value in network.state_dict().items()}


def fill_network(network: RCNN, salt: int, num_classes: int) -> RCNN:
    """Load generated weights and, into Detic, generated texts."""
    load_official_state(network, make_state_dict(get_shapes(network), salt))
    if network.has_vocabulary:
        network.set_vocabulary(make_text_embeddings(num_classes, salt))
    return network


def load_image(folder: Path, info: Mapping[str, Any], salt: int) -> np.ndarray:
    """Return the recorded image: drawn, or from the folder where this machine draws another."""
    size = (info["height"], info["width"])
    for drawn_with in (0, salt):
        image = make_detector_image(*size, drawn_with)
        if zlib.crc32(image.tobytes()) == info["image_crc32"]:
            return image
    with Image.open(folder / f"image_{size[0]}x{size[1]}.png") as stored:
        return np.asarray(stored.convert("RGB"))


class Case:
    """A recorded case: its network with weights, and its images."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.values = json.loads((folder / "cases.json").read_text())[name]
        self.salt = self.values["salt"]
        record = self.load_record(self.values["images"][0])
        self.num_classes = int(restored_shape(record, "roi_class_scores")[1]) - 1
        shapes = find_manifest(name, read_manifests(folder))
        network = build_network(name, shapes, self.num_classes)
        self.network = fill_network(network, self.salt, self.num_classes)

    def load_record(self, info: Mapping[str, Any]) -> Arrays:
        with np.load(self.folder / info["file"]) as arrays:
            return dict(arrays)

    def set_recipe(self, info: Mapping[str, Any]) -> None:
        """Give the network the recorded sizes and thresholds of an image."""
        recipe = self.network.recipe
        max_side = self.values["max_side"]
        self.network.recipe = dataclasses.replace(
            recipe,
            short_side=self.values["short_side"],
            max_side=max_side,
            square_side=max_side if recipe.square_side else 0,
            score_threshold=info["score_threshold"],
            nms_threshold=info["nms_threshold"],
            top_k=info["top_k"],
            proposals=info["post_nms_top_k"],
        )

    @torch.inference_mode()
    def compare(self) -> Iterator[Difference]:
        """Compare every stage of every image."""
        for info in self.values["images"]:
            self.set_recipe(info)
            record = self.load_record(info)
            image = load_image(self.folder, info, self.salt)
            for stage, value, limit, unit in self._compare_image(image, info, record):
                name = f"{info['height']}x{info['width']}"
                yield Difference(self.name, name, stage, value, limit, unit)

    def _compare_image(self, image: np.ndarray, info: Mapping[str, Any], record: Arrays):
        network = self.network
        prepared = prepare(image, network.recipe)
        if prepared.resized_hw != tuple(info["resized"]):
            raise ValueError(f"expected resized size {info['resized']}, got {prepared.resized_hw}")
        batch = build_batch([prepared.pixels], network.recipe)
        yield "input", largest_difference(record, "input", batch), INPUT_LIMIT, ""
        features, body = run_backbone(network, batch)
        yield from compare_maps(record, "body", body)
        yield from compare_maps(record, "fpn", features)
        yield from compare_maps(record, "", run_first_stage(network, list(features.values())))
        sizes = [prepared.resized_hw]
        proposals = network.propose(features, sizes)[0]
        yield from compare_sets(
            "proposals",
            (proposals.boxes, proposals.scores, None),
            (record["proposals"], record["proposal_scores"], None),
        )
        for prefix, boxes, scores in (
            ("", "proposals", "proposal_scores"),
            ("roi_", "rois", "roi_objectness"),
        ):
            given = Proposals(torch.from_numpy(record[boxes]), torch.from_numpy(record[scores]))
            regions = network.classify(features, [given], sizes)[0]
            for kind, value, limit, unit in (
                ("class_scores", regions.scores, SCORE_LIMIT, ""),
                ("class_boxes", regions.boxes, BOX_LIMIT, "px"),
            ):
                name = f"{prefix}{kind}"
                yield name, largest_difference(record, name, value), limit, unit
        found = network.detect(batch, sizes, [prepared.original_hw])[0]
        yield from compare_sets(
            "detections",
            (found.boxes_xyxy, found.scores, found.classes),
            (record["det_boxes"], record["det_scores"], record["det_classes"]),
        )


def run_backbone(network: RCNN, batch: torch.Tensor):
    """Return the pyramid, and the body's outputs under their recorded names."""
    backbone = network.backbone
    if hasattr(backbone, "net"):
        last = backbone.net(batch)
        return backbone.fuse(last), {"last_feat": last}
    stages = backbone.bottom_up(batch)
    return backbone.fuse(list(stages.values())), stages


def run_first_stage(network: RCNN, levels: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the raw outputs of the first stage under their recorded names."""
    generator = network.proposal_generator
    outputs = {}
    for index, level in enumerate(levels):
        if hasattr(generator, "rpn_head"):
            names, values = ("objectness", "deltas"), generator.rpn_head(level)
        else:
            names, values = ("heatmap", "ltrb"), generator.centernet_head(level, index)
        outputs |= {f"{name}{index}": value for name, value in zip(names, values, strict=True)}
    return outputs


def restored_shape(record: Arrays, name: str) -> tuple[int, ...]:
    """Return the shape of a recorded array, stored in full or as a sample."""
    return tuple(record[f"{name}_shape"]) if f"{name}_shape" in record else record[name].shape


def read_sample(record: Arrays, name: str) -> tuple[np.ndarray, np.ndarray | slice]:
    """Return recorded values and where they are in the flattened array."""
    if f"{name}_idx" in record:
        return record[f"{name}_val"], record[f"{name}_idx"]
    return record[name].ravel(), slice(None)


def largest_difference(record: Arrays, name: str, value: torch.Tensor) -> float:
    """Return the largest absolute difference from a recorded array; infinite if shapes differ."""
    if tuple(value.shape) != restored_shape(record, name):
        return float("inf")
    expected, where = read_sample(record, name)
    actual = value.contiguous().flatten().numpy()[where]
    return float(np.abs(actual - expected).max(initial=0.0))


def list_stages(record: Arrays, prefix: str) -> list[str]:
    """Return the recorded names of a prefix, "body" → ["res2", ...]."""
    names = {re.sub(r"_(idx|val|shape)$", "", name) for name in record}
    return sorted(n.removeprefix(f"{prefix}_") for n in names if n.startswith(f"{prefix}_"))


def compare_maps(record: Arrays, prefix: str, computed: Mapping[str, torch.Tensor]):
    """Compare feature maps, in units of the recorded standard deviation."""
    names = list_stages(record, prefix) if prefix else list(computed)
    if prefix == "body" and not set(names) <= set(computed):
        # A body whose outputs have other names upstream: finest first, as ours.
        computed = dict(zip(names, computed.values(), strict=True))
    for name in names:
        stage = f"{prefix}_{name}" if prefix else name
        deviation = float(read_sample(record, stage)[0].std())
        value = largest_difference(record, stage, computed[name]) / deviation
        yield stage, value, FEATURE_LIMIT, "std"


def match_boxes(ours, theirs) -> list[tuple[int, int, float]]:
    """Pair boxes of equal class, nearest first: (ours, theirs, largest coordinate difference)."""
    (boxes, _, classes), (expected, _, expected_classes) = ours, theirs
    distances = np.abs(boxes[:, None] - expected[None]).max(axis=2)
    if classes is not None:
        distances[classes[:, None] != expected_classes[None]] = np.inf
    pairs, used_ours, used_theirs = [], set(), set()
    for flat in np.argsort(distances, axis=None, kind="stable"):
        i, j = (int(index) for index in np.unravel_index(flat, distances.shape))
        if not distances[i, j] <= BOX_LIMIT:
            break
        if i not in used_ours and j not in used_theirs:
            pairs.append((i, j, float(distances[i, j])))
            used_ours.add(i)
            used_theirs.add(j)
    return pairs


def compare_sets(name: str, ours, theirs):
    """Compare boxes as sets: how many have no partner, and the worst of those that have one."""
    ours = tuple(None if x is None else x.numpy() for x in ours)
    pairs = match_boxes(ours, theirs)
    unmatched = len(ours[0]) + len(theirs[0]) - 2 * len(pairs)
    yield f"{name}, unmatched", float(unmatched), 0.0, "boxes"
    worst = max((distance for _, _, distance in pairs), default=0.0)
    yield f"{name}, boxes", worst, BOX_LIMIT, "px"
    scores = max((abs(float(ours[1][i]) - float(theirs[1][j])) for i, j, _ in pairs), default=0.0)
    yield f"{name}, scores", scores, SCORE_LIMIT, ""
