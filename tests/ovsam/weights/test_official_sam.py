"""MobileSAM's official layout, against a computation with the batch norms where they were."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ovsam
from ovsam import sam as sam_module
from ovsam.config import SamConfig
from ovsam.errors import CheckpointError
from ovsam.plain_sam import PlainSam
from ovsam.sam import build_sam, get_sam_config
from ovsam.weights.checkpoint import load_sam_checkpoint
from ovsam.weights.official_sam import find_sam_config, fold_batch_norms

SMALL = SamConfig(
    name="mobilesam",
    encoder="tiny-vit",
    width=320,
    depth=10,
    heads=10,
    global_blocks=(),
    input_size=96,
    embed_channels=16,
    decoder_mlp=32,
)


@pytest.fixture(scope="module")
def official():
    """Random weights under the official names: `.c` and `.bn` after every convolution's name."""
    torch.manual_seed(1)
    sam = build_sam(SMALL)
    tensors = dict(sam.state_dict())
    for name, module in sam.image_encoder.named_modules():
        if not isinstance(module, nn.Conv2d) or name.startswith("neck"):
            continue
        stem, width = f"image_encoder.{name}", module.out_channels
        tensors.pop(f"{stem}.bias")
        tensors[f"{stem}.c.weight"] = tensors.pop(f"{stem}.weight")
        norm = {
            "weight": 1 + torch.randn(width) / 4,
            "bias": torch.randn(width) / 4,
            "running_mean": torch.randn(width) / 4,
            "running_var": 0.5 + torch.rand(width),
            "num_batches_tracked": torch.tensor(7),
        }
        tensors |= {f"{stem}.bn.{leaf}": value for leaf, value in norm.items()}
    for name in [name for name in tensors if name.endswith("attention_biases")]:
        tensors[name] = torch.randn(tensors[name].shape)
    tensors["image_encoder.norm_head.weight"] = torch.ones(320)
    tensors["image_encoder.norm_head.bias"] = torch.ones(320)
    tensors["image_encoder.head.weight"] = torch.ones(1000, 320)
    tensors["image_encoder.head.bias"] = torch.ones(1000)
    return tensors


