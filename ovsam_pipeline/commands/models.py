"""`ovsam models`: list weights that have a name, fetch them, convert them to one file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ovsam_pipeline.commands.options import HelpPage, Json, with_debug
from ovsam_pipeline.terminal.tables import format_table

if TYPE_CHECKING:
    from ovsam.weights.download import Progress
    from ovsam.weights.known_weights import KnownModel, WeightFile

models_app = typer.Typer(
    help="Weights: list, fetch and convert.", no_args_is_help=True, rich_markup_mode=None
)


@models_app.command("list", cls=HelpPage)
@with_debug
def list_weights(json: Json = False) -> None:
    """List the weights that have a name, and which are on this machine.

    Examples:
        ovsam models list
        ovsam models list --json | jq '.models[].name'
    """
    from ovsam.weights.files import find_cache_folder
    from ovsam.weights.hub import locate
    from ovsam.weights.known_weights import KNOWN_MODELS
    from ovsam_pipeline.detectors.official.weights import (
        find_known_detector,
        list_fetchable,
        locate_files,
    )
    from ovsam_pipeline.terminal.app import print_json, print_result

    found = {model.name: locate(model.name) for model in KNOWN_MODELS.values()}
    fetchable = list_fetchable()
    if json:
        detectors = [_detector_to_json(name, files) for name, files in fetchable.items()]
        models = [_to_json(x, found[x.name]) for x in KNOWN_MODELS.values()]
        print_json({"models": models, "detectors": detectors})
        return
    rows = [
        [
            model.name,
            "embedded" if not model.files else "here" if found[model.name] else "-",
            model.size_text if model.files else "-",
            " + ".join(licence.title for licence in model.licences),
            model.summary,
        ]
        for model in KNOWN_MODELS.values()
    ]
    rows += [
        [
            name,
            "here" if locate_files(files) else "-",
            f"{sum(file.size_bytes for file in files) / 1e9:.1f} GB",
            " + ".join(dict.fromkeys(file.licence.title for file in files)),
            "detector, see `ovsam detectors`"
            if find_known_detector(name)
            else "Detic's text tower",
        ]
        for name, files in fetchable.items()
    ]
    header = ("name", "cache", "size", "licence", "what")
    print_result(*format_table(header, rows, right="  r").splitlines())
    print_result("", f"cache: {find_cache_folder()}; paths of the files that are here: --json")


@models_app.command("fetch", cls=HelpPage)
@with_debug
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="A name of `ovsam models list` or of `ovsam detectors`."
        ),
    ],
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the licence without being asked.")
    ] = False,
    json: Json = False,
) -> None:
    """Download weights once; their licence is shown, and accepted once.

    Examples:
        ovsam models fetch rn50x16-lvis
        ovsam models fetch detic --accept-license
    """
    from ovsam.weights.hub import fetch_files, fetch_model
    from ovsam_pipeline.terminal.app import print_json, print_result
    from ovsam_pipeline.terminal.notes import print_note

    model, files = _find_files(name)
    is_accepted = _ask_about_licences(name, files, accept_license)
    with _show_download() as progress:
        if model is not None:
            paths = fetch_model(name, accept_licence=is_accepted, progress=progress)
        else:
            paths = fetch_files(name, files, accept_licence=is_accepted, progress=progress)
    if json:
        other = {"name": name, "files": _files_to_json(files), "paths": [str(p) for p in paths]}
        print_json(other if model is None else _to_json(model, paths))
        return
    for path in paths:
        print_result(f"{path}  {path.stat().st_size / 1e6:,.1f} MB")
    if model is None:
        print_note(f"Use it with `ovsam label images/ --detector {name}`")
    elif model.trained_on:
        print_note(f"Use it with `ovsam label images/ --model {name}`")
    elif model.is_sam:
        print_note(f"Use it with `ovsam label images/ --model {name} --labels detector`")


@models_app.command("convert", cls=HelpPage)
@with_debug
def convert(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Weight files that together fill a model (OV-SAM, CLIP, SAM-H), or a name of "
            "`ovsam models list`.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write, .safetensors.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Structure that the files belong to: rn50x16, convnext-l, ...  "
            "[default: that of the name]",
            show_default=False,
        ),
    ] = None,
    trained_on: Annotated[
        str | None,
        typer.Option(
            help="Vocabulary whose (base) classes the labels were trained on: coco, lvis, ...",
            show_default=False,
        ),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Stored numbers: fp32, fp16 or bf16.")] = "fp32",
    json: Json = False,
) -> None:
    """Write weights of any known layout as one safetensors file.

    The file carries the licence and where the weights are from.

    Examples:
        ovsam models convert rn50x16-coco -o rn50x16.safetensors --dtype bf16
        ovsam models convert ovsam.pth RN50x16.pt -o mine.safetensors --model rn50x16
    """
    from ovsam.weights.convert import convert_weights
    from ovsam_pipeline.terminal.app import print_json, print_result, result_is_kept

    metadata = convert_weights(sources, output, model=model, trained_on=trained_on, dtype=dtype)
    size_bytes = output.stat().st_size
    with result_is_kept():
        if json:
            print_json({"file": str(output), "size_bytes": size_bytes, "metadata": metadata})
            return
        print_result(f"{output}  {size_bytes / 1e6:,.1f} MB", f"licence: {metadata['licence']}")


def _find_files(name: str) -> tuple[KnownModel | None, tuple[WeightFile, ...]]:
    """Return the entry and files of a model, or None and the files of a detector."""
    from ovsam.errors import ConfigError
    from ovsam.strict import suggest_names
    from ovsam.weights.known_weights import KNOWN_MODELS
    from ovsam_pipeline.detectors.official.weights import find_fetchable, list_detector_names

    if name in KNOWN_MODELS:
        return KNOWN_MODELS[name], KNOWN_MODELS[name].files
    files = find_fetchable(name)
    if files is None:
        near = suggest_names(name, [*KNOWN_MODELS, *list_detector_names()])
        raise ConfigError(
            f"unknown weights {name!r}{near}; `ovsam models list` and `ovsam detectors` show all "
            "names"
        )
    return None, files


def _ask_about_licences(name: str, files: Sequence[WeightFile], is_accepted: bool) -> bool:
    """Show the licences that nobody accepted yet; on a terminal, ask."""
    from ovsam.weights.hub import unaccepted_licences
    from ovsam_pipeline.terminal.notes import print_note

    for licence in unaccepted_licences(file.licence for file in files):
        print_note(f"{name}: {licence.title}. {licence.summary}")
        print_note(licence.url)
        if not is_accepted and sys.stdin.isatty() and sys.stderr.isatty():
            is_accepted = typer.confirm("Do you accept these terms?", err=True)
    return is_accepted


def _to_json(model: KnownModel, paths: tuple[Path, ...] | None) -> dict[str, Any]:
    return {
        "name": model.name,
        "model": model.config_name,
        "trained_on": model.trained_on,
        "summary": model.summary,
        "licences": [
            {"title": licence.title, "url": licence.url, "restricts": licence.restricts}
            for licence in model.licences
        ],
        "size_bytes": model.size_bytes,
        "files": _files_to_json(model.files),
        "paths": None if paths is None else [str(path) for path in paths],
    }


def _detector_to_json(name: str, files: tuple[WeightFile, ...]) -> dict[str, Any]:
    from ovsam_pipeline.detectors.official.weights import locate_files

    paths = locate_files(files)
    return {
        "name": name,
        "files": _files_to_json(files),
        "paths": None if paths is None else [str(path) for path in paths],
    }


def _files_to_json(files: Sequence[WeightFile]) -> list[dict[str, Any]]:
    return [
        {"origin": file.origin, "size_bytes": file.size_bytes, "sha256": file.sha256}
        for file in files
    ]


@contextmanager
def _show_download() -> Iterator[Progress | None]:
    """Yield a bar on a terminal; huggingface_hub, where it downloads, draws its own."""
    from ovsam_pipeline.terminal.bars import CountedBar
    from ovsam_pipeline.terminal.notes import has_bars

    if not has_bars():
        yield None
        return
    from rich.progress import TimeRemainingColumn, TransferSpeedColumn

    def describe(done: int, total: int) -> str:
        return f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB"

    with closing(CountedBar(describe, TransferSpeedColumn(), TimeRemainingColumn())) as bar:
        yield bar
