"""Weights in any known layout → an OVSAM, exactly; and ovsam's own files, written and read.

Layouts: ovsam's safetensors; the released OV-SAM files (one or several); SAM's checkpoints, for the
prompt encoder (and the decoder's start); open_clip's state dicts, for the image and text towers.
Every tensor of the model must come from some file with the right shape, and a file with unknown
tensors is refused: a silent mismatch would label a million images wrongly.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ovsam.build import build_model
from ovsam.config import LabellingConfig, ModelConfig
from ovsam.device import building_on
from ovsam.errors import CheckpointError, ConfigError, describe_error
from ovsam.labelling_model import LabellingModel
from ovsam.model import OVSAM
from ovsam.sam import SAM
from ovsam.text.name_table import NameTable
from ovsam.text.text_tower import TextTower, build_text_tower
from ovsam.weights.metadata import TEXT_PREFIX, has_format, read_metadata
from ovsam.weights.official_sam import fold_batch_norms
from ovsam.weights.quantise import dequantise
from ovsam.weights.tensor_files import read_tensors, write_tensors

C = TypeVar("C", bound=LabellingConfig)
M = TypeVar("M", bound=LabellingModel)
Source = Mapping[str, Tensor] | str | Path
FORMAT = "ovsam-1"
_CONVERT = "ovsam models convert FILE... --model NAME -o OUT.safetensors"

# (pattern, replacement) per layout, first match wins; None drops the tensor.
_Rules = Sequence[tuple[str, str | None]]
_RELEASED_RESNET: _Rules = (
    (r"^stem\.0\.", "conv1."), (r"^stem\.1\.", "bn1."), (r"^stem\.3\.", "conv2."),
    (r"^stem\.4\.", "bn2."), (r"^stem\.6\.", "conv3."), (r"^stem\.7\.", "bn3."),
    (r"^head\.", "attnpool."), (r"^layer", "layer"),
)  # fmt: skip
_RELEASED_CONVNEXT: _Rules = (
    (r"^stem\.", "trunk.stem."), (r"^layer1\.", "trunk.stages.0."),
    (r"^layer2\.", "trunk.stages.1."), (r"^layer3\.", "trunk.stages.2."),
    (r"^layer4\.", "trunk.stages.3."), (r"^norm_pre\.", "trunk.norm_pre."),
    (r"^head\.0\.", "trunk.head."), (r"^head\.1\.", "head."),
)  # fmt: skip
_RELEASED: _Rules = (
    (r"^(backbone_teacher|neck_teacher|teacher|data_preprocessor|loss\w*)\.", None),
    (r"^(neck|neck_student)\.", "neck."),
    (r"^pe\.", "prompt_encoder."),
    (r"^mask_decoder\.mask_decoder\.", "mask_decoder."),
    (r"^mask_decoder\.label_token\.", "mask_decoder.label_token."),
    (r"^mask_decoder\.label_mlp\.", "clip2sam.label_mlp."),
    (r"^mask_decoder\.roi_conv\.0\.conv\.", "clip2sam.roi_projection."),
    (r"^mask_decoder\.(\w*embed\w*|pe)$", None),
    (r"^fpn_neck\.(lateral_convs|fpn_convs)\.(\d)\.conv\.", r"clip2sam.fpn.\1.\2."),
)
# OV-SAM needs SAM's prompt encoder, and its decoder to start training from: one mask token, no IoU.
_SAM: _Rules = (
    (r"^image_encoder\.", None),
    (r"^prompt_encoder\.", "prompt_encoder."),
    (r"^mask_decoder\.(iou_token|iou_prediction_head)\.", None),
    (r"^mask_decoder\.output_hypernetworks_mlps\.[1-9]\.", None),
    (r"^mask_decoder\.", "mask_decoder."),
    (r"^pixel_(mean|std)$", None),
)
_OPEN_CLIP: _Rules = (
    (r"^visual\.", "image_encoder.visual."),
    (r"^(text|token_embedding|transformer|ln_final)\.", None),
    (r"^(positional_embedding|text_projection|logit_scale|logit_bias)$", None),
    (r"^(input_resolution|context_length|vocab_size)$", None),
)


def load_released_checkpoint(
    model: OVSAM, source: Source | Sequence[Source], *more: Source
) -> OVSAM:
    """Load official weights into a model, from one file or several together.

    What OV-SAM's own files lack comes from CLIP (open_clip) and SAM files given with them. The
    order does not matter: OV-SAM's tensors win over CLIP's, and CLIP's over SAM's. An open_clip
    file, or one that `save_checkpoint` wrote, also fills the model's text tower.

    Args:
        model: from `build_model`; on the "meta" device nothing is allocated twice.
        source: a state dict or a path, or a sequence of them.
        more: further state dicts or paths.

    Returns:
        The same model, in eval mode and float32.

    Raises:
        CheckpointError: a file cannot be read; a tensor is missing (the message names the file to
            give), unknown or of another shape. The model is then of no use.
    """
    first = [source] if isinstance(source, (str, Path, Mapping)) else list(source)
    sources = [*first, *more]
    ranked: list[tuple[int, dict[str, Tensor]]] = []
    for item in sources:
        where = str(item) if isinstance(item, (str, Path)) else "the state dict"
        tensors = read_tensors(item) if isinstance(item, (str, Path)) else dict(item)
        ranked.append(to_our_names(model, tensors, where))
    merged: dict[str, Tensor] = {}
    for _, tensors in sorted(ranked, key=lambda pair: pair[0]):
        merged.update(tensors)
    where = " + ".join(str(s) for s in sources if isinstance(s, (str, Path)))
    assign_tensors(model, merged, where, _advise_files)
    model.identity = hash_tensors(model.state_dict())
    return model


def to_our_names(
    model: OVSAM, tensors: dict[str, Tensor], where: str
) -> tuple[int, dict[str, Tensor]]:
    """Return a rank and one file's tensors by ovsam's names; its text tower is attached.

    Of files that have the same tensor the highest rank wins: 3 ovsam's own, 2 the released ones,
    1 open_clip's, 0 SAM's.
    """
    names = tuple(tensors)
    if any(n.startswith("clip2sam.") for n in names):
        if text := take_prefix(tensors, TEXT_PREFIX):
            tower = build_text_tower(model.config.clip)
            assign_tensors(tower, text, where)
            model.attach_namer(tower)
        return 3, tensors
    if any(
        re.match(r"(backbone|backbone_student|neck_student|fpn_neck|pe)\.", n) for n in names
    ) or (any(n.startswith("mask_decoder.mask_decoder.") for n in names)):
        return 2, _rename(tensors, _released_rules(model), where)
    if any(n.startswith("visual.") for n in names):
        text_tower = build_text_tower(model.config.clip)
        text_tower.load_clip_state_dict(tensors)
        model.attach_namer(text_tower)
        return 1, _rename(tensors, _OPEN_CLIP, where)
    if any(n.startswith("prompt_encoder.") for n in names):
        renamed = _rename(tensors, _SAM, where)
        if "mask_decoder.mask_tokens.weight" in renamed:
            # SAM's first token is its single-mask output.
            tokens = renamed["mask_decoder.mask_tokens.weight"]
            renamed["mask_decoder.mask_tokens.weight"] = tokens[:1].clone()
        return 0, renamed
    raise CheckpointError(
        f"{where} has an unknown layout, expected that of OV-SAM, SAM, open_clip or ovsam itself; "
        f"its first tensors are {', '.join(names[:3])}"
    )


def _released_rules(model: OVSAM) -> _Rules:
    inner = _RELEASED_RESNET if model.config.clip.kind == "resnet" else _RELEASED_CONVNEXT
    towers = tuple(
        (
            pattern.replace("^", r"^(?:backbone|backbone_student)\.", 1),
            f"image_encoder.visual.{new}",
        )
        for pattern, new in inner
    )
    return (*towers, *_RELEASED)


def _rename(tensors: Mapping[str, Tensor], rules: _Rules, where: str) -> dict[str, Tensor]:
    """Apply the first rule that matches each name."""
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, new in rules:
            if re.match(pattern, name):
                if new is not None:
                    renamed[re.sub(pattern, new, name, count=1)] = tensor
                break
        else:
            raise CheckpointError(
                f"unexpected tensor '{name}' in {where}: not part of this model; "
                "check that the file belongs to it"
            )
    return renamed


def assign_tensors(
    model: torch.nn.Module,
    tensors: Mapping[str, Tensor],
    where: str,
    advise: Callable[[Sequence[str]], str] | None = None,
) -> None:
    """Put tensors into a module; every name and shape must agree, else a CheckpointError.

    `advise` returns where missing tensors may be found, if more files can be given.
    """
    where = where or "the state dict"
    wanted = model.state_dict()
    # Batch norms' counters: training reads them, prediction does not, and old files lack them.
    optional = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = [name for name in wanted if name not in tensors and name not in optional]
    unexpected = [name for name in tensors if name not in wanted]
    for kind, names in (("missing", missing), ("unexpected", unexpected)):
        if names:
            shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            advice = "the file is incomplete or belongs to another model"
            if kind == "missing" and advise is not None:
                advice = advise(names)
            raise CheckpointError(f"{kind} tensors in {where}: {shown}; {advice}")
    for name, tensor in tensors.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(
                f"tensor '{name}' in {where} must have shape {tuple(wanted[name].shape)}, got "
                f"{tuple(tensor.shape)}; the file belongs to another model"
            )
    values = {name: _as_parameter(tensors[name]) for name in tensors}
    for name in optional - set(tensors):
        values[name] = torch.zeros((), dtype=torch.int64)
    device = next(iter(wanted.values())).device
    if device.type == "meta":
        model.load_state_dict(values, assign=True)
    else:
        model.load_state_dict(values)
    model.eval()


def _as_parameter(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _advise_files(names: Sequence[str]) -> str:
    """Return which of the official files hold missing tensors of an OV-SAM."""
    parts = {name.split(".")[0] for name in names}
    files = {
        "image_encoder": "CLIP's weights (open_clip)",
        "prompt_encoder": "SAM-H's weights (sam_vit_h_4b8939.pth)",
        "neck": "the sam2clip file",
        "mask_decoder": "the clip2sam file",
        "clip2sam": "the clip2sam file",
    }
    return "give also " + ", ".join(sorted({files[p] for p in parts if p in files}))


def load_sam_checkpoint(sam: SAM, source: Source) -> SAM:
    """Load an official SAM checkpoint; where it does not fit, the SAM stays unchanged."""
    tensors = read_tensors(source) if isinstance(source, (str, Path)) else dict(source)
    tensors = {k: v for k, v in tensors.items() if k not in ("pixel_mean", "pixel_std")}
    where = str(source) if isinstance(source, (str, Path)) else "the state dict"
    if sam.config.encoder == "tiny-vit":
        tensors = fold_batch_norms(tensors, where)
    assign_tensors(sam, tensors, where)
    return sam


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return a sha256 over names, types, shapes and values: the identity of weights."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_checkpoint(
    model: OVSAM,
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    *,
    dtype: torch.dtype | None = None,
    with_text: bool = True,
) -> None:
    """Write one safetensors file: weights, model config, text tower, provenance, licence.

    Args:
        model: not folded by `prepare_for_inference`.
        path: written whole or not at all; a missing folder is created.
        metadata: text values, such as `licence`, `source` and `provenance`.
        dtype: type of the stored floating-point tensors; None keeps theirs.
        with_text: store the text tower too, if the model has one. Without it the file is smaller,
            but `Vocabulary` must then come with embeddings.

    Raises:
        CheckpointError: the model was folded for inference, or the file cannot be written.
    """
    info = {**(metadata or {}), "format": FORMAT}
    reference = build_model(model.config, "meta")
    write_model_file(model, reference, path, info, dtype=dtype, with_text=with_text)


def write_model_file(
    model: LabellingModel,
    reference: LabellingModel,
    path: str | Path,
    metadata: Mapping[str, str],
    *,
    dtype: torch.dtype | None = None,
    with_text: bool = True,
) -> None:
    """Write a model's tensors, text tower, config and identity; see `save_checkpoint`.

    `reference` is a new model of the same config, on the "meta" device; `metadata` has the format.
    """
    own = model.state_dict()
    if own.keys() != reference.state_dict().keys():
        raise CheckpointError(
            "a model folded by prepare_for_inference cannot be saved; load it again and save first"
        )
    tensors = {name: _stored(tensor, dtype) for name, tensor in own.items()}
    if with_text and model.has_namer:
        for name, tensor in model.namer.state_dict().items():
            tensors[TEXT_PREFIX + name] = _stored(tensor, dtype)
    path = Path(path)
    info = {
        **metadata,
        "config": json.dumps(model.config.to_dict()),
        "identity": hash_tensors(tensors),
    }
    write_tensors(path, tensors, info)


def _stored(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor


def is_model_file(path: str | Path) -> bool:
    """Whether a path is a file that `save_checkpoint` wrote."""
    return has_format(path, FORMAT)


def load_checkpoint(path: str | Path) -> OVSAM:
    """Read a file that `save_checkpoint` or `ovsam models convert` wrote.

    Returns:
        A model in eval mode, with its text tower where the file has one.

    Raises:
        CheckpointError: missing, damaged, or not such a file; the message has the command that
            makes one of other files.
    """
    path = Path(path)
    if path.is_file() and path.suffix != ".safetensors":
        raise CheckpointError(
            f"expected a .safetensors file of ovsam's own, got {path}; convert it: {_CONVERT}"
        )
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is not a file of ovsam's own (format {metadata.get('format')!r}); convert it: "
            f"{_CONVERT}"
        )
    return read_model_file(
        path, metadata, ModelConfig, build_model, lambda config: build_text_tower(config.clip)
    )


# What layers raise whose sizes contradict each other.
_UNBUILDABLE = (
    RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AssertionError,
)  # fmt: skip


def read_model_file(
    path: Path,
    metadata: Mapping[str, str],
    config_class: type[C],
    build: Callable[[C, str], M],
    build_namer: Callable[[C], TextTower | NameTable],
) -> M:
    """Build the model that a file of `write_model_file` describes, and fill it from there."""
    try:
        config = config_class.from_json(metadata["config"])
        # "meta" allocates nothing: the file's tensors become the parameters.
        model = build(config, "meta")
    except KeyError as error:
        raise CheckpointError(f"{path} has no model config; convert it: {_CONVERT}") from error
    except (ConfigError, *_UNBUILDABLE) as error:
        raise CheckpointError(
            f"{path} has no usable model config: {describe_error(error)}"
        ) from error
    tensors = dequantise(read_tensors(path))
    text = take_prefix(tensors, TEXT_PREFIX)
    assign_tensors(model, tensors, str(path))
    if text:
        with building_on("meta"):  # sizes that do not fit the file are refused without memory
            assign_tensors(build_namer(config), text, str(path))
        namer = build_namer(config)
        assign_tensors(namer, text, str(path))
        model.attach_namer(namer)
    model.identity = metadata.get("identity", "") or hash_tensors(model.state_dict())
    return model


def take_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Move the tensors with a prefix out of a mapping, the prefix removed."""
    names: Iterable[str] = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name) for name in names}
