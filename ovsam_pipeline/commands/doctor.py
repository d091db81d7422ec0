"""`ovsam doctor`: whether this machine can label, one line per check."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from ovsam_pipeline.commands.options import Json
from ovsam_pipeline.monitoring.exit_codes import ExitCode

# Parts, annotations.json and previews of a few ten thousand images fit.
_LOW_DISK_BYTES = 2 << 30


class Check(NamedTuple):
    """A finding: "ok", "note" (works, but less well) or "broken", and what to do about it."""

    name: str
    state: str
    detail: str


def doctor(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder that a run would write into.")
    ] = Path(),
    quick: Annotated[
        bool, typer.Option("--quick", help="Load neither torch nor models: less than a second.")
    ] = False,
    json: Json = False,
) -> None:
    """Check that this machine can label.

    Looks at packages, device, weights, cache, permissions and disk space. Exits 1 when something
    needed is broken.

    Examples:
        ovsam doctor
        ovsam doctor -o /data/labels --json
        ovsam doctor --quick
    """
    from ovsam_pipeline.terminal.app import print_json, print_result

    checks = run_checks(output, is_quick=quick)
    if json:
        print_json({"checks": [check._asdict() for check in checks]})
    else:
        lines = (f"{check.state:6}  {check.name}: {check.detail}" for check in checks)
        print_result(*lines)
    is_broken = any(check.state == "broken" for check in checks)
    raise typer.Exit(ExitCode.FAILED if is_broken else ExitCode.DONE)


def run_checks(output: Path, *, is_quick: bool = False) -> list[Check]:
    """Return every finding, in the order in which a run would meet them."""
    folder = _nearest_folder(output)
    loading: dict[str, Callable[[], tuple[str, str]]] = {
        "torch": _check_torch,
        "device": _check_device,
        "open_clip": _check_open_clip,
    }
    checks = {
        **({"packages": _check_packages} if is_quick else loading),
        "image formats": _check_images,
        **({} if is_quick else {"embedded model": _check_embedded}),
        "weights in the cache": _check_weights,
        "cache folder": _check_cache,
        "output folder": lambda: _check_writing(folder),
        "disk space": lambda: _check_space(folder),
    }
    return [Check(name, *_attempt(check)) for name, check in checks.items()]


def _attempt(check: Callable[[], tuple[str, str]]) -> tuple[str, str]:
    """Run a check; an exception is its finding."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a diagnosis must survive whatever it meets
        return "broken", f"{type(error).__name__}: {error}"


def _check_packages() -> tuple[str, str]:
    """Return the versions of the large packages without loading them, which takes seconds."""
    names = ("torch", "torchvision", "open_clip_torch", "pyarrow")
    return "ok", ", ".join(f"{name} {metadata.version(name)}" for name in names)


def _check_torch() -> tuple[str, str]:
    import torch
    import torchvision

    threads = torch.get_num_threads()
    return "ok", f"{torch.__version__}, torchvision {torchvision.__version__}, {threads} threads"


def _check_device() -> tuple[str, str]:
    import torch

    if not torch.cuda.is_available():
        return "note", "cpu (torch finds no GPU; large models are slow here)"
    free, total = torch.cuda.mem_get_info()
    name = torch.cuda.get_device_name()
    return "ok", f"{name}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"


def _check_open_clip() -> tuple[str, str]:
    import open_clip

    return "ok", open_clip.__version__


def _check_images() -> tuple[str, str]:
    import numpy as np
    from PIL import Image, features

    import ovsam_pipeline.sources.read_image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.png"
        Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(path)
        ovsam_pipeline.sources.read_image.decode_image(path)
    missing = [name for name in ("jpg", "webp", "libtiff", "avif") if not features.check(name)]
    if missing:
        return "note", f"Pillow here lacks {', '.join(missing)}"
    return "ok", "JPEG, PNG, WebP, TIFF, AVIF, BMP, GIF"


def _check_embedded() -> tuple[str, str]:
    from ovsam.load import load_model
    from ovsam_pipeline.detectors.build import build_detector

    found = []
    for name in ("photo", "nano"):
        model = load_model(name)
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        build_detector(name)
        found.append(f"{name} ({millions:.1f} M weights)")
    return "ok", f"{' and '.join(found)} load, with their detectors"


def _check_weights() -> tuple[str, str]:
    from ovsam.weights.hub import locate
    from ovsam.weights.known_weights import KNOWN_MODELS
    from ovsam_pipeline.detectors.official.weights import OFFICIAL_DETECTORS, locate_detector

    names = [x.name for x in KNOWN_MODELS.values() if x.files and locate(x.name)]
    names += [detector.name for detector in OFFICIAL_DETECTORS if locate_detector(detector)]
    if not names:
        return "note", "none; `ovsam models fetch NAME` gets some, until then photo is used"
    return "ok", ", ".join(names)


def _check_cache() -> tuple[str, str]:
    from ovsam.weights.files import find_cache_folder

    return _check_writing(_nearest_folder(find_cache_folder()))


def _check_writing(folder: Path) -> tuple[str, str]:
    if os.access(folder, os.W_OK | os.X_OK):
        return "ok", f"{folder} can be written"
    return "broken", f"{folder} cannot be written by this user; give another folder"


def _check_space(folder: Path) -> tuple[str, str]:
    free = shutil.disk_usage(folder).free
    state = "note" if free < _LOW_DISK_BYTES else "ok"
    return state, f"{free / 2**30:.1f} GiB free at {folder}"


def _nearest_folder(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    path = path.expanduser().absolute()
    while not path.is_dir():
        path = path.parent
    return path
