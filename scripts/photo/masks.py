"""MobileSAM's two ONNX files → tensors by the names of `ovsam.sam.SAM` with a TinyViT.

The exporter folded batch norms and gave matrices and constants names of its own (`onnx::...`), so
these are found by the order and shape in which the graph uses them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

_DEPTHS = (2, 6, 2)  # blocks of the three stages with attention
_NORM_PLACES = ("neck.1.weight", "neck.1.bias", "neck.3.weight", "neck.3.bias")


class _Graph:
    """The values of an ONNX file, by name and in order of use."""

    def __init__(self, path: Path) -> None:
        graph = onnx.load(str(path)).graph
        self.nodes = list(graph.node)
        self.values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        self.producer = {output: node for node in self.nodes for output in node.output}

    def inputs_of(self, kind: str) -> list[list[np.ndarray]]:
        """Return the stored inputs of every node of a kind that has any."""
        found = [
            [self.values[name] for name in node.input if name in self.values]
            for node in self.nodes
            if node.op_type == kind
        ]
        return [values for values in found if values]

    def constants(self) -> list[np.ndarray]:
        """Return the values of the constant nodes."""
        nodes = [node for node in self.nodes if node.op_type == "Constant"]
        return [numpy_helper.to_array(node.attribute[0].t) for node in nodes]

    def unnamed(self, prefix: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return the only value that the exporter named by itself and that has this shape."""
        found = [
            value
            for name, value in self.values.items()
            if name.startswith(f"onnx::{prefix}") and value.shape == shape
        ]
        if not found:
            raise SystemExit(f"expected a value {prefix} of shape {shape} in the ONNX file")
        return found[0]


def convert_encoder(path: Path) -> dict[str, Tensor]:
    """Return the tensors of `TinyVit`, below `image_encoder.`."""
    graph = _Graph(path)
    tensors: dict[str, Any] = {}
    for place, values in zip(_convolution_places(), graph.inputs_of("Conv"), strict=True):
        tensors[f"{place}.weight"] = values[0]
        if len(values) > 1:
            tensors[f"{place}.bias"] = values[1]
    matrices = iter(values[0] for values in graph.inputs_of("MatMul"))
    biases = iter(
        value
        for value in graph.constants()
        if value.ndim == 3 and value.shape[1] == value.shape[2] >= 49
    )
    for block in _attention_blocks():
        for part in ("attn.norm", "mlp.norm"):
            for kind in ("weight", "bias"):
                tensors[f"{block}.{part}.{kind}"] = graph.values[f"{block}.{part}.{kind}"]
        for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"):
            tensors[f"{block}.{part}.weight"] = next(matrices).T
            tensors[f"{block}.{part}.bias"] = graph.values[f"{block}.{part}.bias"]
        # Row 0 of (heads, cells, cells): from the first cell, every distance once, in order.
        tensors[f"{block}.attn.attention_biases"] = next(biases)[:, 0]
    scales = [v for k, v in graph.values.items() if k.startswith(("onnx::Mul", "onnx::Add"))]
    tensors |= {p: v.reshape(-1) for p, v in zip(_NORM_PLACES, scales, strict=True)}
    return {f"image_encoder.{name}": _to_tensor(value) for name, value in tensors.items()}


def _convolution_places() -> list[str]:
    """Return the names of the convolutions in the order of the graph."""
    places = ["patch_embed.seq.0", "patch_embed.seq.2"]
    places += [f"layers.0.blocks.{block}.conv{i}" for block in range(2) for i in (1, 2, 3)]
    for stage, depth in enumerate(_DEPTHS):
        places += [f"layers.{stage}.downsample.conv{i}" for i in (1, 2, 3)]
        places += [f"layers.{stage + 1}.blocks.{block}.local_conv" for block in range(depth)]
    return [*places, "neck.0", "neck.2"]


def _attention_blocks() -> list[str]:
    return [
        f"layers.{stage}.blocks.{block}"
        for stage, depth in enumerate(_DEPTHS, start=1)
        for block in range(depth)
    ]


def convert_decoder(path: Path) -> dict[str, Tensor]:
    """Return the 137 tensors of SAM's prompt encoder and mask decoder."""
    graph = _Graph(path)
    found = {
        name.removeprefix("model."): value
        for name, value in graph.values.items()
        if not name.startswith("onnx::")
    }
    for node in graph.nodes:
        # A linear layer: its bias kept its name, its matrix is the other input's, transposed.
        bias = [name for name in node.input if name.endswith(".bias") and name in graph.values]
        if node.op_type != "Add" or not bias:
            continue
        product = graph.producer.get(next(name for name in node.input if name not in bias))
        if product is not None and product.op_type == "MatMul":
            matrix = [graph.values[name] for name in product.input if name in graph.values]
            if matrix:
                name = bias[0].removeprefix("model.").removesuffix(".bias")
                found[f"{name}.weight"] = matrix[0].T
    norms = {
        "prompt_encoder.mask_downscaling.1": 4,
        "prompt_encoder.mask_downscaling.4": 16,
        "mask_decoder.output_upscaling.1": 64,
    }
    for name, channels in norms.items():
        found[f"{name}.weight"] = graph.unnamed("Mul", (channels, 1, 1)).reshape(-1)
        found[f"{name}.bias"] = graph.unnamed("Add", (channels, 1, 1)).reshape(-1)
    no_mask = graph.unnamed("", (1, 256, 1, 1))
    found["prompt_encoder.no_mask_embed.weight"] = no_mask.reshape(1, 256)
    own_tokens = graph.unnamed("", (1, 5, 256))[0]
    found["mask_decoder.iou_token.weight"] = own_tokens[:1]
    found["mask_decoder.mask_tokens.weight"] = own_tokens[1:]
    return {name: _to_tensor(value) for name, value in found.items()}


def _to_tensor(value: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(value, order="C", dtype=np.float32))
