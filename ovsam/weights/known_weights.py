"""The table of weights that have a name: files, origins, licences.

Sizes are what a download takes, rounded where nobody published them. Fetching is in hub.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from ovsam.errors import ConfigError
from ovsam.strict import suggest_names


@dataclass(frozen=True)
class Licence:
    """Terms of a weight file. Those that restrict its use must be accepted once, by a person."""

    title: str
    url: str
    summary: str
    restricts: bool = False


APACHE = Licence("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0", "Free for any use.")
MIT = Licence("MIT", "https://opensource.org/license/mit", "Free for any use.")
CC_BY_SA = Licence(
    "CC BY-SA 3.0",
    "https://creativecommons.org/licenses/by-sa/3.0/",
    "Free for any use with attribution; what you derive from the weights and pass on must be under "
    "the same terms.",
    restricts=True,
)
S_LAB = Licence(
    "NTU S-Lab License 1.0",
    "https://github.com/HarborYuan/ovsam/blob/main/LICENSE",
    "Use and redistribution for non-commercial purposes only; for commercial use its authors must "
    "be asked.",
    restricts=True,
)


@dataclass(frozen=True)
class WeightFile:
    """One file: in a repository of the hub (`names`, best first) or at a `url`.

    `sha256` is None where nobody published it; it is then recorded at the first download.
    `md5_start` is what detectron2 publishes instead: the first digits of the md5.
    """

    names: tuple[str, ...]
    licence: Licence
    size_bytes: int
    repo_id: str = ""
    url: str = ""
    sha256: str | None = None
    md5_start: str = ""

    @property
    def origin(self) -> str:
        """Where the file comes from, for messages."""
        return self.url or f"hf.co/{self.repo_id}/{self.names[0]}"


@dataclass(frozen=True)
class KnownModel:
    """Weights with a name: the variant they belong to and their files.

    `trained_on` is the vocabulary that the labels were trained on; None where they cannot label.
    `is_sam`: a SAM, which segments without naming: `--labels detector`.
    """

    name: str
    config_name: str
    files: tuple[WeightFile, ...]
    summary: str
    trained_on: str | None = None
    is_sam: bool = False

    @property
    def licences(self) -> tuple[Licence, ...]:
        """Licences of the files, each once."""
        return tuple(dict.fromkeys(file.licence for file in self.files)) or (APACHE,)

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def size_text(self) -> str:
        """The same for people: "4.3 GB", "41 MB"."""
        giga = self.size_bytes / 1e9
        return f"{giga:.1f} GB" if giga >= 0.1 else f"{giga * 1000:.0f} MB"


def _released(name: str, size_bytes: int, sha256: str | None = None) -> WeightFile:
    return WeightFile((name,), S_LAB, size_bytes, repo_id="HarborYuan/ovsam_models", sha256=sha256)


def clip_file(repo_id: str, size_bytes: int) -> WeightFile:
    """Return open_clip's file of a hub repository."""
    names = (
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.safetensors",
        "open_clip_pytorch_model.bin",
    )
    return WeightFile(names, MIT, size_bytes, repo_id=repo_id)


def _clip(name: str, title: str, repo_id: str, size_bytes: int) -> KnownModel:
    """Return the CLIP of a variant, both towers, which training starts from."""
    return KnownModel(f"clip-{name}", name, (clip_file(repo_id, size_bytes),), f"CLIP {title}")


def _sam(name: str, size_bytes: int, sha256: str) -> WeightFile:
    url = f"https://dl.fbaipublicfiles.com/segment_anything/{name}"
    return WeightFile((name,), APACHE, size_bytes, url=url, sha256=sha256)


def _plain_sam(name: str, file: WeightFile, title: str) -> KnownModel:
    summary = f"{title}: masks alone, for --labels detector"
    return KnownModel(name, name, (file,), summary, is_sam=True)