class Unfolded:
    """TinyViT by the official names in float64, as plainly as can be: no fold, a loop of heads."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        prefix = "image_encoder."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        self.own = {name: value.double() for name, value in own.items()}

    def encode(self, pixels):
        """(1, 3, S, S) to the neck's input."""
        x = F.gelu(self.conv("patch_embed.seq.0", pixels.double(), stride=2, padding=1))
        x = self.conv("patch_embed.seq.2", x, stride=2, padding=1)
        for block in ("layers.0.blocks.0", "layers.0.blocks.1"):
            wide = F.gelu(self.conv(f"{block}.conv1", x))
            wide = F.gelu(self.conv(f"{block}.conv2", wide, padding=1, groups=wide.shape[1]))
            x = F.gelu(self.conv(f"{block}.conv3", wide) + x)
        x = self.merge("layers.0.downsample", x, 2)
        for stage, depth, side, stride in ((1, 2, 7, 2), (2, 6, 14, 1), (3, 2, 7, None)):
            for index in range(depth):
                x = self.mix(f"layers.{stage}.blocks.{index}", x, side)
            if stride is not None:
                x = self.merge(f"layers.{stage}.downsample", x, stride)
        return x

    def conv(self, name, x, **options):
        moments = [self.own[f"{name}.bn.{leaf}"] for leaf in ("running_mean", "running_var")]
        affine = [self.own[f"{name}.bn.{leaf}"] for leaf in ("weight", "bias")]
        return F.batch_norm(F.conv2d(x, self.own[f"{name}.c.weight"], **options), *moments, *affine)

    def linear(self, name, x):
        return F.linear(x, self.own[f"{name}.weight"], self.own[f"{name}.bias"])

    def norm(self, name, x):
        return F.layer_norm(x, x.shape[-1:], self.own[f"{name}.weight"], self.own[f"{name}.bias"])

    def merge(self, name, x, stride):
        x = F.gelu(self.conv(f"{name}.conv1", x))
        x = self.conv(f"{name}.conv2", x, stride=stride, padding=1, groups=x.shape[1])
        return self.conv(f"{name}.conv3", F.gelu(x))

    def mix(self, block, x, side):
        x = x + self.attend_windows(f"{block}.attn", x, side)
        x = self.conv(f"{block}.local_conv", x, padding=1, groups=x.shape[1])
        wide = self.linear(f"{block}.mlp.fc1", self.norm(f"{block}.mlp.norm", x.movedim(1, -1)))
        return x + self.linear(f"{block}.mlp.fc2", F.gelu(wide)).movedim(-1, 1)

    def attend_windows(self, name, x, side):
        height, width = x.shape[2:]
        padded = F.pad(x, (0, -width % side, 0, -height % side))
        out = torch.zeros_like(padded)
        for top in range(0, padded.shape[2], side):
            for left in range(0, padded.shape[3], side):
                window = padded[0, :, top : top + side, left : left + side].flatten(1).T
                mixed = self.attend(name, window, side).T.reshape(-1, side, side)
                out[0, :, top : top + side, left : left + side] = mixed
        return out[:, :, :height, :width]

    def attend(self, name, window, side):
        qkv = self.linear(f"{name}.qkv", self.norm(f"{name}.norm", window)).split(96, dim=1)
        cells = torch.cartesian_prod(torch.arange(side), torch.arange(side))
        down, right = (cells[:, None] - cells).abs().unbind(-1)
        biases = self.own[f"{name}.attention_biases"]
        out = []
        for head, (q, k, v) in enumerate(each.split(32, dim=1) for each in qkv):
            bias = biases[head, down * side + right]
            out.append((q @ k.T / 32**0.5 + bias).softmax(1) @ v)
        return self.linear(f"{name}.proj", torch.cat(out, dim=1))


def test_folded_encoder_computes_what_the_official_one_does(official) -> None:
    sam = load_sam_checkpoint(build_sam(SMALL, "meta"), official)
    pixels = torch.randn(1, 3, 96, 96)
    with torch.no_grad():
        expected = sam.image_encoder.neck(Unfolded(official).encode(pixels).float())
        found = sam.image_encoder(pixels.contiguous(memory_format=torch.channels_last))
    assert found.shape == (1, 16, 6, 6)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_official_file_is_found_by_path_and_by_name(official, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path))
    monkeypatch.setitem(sam_module._CONFIGS, "mobilesam", SMALL)
    path = tmp_path / "weights" / "mobile_sam.pt"
    path.parent.mkdir()
    torch.save(official, path)
    by_path, by_name = ovsam.load_model(path), ovsam.load_model("mobilesam")
    assert isinstance(by_path, PlainSam)
    assert by_path.config == SMALL
    assert by_path.identity == by_name.identity


def test_full_size_sams_are_told_by_their_shapes() -> None:
    for name in ("sam-b", "mobilesam"):
        tensors = dict(build_sam(name, "meta").state_dict())
        assert find_sam_config(tensors, name) == get_sam_config(name)
    assert find_sam_config({"prompt_encoder.x": torch.zeros(1)}, "it") is None


def test_folding_again_changes_nothing(official) -> None:
    once = fold_batch_norms(official, "it")
    twice = fold_batch_norms(once, "it")
    assert once.keys() == twice.keys()
    assert all(torch.equal(once[name], twice[name]) for name in once)


def test_missing_batch_norm_is_named(official) -> None:
    name = "image_encoder.layers.0.blocks.0.conv1.bn.running_var"
    damaged = {key: value for key, value in official.items() if key != name}
    with pytest.raises(CheckpointError, match=rf"missing tensors in it: {name}; the file is"):
        fold_batch_norms(damaged, "it")
