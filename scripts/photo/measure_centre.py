"""Measure the mean feature of the photo model: `python -m scripts.photo.measure_centre PHOTO...`.

Random boxes on photographs are segmented and cut out as labelling cuts objects out; the mean of
their features is written to `feature_centre.txt`, which `make.py` puts into the model. The file is
kept, as floating-point results differ in their last bits between processors.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from ovsam.decode import decode_file
from ovsam.labelling_model import LabellingModel
from ovsam.load import load_model
from ovsam.preprocess import prepare_image, to_network_input

_BOXES_PER_PHOTO = 8
_FILE = Path(__file__).parent / "feature_centre.txt"


def read_centre() -> torch.Tensor:
    """Return the (D,) float32 centre."""
    return torch.tensor(np.loadtxt(_FILE, dtype=np.float32))


@torch.inference_mode()
def measure_centre(model: LabellingModel, paths: list[Path]) -> np.ndarray:
    """Return the mean of (boxes, D) features of random boxes, float32."""
    generator = np.random.default_rng(0)
    features = []
    for path in paths:
        image = prepare_image(decode_file(path), model.config.input_size)
        height, width = image.input_size_hw
        encoded = model.encode(to_network_input([image]))
        sides = generator.uniform(0.15, 0.7, (_BOXES_PER_PHOTO, 2)) * (width, height)
        corners = generator.uniform(0, 1, (_BOXES_PER_PHOTO, 2)) * ((width, height) - sides)
        boxes = torch.tensor(np.hstack([corners, corners + sides]), dtype=torch.float32)
        logits, tokens = model.decode(encoded, boxes)
        features.append(model.embed_regions(encoded, boxes, boxes, tokens, logits)[0])
    return torch.cat(features).mean(dim=0).numpy()


if __name__ == "__main__":
    photo = load_model("photo")
    photo.image_encoder.feature_mean.zero_()
    np.savetxt(_FILE, measure_centre(photo, [Path(name) for name in sys.argv[1:]]), fmt="%.4f")
