"""`ovsam doctor`: whether this machine can label, one line a check."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from ovsam_pipeline.commands.options import Json

_LOW_DISK_BYTES = 2 << 30


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: what was looked at.
        state: "ok", "note" (works, but less well), or "broken" (labelling cannot work).
        detail: what was found, and what to do.
    """

    name: str
    state: str
    detail: str


def doctor(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder that a run would write into.")
    ] = Path(),
    json: Json = False,
) -> None:
    """Check that this machine can label.

    Looks at packages, device, weights, cache, permissions and disk space. Exits 1 when something
    needed is broken.

    Examples:
        ovsam doctor
        ovsam doctor -o /data/labels --json
    """
    from ovsam_pipeline.terminal.app import print_json, print_result

    checks = run_checks(output)
    if json:
        print_json({"checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            print_result(f"{check.state:6}  {check.name}: {check.detail}")
    raise typer.Exit(1 if any(check.state == "broken" for check in checks) else 0)


def run_checks(output: Path) -> list[Check]:
    """Return every finding, in the order in which a run would meet them."""
    checks = [
        _attempt("torch", _check_torch),
        _attempt("device", _check_device),
        _attempt("open_clip", _check_open_clip),
        _attempt("image formats", _check_images),
        _attempt("embedded model", _check_nano),
        _attempt("weights in the cache", _check_weights),
        _attempt("cache folder", _check_cache),
    ]
    checks.append(_check_writing("output folder", _nearest_folder(output)))
    checks.append(_check_space(_nearest_folder(output)))
    return checks


def _attempt(name: str, check: Callable[[], Check]) -> Check:
    """Run a check; what it raises is its finding."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a diagnosis must survive whatever it meets
        return Check(name, "broken", f"{type(error).__name__}: {error}")


def _check_torch() -> Check:
    import torch
    import torchvision

    threads = torch.get_num_threads()
    detail = f"{torch.__version__}, torchvision {torchvision.__version__}, {threads} threads"
    return Check("torch", "ok", detail)


def _check_device() -> Check:
    import torch

    if not torch.cuda.is_available():
        return Check("device", "note", "cpu (torch finds no GPU; large models are slow here)")
    free, total = torch.cuda.mem_get_info()
    detail = f"{torch.cuda.get_device_name()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    return Check("device", "ok", detail)


def _check_open_clip() -> Check:
    import open_clip

    return Check("open_clip", "ok", open_clip.__version__)


def _check_images() -> Check:
    import numpy as np
    from PIL import Image, features

    import ovsam_pipeline.sources.read_image

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.png"
        Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(path)
        ovsam_pipeline.sources.read_image.decode_image(path)
    missing = [name for name in ("jpg", "webp", "libtiff", "avif") if not features.check(name)]
    if missing:
        return Check("image formats", "note", f"Pillow here lacks {', '.join(missing)}")
    return Check("image formats", "ok", "JPEG, PNG, WebP, TIFF, AVIF, BMP, GIF")


def _check_nano() -> Check:
    from ovsam.load import load_model
    from ovsam_pipeline.detectors.build import build_detector

    model = load_model("nano")
    millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    build_detector("nano")
    return Check("embedded model", "ok", f"nano and its detector load ({millions:.1f} M weights)")


def _check_weights() -> Check:
    from ovsam.weights.hub import locate
    from ovsam.weights.known_weights import KNOWN_MODELS
    from ovsam_pipeline.detectors.official.weights import OFFICIAL_DETECTORS, locate_detector

    names = [x.name for x in KNOWN_MODELS.values() if x.files and locate(x.name)]
    names += [detector.name for detector in OFFICIAL_DETECTORS if locate_detector(detector)]
    if not names:
        detail = "none; `ovsam models fetch NAME` gets some, until then nano is used"
        return Check("weights in the cache", "note", detail)
    return Check("weights in the cache", "ok", ", ".join(names))


def _check_cache() -> Check:
    from ovsam.weights.files import find_cache_folder

    return _check_writing("cache folder", _nearest_folder(find_cache_folder()))


def _check_writing(name: str, folder: Path) -> Check:
    if os.access(folder, os.W_OK | os.X_OK):
        return Check(name, "ok", f"{folder} can be written")
    return Check(name, "broken", f"{folder} cannot be written by this user; give another folder")


def _check_space(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    state = "note" if free < _LOW_DISK_BYTES else "ok"
    return Check("disk space", state, f"{free / 2**30:.1f} GiB free at {folder}")


def _nearest_folder(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    path = path.expanduser().absolute()
    while not path.is_dir():
        path = path.parent
    return path
