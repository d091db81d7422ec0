"""How a scribble, and a further click, are best given to the mask decoder.

    python benchmarks/ui/scribble.py [--model nano|photo] [--objects 112] [--scenes examples/scenes]

Each object of the scenes is scribbled on twice: along its longer axis with a thin brush, and over
its inside with a broad one. Printed is the mean IoU of the answer with the true mask, for each way
to make a prompt of the scribble. Below that, clicks as in interactive segmentation: the first where
the object is deepest, each further one where the answer is most wrong, on the object or beside it;
with and without the decoder's previous logits as its mask input.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

import ovsam
from ovsam.decode import decode_file
from ovsam.examples.embedding import draw_mask_logits
from ovsam.masks import decode_mask
from ovsam.preprocess import prepare_image
from ovsam.structures import EncodedImage, Prompts
from ovsam_pipeline.ui.demo.scribble import choose_points, find_box

MOST_CLICKS = 4
Make = Callable[[np.ndarray, EncodedImage, int], Prompts]


def give_points(most: int, *, box: float | None = None, logits: bool = False) -> Make:
    """Return what makes a prompt of up to `most` points, a box grown by a share, and logits."""

    def make(drawn: np.ndarray, encoded: EncodedImage, input_size: int) -> Prompts:
        size_hw = encoded.original_size_hw
        points = choose_points(drawn, size_hw, most)[None] if most else None
        boxes = None
        if box is not None:
            corners = find_box(drawn, size_hw)
            grown = box * (corners[2:] - corners[:2])
            boxes = np.concatenate([corners[:2] - grown, corners[2:] + grown])[None]
        given = None
        if logits:
            given = draw_mask_logits(drawn, encoded.input_size_hw, input_size).numpy()[None]
        return Prompts(boxes, points, None, given)

    return make


WAYS = {
    "1 point": give_points(1),
    "3 points": give_points(3),
    "5 points": give_points(5),
    "8 points": give_points(8),
    "box": give_points(0, box=0.0),
    "box + 10 %": give_points(0, box=0.1),
    "box + 10 %, 5 points": give_points(5, box=0.1),
    "mask, 1 point": give_points(1, logits=True),
    "mask, 5 points": give_points(5, logits=True),
    "mask, box": give_points(0, box=0.0, logits=True),
    "mask, box + 10 %": give_points(0, box=0.1, logits=True),
}


def scribble_line(mask: np.ndarray) -> np.ndarray:
    """Draw a line along the longer axis of a mask (H, W), inside it, a hundredth of it wide."""
    places = np.argwhere(mask)[:, ::-1].astype(np.float32)
    centre = places.mean(axis=0)
    axis = np.linalg.svd(places - centre, full_matrices=False)[2][0]
    along = (places - centre) @ axis
    ends = [centre + axis * np.quantile(along, share) for share in (0.15, 0.85)]
    drawn = np.zeros_like(mask)
    brush = max(2, round(max(mask.shape) / 100))
    cv2.line(drawn, *(tuple(int(v) for v in end) for end in ends), 1, brush)
    return drawn & mask


def scribble_inside(mask: np.ndarray) -> np.ndarray:
    """Paint what is deeper in a mask (H, W) than 30 % of its greatest depth."""
    depth = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    return (depth > 0.3 * depth.max()).astype(np.uint8)


def read_scenes(folder: Path) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Yield the pixels of each scene and the masks of its objects."""
    data = json.loads((folder / "annotations.json").read_text())
    by_image = defaultdict(list)
    for item in data["annotations"]:
        by_image[item["image_id"]].append(item["segmentation"])
    for image in data["images"]:
        pixels = decode_file(folder / image["file_name"])
        masks = [decode_mask(mask, *pixels.shape[:2]) for mask in by_image[image["id"]]]
        yield pixels, [np.ascontiguousarray(mask) for mask in masks]


def compute_iou(found: np.ndarray, true: np.ndarray) -> float:
    """Return the IoU of two (H, W) masks."""
    return float((found & true).sum() / max(1, (found | true).sum()))


def click(
    predictor: ovsam.Predictor, encoded: EncodedImage, true: np.ndarray, *, feeds_back: bool
) -> list[float]:
    """Return the IoU after each of some clicks."""
    points: list[list[float]] = []
    labels: list[int] = []
    found, logits = np.zeros_like(true), None
    ious = []
    for _ in range(MOST_CLICKS):
        missing, extra = (
            cv2.distanceTransform(np.pad(error, 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
            for error in (true & ~found & 1, found & ~true & 1)
        )
        deeper = missing if missing.max() >= extra.max() else extra
        y, x = np.unravel_index(int(deeper.argmax()), deeper.shape)
        points.append([float(x), float(y)])
        labels.append(int(deeper is missing))
        prompts = Prompts(None, [points], [labels], logits)
        prediction = predictor.segment(encoded, prompts, masks="full")
        assert prediction.masks is not None
        found = prediction.masks[0].astype(np.uint8)
        logits = prediction.low_res_logits if feeds_back else None
        ious.append(compute_iou(found, true))
    return ious


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--scenes", type=Path, default=Path("examples/scenes"))
    parser.add_argument("--objects", type=int, default=112, help="first ones of the scenes")
    given = parser.parse_args()
    model = ovsam.load_model(given.model).prepare_for_inference()
    predictor = ovsam.Predictor(model)
    size = model.config.input_size
    ious: dict[tuple[str, str], list[float]] = defaultdict(list)
    clicks: dict[bool, list[list[float]]] = {False: [], True: []}
    for pixels, masks in read_scenes(given.scenes):
        if len(clicks[True]) == given.objects:
            break
        encoded = predictor.encode([prepare_image(pixels, size)])[0]
        for mask in masks[: given.objects - len(clicks[True])]:
            for kind, drawn in (("line", scribble_line(mask)), ("inside", scribble_inside(mask))):
                for name, make in WAYS.items():
                    prediction = predictor.segment(
                        encoded, make(drawn, encoded, size), masks="full"
                    )
                    assert prediction.masks is not None
                    ious[name, kind].append(compute_iou(prediction.masks[0], mask))
            for feeds_back, found in clicks.items():
                found.append(click(predictor, encoded, mask, feeds_back=feeds_back))
    print(f"{given.model}, {len(clicks[True])} objects: mean IoU")
    print(f"{'scribble as':24} {'line':>6} {'inside':>6}")
    for name in WAYS:
        print(f"{name:24} {np.mean(ious[name, 'line']):6.3f} {np.mean(ious[name, 'inside']):6.3f}")
    print(f"{'clicks':24} " + " ".join(f"{n:6}" for n in range(1, MOST_CLICKS + 1)))
    for feeds_back, found in clicks.items():
        name = "with previous logits" if feeds_back else "points alone"
        print(f"{name:24} " + " ".join(f"{value:6.3f}" for value in np.mean(found, axis=0)))


if __name__ == "__main__":
    main()
