"""Images/s and peak memory of OV-SAM at its full size, beside the textbook form of the same model.

For each dtype and number of boxes, one process a side: encode one image, segment and label N
boxes, RLE out. The textbook side runs the same weights as a reader of the paper would write it:
batch norms not folded, every RoI pooled and pushed through the whole attention pool, image cells
copied for every prompt, all prompts at once, masks up-scaled in full before RLE. Prints JSON with
seconds, images/s, peak memory and the ratios. Random weights: the arithmetic is the same.

    python benchmarks/speed/model_speed.py --model rn50x16 --boxes 1 20 100 --dtypes fp32 bf16
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


def build_predictor(model_name: str, dtype: str, is_textbook: bool) -> Any:
    """Return a predictor with random weights on 80 random classes."""
    import torch

    from ovsam.build import build_model
    from ovsam.predictor import Predictor
    from ovsam.text.vocabulary import Vocabulary

    torch.manual_seed(0)
    model = build_model(model_name).requires_grad_(False)
    embeddings = torch.randn(80, 1, model.config.clip.embed_dim)
    vocabulary = Vocabulary([f"class {i}" for i in range(80)], embeddings)
    if is_textbook:
        for part in (model.image_encoder, model.neck, model.mask_decoder, model.clip2sam):
            part.to(getattr(torch, DTYPES[dtype]))
    else:
        model.prepare_for_inference(getattr(torch, DTYPES[dtype]))
    return Predictor(model, vocabulary)


def run_ours(predictor: Any, image: Any, boxes: Any) -> dict[str, float]:
    """Return seconds of the two halves of a prediction."""
    from ovsam.preprocess import prepare_image
    from ovsam.structures import Prompts

    start = time.perf_counter()
    encoded = predictor.encode([prepare_image(image, predictor.model.config.input_size)])[0]
    middle = time.perf_counter()
    predictor.segment(encoded, Prompts(boxes_xyxy=boxes), masks="rle")
    return {"encode_s": middle - start, "prompts_s": time.perf_counter() - middle}


def run_textbook(predictor: Any, image: Any, boxes: Any) -> dict[str, float]:
    """The same function, nothing shared between prompts and nothing reordered."""
    import torch

    from ovsam.preprocess import prepare_image, to_network_input

    model = predictor.model
    start = time.perf_counter()
    with torch.inference_mode():
        prepared = prepare_image(image, model.config.input_size)
        pixels = to_network_input([prepared], dtype=model.dtype).contiguous()
        features = model.encode(pixels)
        middle = time.perf_counter()
        scale = prepared.scale_xy[0]
        regions = torch.from_numpy(boxes * scale)
        logits, tokens = decode_with_copies(model, features, regions)
        head = model.clip2sam.embed_regions(
            features.fpn_levels, regions, tokens, features.clip_feature, logits
        )
        clip = pool_every_region(model, features.clip_feature, regions)
        predictor._classifier.fuse(
            predictor._classifier.head_logits(head),
            predictor._classifier.clip_logits(clip),
            torch.ones(len(boxes), dtype=torch.bool),
        )
        encode_full_masks(logits, prepared)
    return {"encode_s": middle - start, "prompts_s": time.perf_counter() - middle}


def decode_with_copies(model: Any, features: Any, regions: Any) -> Any:
    """Decode with one copy of the image embedding a prompt."""
    encoder = model.prompt_encoder
    tokens = encoder(regions, None, None)
    embedding = features.image_embedding
    image = (embedding + encoder.encode_masks(None).to(embedding.dtype)).repeat(
        len(regions), 1, 1, 1
    )
    positions = encoder.image_positions().repeat(len(regions), 1, 1, 1)
    return model.mask_decoder(image, positions, tokens, features.mask_details)


def pool_every_region(model: Any, stage4: Any, regions: Any) -> Any:
    """RoIAlign every region and run CLIP's attention pool over its cells."""
    import torch
    from torchvision.ops import roi_align

    encoder = model.image_encoder
    rois = torch.cat([torch.zeros(len(regions), 1), regions], dim=1)
    pooled = roi_align(stage4.float(), rois, encoder.pool_grid, 1 / 32, -1, aligned=True)
    return encoder.visual.attnpool(pooled.to(stage4.dtype))


def encode_full_masks(logits: Any, prepared: Any) -> Any:
    """Up-scale every mask in full, twice, and encode it with pycocotools."""
    import numpy as np
    import torch.nn.functional as F
    from pycocotools import mask as coco_mask

    height, width = prepared.input_size_hw
    size = (prepared.input_size, prepared.input_size)
    padded = F.interpolate(logits[:, None], size=size, mode="bilinear")
    full = F.interpolate(
        padded[..., :height, :width], size=prepared.original_size_hw, mode="bilinear"
    )
    return [coco_mask.encode(np.asfortranarray(m.numpy().astype(np.uint8))) for m in full[:, 0] > 0]


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Run one side in this process: the least time of the repeats, and peak memory."""
    import numpy as np
    import torch

    torch.set_num_threads(arguments.threads)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (768, 1024, 3), dtype=np.uint8)
    corners = rng.uniform((0, 0), (700, 500), (arguments.boxes[0], 2))
    sizes = rng.uniform(30, 260, (arguments.boxes[0], 2))
    boxes = np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)
    predictor = build_predictor(arguments.model, arguments.dtypes[0], arguments.side == "textbook")
    side: Callable[..., dict[str, float]] = (
        run_textbook if arguments.side == "textbook" else run_ours
    )
    runs = [side(predictor, image, boxes) for _ in range(arguments.repeats)]
    best = min(runs, key=lambda run: sum(run.values()))
    total = sum(best.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    rounded = {name: round(value, 3) for name, value in best.items()}
    return {
        **rounded,
        "image_s": round(total, 3),
        "images_per_s": round(1 / total, 4),
        "peak_gb": round(peak, 2),
    }


def run_side(arguments: argparse.Namespace, dtype: str, count: int, side: str) -> dict[str, float]:
    """Measure one side in a process of its own, so that its peak memory is its own."""
    options = {
        "model": arguments.model,
        "dtypes": dtype,
        "boxes": count,
        "threads": arguments.threads,
        "repeats": arguments.repeats,
        "side": side,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, __file__, *words]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run both sides of every setting, each in a process of its own."""
    results: dict[str, Any] = {"model": arguments.model, "threads": arguments.threads}
    for dtype in arguments.dtypes:
        for count in arguments.boxes:
            sides = {}
            for side in ("ours", "textbook") if arguments.textbook else ("ours",):
                sides[side] = run_side(arguments, dtype, count, side)
            if "textbook" in sides:
                ours, book = sides["ours"], sides["textbook"]
                sides["times_faster"] = round(book["image_s"] / ours["image_s"], 2)
                sides["memory_share"] = round(ours["peak_gb"] / book["peak_gb"], 2)
            results[f"{dtype}, {count} boxes"] = sides
    return results


def main() -> None:
    """Compare, or measure one side when asked for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="rn50x16")
    parser.add_argument("--boxes", type=int, nargs="+", default=[1, 20, 100])
    parser.add_argument("--dtypes", nargs="+", choices=tuple(DTYPES), default=["fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--textbook", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--side", choices=("ours", "textbook"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments) if arguments.side else compare(arguments), indent=1))


if __name__ == "__main__":
    main()
