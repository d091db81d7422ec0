"""Record outputs of the original files, which tests compare the embedded model with.

    pip install onnx onnxruntime efficientnet-lite-pytorch
    python -m scripts.photo.record ENCODER.onnx SAM.onnx EFFICIENTNET.pth

Writes `tests/ovsam/photo_outputs.npz` and prints the largest differences of the tensors that
`make.py` converts, before they are stored in int8.
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from efficientnet_lite_pytorch import EfficientNet

from ovsam.baselines.config import get_photo_config
from ovsam.baselines.model import build_baseline
from scripts.photo.masks import convert_decoder, convert_encoder
from scripts.photo.namer import convert_tower

_TARGET = Path(__file__).parents[2] / "tests" / "ovsam" / "photo_outputs.npz"
_BOXES = np.array([[100, 200, 500, 700], [300, 50, 900, 400]], np.float32)


def draw_pixels(side: int) -> np.ndarray:
    """Return (1, 3, side, side) float32 of smooth waves, in the range of network inputs."""
    ramp = np.linspace(0, 1, side, dtype=np.float32)
    waves = [np.sin(2 * np.pi * (3 + c) * ramp)[:, None] * np.cos(9 * ramp + c) for c in range(3)]
    return np.stack(waves)[None].astype(np.float32)


def main(encoder_path: str, sam_path: str, tower_path: str) -> None:
    """Run the originals, write what they gave, and compare."""
    pixels = draw_pixels(1024)
    encoder = onnxruntime.InferenceSession(encoder_path)
    embedding = encoder.run(None, {encoder.get_inputs()[0].name: pixels})[0]
    decoder = onnxruntime.InferenceSession(sam_path)
    logits = []
    for box in _BOXES:
        given = {
            "image_embeddings": embedding,
            "point_coords": box.reshape(1, 2, 2),
            "point_labels": np.array([[2, 3]], np.float32),
            "mask_input": np.zeros((1, 1, 256, 256), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
            "orig_im_size": np.array([1024, 1024], np.float32),
        }
        logits.append(decoder.run(None, given)[2][0, 0])
    crops = torch.from_numpy(draw_pixels(260))
    network = EfficientNet.from_name("efficientnet-lite2").eval()
    network.load_state_dict(torch.load(tower_path, map_location="cpu", weights_only=True))
    with torch.inference_mode():
        features = network._avg_pooling(network.extract_features(crops)).flatten(1).numpy()
    np.savez_compressed(
        _TARGET,
        embedding=embedding[0, ::16, ::4, ::4],
        logits=np.stack(logits)[:, ::8, ::8],
        features=features[0],
    )
    _compare(encoder_path, sam_path, tower_path, embedding, np.stack(logits), features)


@torch.inference_mode()
def _compare(
    encoder_path: str,
    sam_path: str,
    tower_path: str,
    embedding: np.ndarray,
    logits: np.ndarray,
    features: np.ndarray,
) -> None:
    model = build_baseline(get_photo_config())
    sam = {**convert_encoder(Path(encoder_path)), **convert_decoder(Path(sam_path))}
    tower, _ = convert_tower(Path(tower_path))
    model.sam.load_state_dict(sam)
    model.image_encoder.load_state_dict(tower)
    model.prepare_for_inference()
    ours = model.sam.image_encoder(torch.from_numpy(draw_pixels(1024))).numpy()
    decoded = model.sam.decode(torch.from_numpy(embedding), torch.from_numpy(_BOXES))[0].numpy()
    # The export gives the mask of the best predicted IoU, which is one of the four.
    nearest = [
        np.abs(four - one).max(axis=(1, 2)).min() for four, one in zip(decoded, logits, strict=True)
    ]
    crops = torch.from_numpy(draw_pixels(260))
    tower_input = to_tower_input(crops)
    named = model.image_encoder.embed_maps(model.image_encoder(tower_input)[3]).numpy()
    sys.stdout.write(
        f"embedding {np.abs(ours - embedding).max():.1e}, logits {max(nearest):.1e}, "
        f"features {np.abs(named - features).max():.1e}\n"
    )


def to_tower_input(pixels: torch.Tensor) -> torch.Tensor:
    """Return what the tower must be given to see these values of (pixel - 127) / 128."""
    from ovsam.preprocess import PIXEL_MEAN, PIXEL_STD

    mean, std = (torch.tensor(row)[:, None, None] for row in (PIXEL_MEAN, PIXEL_STD))
    return (pixels * 128 + 127 - mean) / std


if __name__ == "__main__":
    main(*sys.argv[1:])
