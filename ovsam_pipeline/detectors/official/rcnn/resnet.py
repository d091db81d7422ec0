"""ResNet-50 in the two forms the detectors use: detectron2's names, and torchvision's.

They are different networks of equal shapes: detectron2's (MSRA weights) has the stride in the first
1x1 convolution of a block, the other in the 3x3. Batch norm is frozen in both. Source: ResNet (He
et al. 2016).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet50

_BLOCKS = (3, 4, 6, 3)


class FrozenBatchNorm(nn.Module):
    """Batch norm with fixed statistics, as buffers: a body in half precision keeps them float32."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, C, H, W); shape and dtype are kept."""
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=1e-5
        )


class _NormedConv(nn.Conv2d):
    """Convolution without bias, and its norm under the name `norm`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = FrozenBatchNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))


class _Stem(nn.Module):
    """7x7 convolution and max pool: stride 4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _NormedConv(3, 64, 7, stride=2)

    def forward(self, pixels: Tensor) -> Tensor:
        return F.max_pool2d(F.relu(self.conv1(pixels)), 3, stride=2, padding=1)


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a shortcut; the stride is in the first."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = outputs // 4
        self.shortcut = _NormedConv(inputs, outputs, 1, stride) if inputs != outputs else None
        self.conv1 = _NormedConv(inputs, inner, 1, stride)
        self.conv2 = _NormedConv(inner, inner, 3)
        self.conv3 = _NormedConv(inner, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        inner = F.relu(self.conv2(F.relu(self.conv1(x))))
        return F.relu(self.conv3(inner) + shortcut)


class ResNet50(nn.Module):
    """ResNet-50 with the stride in the 1x1 convolutions and detectron2's names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Stem()
        inputs = 64
        for index, blocks in enumerate(_BLOCKS):
            outputs, stride = 256 * 2**index, 1 if index == 0 else 2
            first = _Bottleneck(inputs, outputs, stride)
            others = (_Bottleneck(outputs, outputs, 1) for _ in range(blocks - 1))
            self.add_module(f"res{index + 2}", nn.Sequential(first, *others))
            inputs = outputs

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) to {"res2": (B, 256, H/4, W/4), ..., "res5": (B, 2048, ...)}."""
        x = self.stem(pixels)
        outputs = {}
        for name in ("res2", "res3", "res4", "res5"):
            x = outputs[name] = self.get_submodule(name)(x)
        return outputs


class StrideInThreeResNet50(nn.Module):
    """torchvision's ResNet-50 (stride in the 3x3), layers 2 to 4 out, names under `base`."""

    def __init__(self) -> None:
        super().__init__()
        self.base = resnet50(weights=None, norm_layer=FrozenBatchNorm)
        del self.base.fc

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Map (B, 3, H, W) to {"layer2": (B, 512, H/8, W/8), ..., "layer4": (B, 2048, ...)}."""
        base = self.base
        x = base.maxpool(base.relu(base.bn1(base.conv1(pixels))))
        x = base.layer1(x)
        outputs = {}
        for name in ("layer2", "layer3", "layer4"):
            x = outputs[name] = base.get_submodule(name)(x)
        return outputs