_SAM2CLIP = _released(
    "sam2clip_vith_rn50x16.pth",
    536_408_050,
    "f2b14b8e480626cffc815a7262297731ee1372c87d054836daad5148f636cfeb",
)
_CLIP2SAM_COCO = _released(
    "clip2sam_coco_rn50x16.pth",
    31_544_126,
    "c382555880466adafa2eff148851b3cc71e1ea5eb5ff8f36d0fab2047550e27e",
)
_CLIP2SAM_LVIS = _released("clip2sam_lvis_rn50x16.pth", 31_500_000)
_CLIP_RN50X16 = clip_file("timm/resnet50x16_clip.openai", 1_160_000_000)
_LAION = "laion/CLIP-convnext_"
_SAM_H = _sam(
    "sam_vit_h_4b8939.pth",
    2_564_550_879,
    "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
)
_SAM_L = _sam(
    "sam_vit_l_0b3195.pth",
    1_249_524_607,
    "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
)
_SAM_B = _sam(
    "sam_vit_b_01ec64.pth",
    375_042_383,
    "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
)
# Its authors give no checksum; this one is that of their demonstration's copy
# (hf.co/spaces/dhkim2810/MobileSAM), of the same size as the file at the address.
_MOBILE_SAM = WeightFile(
    ("mobile_sam.pt",),
    APACHE,
    40_728_226,
    url="https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/mobile_sam.pt",
    sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
)

_MODELS = (
    KnownModel(
        "rn50x16-lvis",
        "rn50x16",
        (_SAM2CLIP, _CLIP2SAM_LVIS, _CLIP_RN50X16, _SAM_H),
        "OV-SAM of the paper, labels trained on LVIS without rare classes",
        "lvis",
    ),
    KnownModel(
        "rn50x16-coco",
        "rn50x16",
        (_SAM2CLIP, _CLIP2SAM_COCO, _CLIP_RN50X16, _SAM_H),
        "OV-SAM of the paper, labels trained on COCO's 48 base classes",
        "coco",
    ),
    KnownModel("photo", "photo", (), "embedded model for photographs: MobileSAM, ImageNet names"),
    KnownModel("nano", "nano", (), "embedded demonstration model: its own drawings only", "nano"),
    _clip("rn50", "RN50", "timm/resnet50_clip.openai", 408_000_000),
    _clip("rn50x4", "RN50x4", "timm/resnet50x4_clip.openai", 713_000_000),
    _clip("rn50x16", "RN50x16", "timm/resnet50x16_clip.openai", 1_160_000_000),
    _clip("rn50x64", "RN50x64", "timm/resnet50x64_clip.openai", 2_490_000_000),
    _clip("convnext-b", "ConvNeXt-B", _LAION + "base_w_320-laion_aesthetic-s13B-b82K", 718_000_000),
    _clip(
        "convnext-l", "ConvNeXt-L", _LAION + "large_d_320.laion2B-s29B-b131K-ft-soup", 1_410_000_000
    ),
    _clip(
        "convnext-xxl",
        "ConvNeXt-XXL",
        _LAION + "xxlarge-laion2B-s34B-b82K-augreg-soup",
        4_800_000_000,
    ),
    _plain_sam("sam-h", _SAM_H, "SAM ViT-H, OV-SAM's teacher"),
    _plain_sam("sam-l", _SAM_L, "SAM ViT-L"),
    _plain_sam("sam-b", _SAM_B, "SAM ViT-B"),
    _plain_sam("mobilesam", _MOBILE_SAM, "MobileSAM, the smallest"),
)
KNOWN_MODELS = {model.name: model for model in _MODELS}
"""Weights by name, the best for labelling first."""


def get_known_model(name: str) -> KnownModel:
    """Return the entry of a name; a ConfigError suggests another where there is none."""
    if name not in KNOWN_MODELS:
        raise ConfigError(
            f"unknown weights {name!r}{suggest_names(name, KNOWN_MODELS)}; give one of "
            f"{', '.join(KNOWN_MODELS)}, or the path of a file"
        )
    return KNOWN_MODELS[name]
