"""`ovsam info`: parameters and multiply-accumulates of models, with the paper's numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ovsam_pipeline.commands.options import Json
from ovsam_pipeline.terminal.tables import format_table

if TYPE_CHECKING:
    from ovsam.baselines.config import BaselineConfig
    from ovsam.config import ModelConfig
    from ovsam.cost.costs import ModelCost

_SINGLE_SCALE = "convnext-l-single-scale"


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="A model (rn50x16, convnext-l, nano, sam-h, ...; NAME-single-scale for that "
            "neck; image-crop, feature-crop, ...: the paper's baselines), a name of `ovsam models "
            "list`, a file of ovsam's own, or the folder of a training.  [default: all]",
            show_default=False,
        ),
    ] = None,
    prompts: Annotated[
        int | None, typer.Option(min=0, help="Prompts of the image.  [default: 8]")
    ] = None,
    input_size: Annotated[
        int | None,
        typer.Option(min=32, help="Side of the network input.  [default: the model's]"),
    ] = None,
    json: Json = False,
) -> None:
    """Show the parts of a model and the cost of an image.

    Needs no weights.

    Examples:
        ovsam info
        ovsam info rn50x16 --prompts 100
        ovsam info runs/labels/
    """
    from ovsam.cost.costs import PAPER_PROMPTS, read_costs
    from ovsam_pipeline.terminal.app import print_json, print_result

    def count(name: str) -> ModelCost:
        num_prompts = PAPER_PROMPTS if prompts is None else prompts
        known = None if input_size else read_costs().get(name)
        if known is not None:
            return replace(known, num_prompts=num_prompts)
        from ovsam.cost.profile import profile_model

        structure = find_structure(name)
        return profile_model(structure, num_prompts=num_prompts, input_size=input_size)

    if model is not None:
        cost = count(_find_name(model))
        if json:
            print_json(_to_json(cost))
        else:
            print_result(*_format_parts(cost).splitlines())
        return
    costs = [count(name) for name in read_costs()]
    if json:
        print_json({"models": [_to_json(cost) for cost in costs]})
    else:
        print_result(*_format_totals(costs).splitlines())


def count_named() -> dict[str, ModelCost]:
    """Count every named model, with the paper's prompts, at its own input size."""
    from ovsam.baselines.config import BASELINE_NAMES
    from ovsam.build import MODEL_NAMES
    from ovsam.cost.profile import profile_model
    from ovsam.sam import SAM_NAMES

    names = (*MODEL_NAMES, _SINGLE_SCALE, *SAM_NAMES, *BASELINE_NAMES, "photo")
    return {name: profile_model(find_structure(name)) for name in names}


def _find_name(model: str) -> str:
    """Return the name of the structure of official weights; what else was typed as it is."""
    from ovsam.weights.known_weights import KNOWN_MODELS

    known = KNOWN_MODELS.get(model)
    return known.config_name if known is not None and known.files else model


def find_structure(model: str) -> str | ModelConfig | BaselineConfig:
    """Return the structure of a name, of weights with a name, or of a file of ovsam's own."""
    from pathlib import Path

    from ovsam.baselines.config import BaselineConfig
    from ovsam.baselines.files import is_baseline_file
    from ovsam.config import ModelConfig
    from ovsam.errors import CheckpointError
    from ovsam.weights.hub import require
    from ovsam.weights.known_weights import KNOWN_MODELS
    from ovsam.weights.metadata import read_metadata
    from ovsam.weights.run_folder import find_weights

    model = _find_name(model)
    known = KNOWN_MODELS.get(model)
    if known is not None and known.files:  # a SAM's structure has the name of its weights
        return model
    if known is not None:  # embedded: a file of ovsam's own
        file = require(model)[0]
    else:
        file = find_weights(Path(model)) if Path(model).is_dir() else Path(model)
    if not file.suffix:
        return model
    config = read_metadata(file).get("config")
    if config is None:
        raise CheckpointError(
            f"expected a file of ovsam's own, got {file} without a model config; convert it with "
            "`ovsam models convert`"
        )
    kind = BaselineConfig if is_baseline_file(file) else ModelConfig
    return kind.from_json(config)


def _to_json(cost: ModelCost) -> dict[str, Any]:
    paper = cost.paper
    return {
        "model": cost.name,
        "input_size": cost.input_size,
        "prompts": cost.num_prompts,
        "parameters": cost.parameters,
        "text_tower_parameters": cost.text_parameters,
        "macs": cost.macs,
        "gmacs": round(cost.macs / 1e9, 1),
        "paper": paper and {"parameters_m": paper[0], "gmacs": paper[1]},
        "difference": paper
        and {
            "parameters": round(_relative(cost.parameters / 1e6, paper[0]), 5),
            "gmacs": round(_relative(cost.macs / 1e9, paper[1]), 5),
        },
        "parts": [
            {
                "name": part.name,
                "parameters": part.parameters,
                "macs": part.macs,
                "macs_saved": part.macs_saved,
                "per": "prompt" if part.is_per_prompt else "image",
            }
            for part in cost.parts
        ],
    }


def _relative(value: float, reference: float) -> float:
    return value / reference - 1


def _format_parts(cost: ModelCost) -> str:
    rows = []
    for part in cost.parts:
        per = "prompt" if part.is_per_prompt else "image"
        rows.append([part.name, f"{part.parameters / 1e6:.3f}", f"{part.macs / 1e9:.2f}", per])
    whole = f"image, {cost.num_prompts} prompts"
    rows.append(["all", f"{cost.parameters / 1e6:.3f}", f"{cost.macs / 1e9:,.1f}", whole])
    if cost.paper is not None:
        parameters, gmacs = cost.paper
        rows.append(["paper", f"{parameters:.0f}", f"{gmacs:,.0f}", ""])
        more_parameters = f"{_relative(cost.parameters / 1e6, parameters):+.2%}"
        rows.append(
            ["difference", more_parameters, f"{_relative(cost.macs / 1e9, gmacs):+.2%}", ""]
        )
    title = f"{cost.name} at {cost.input_size} x {cost.input_size}"
    table = format_table(("part", "params (M)", "GMACs", "per"), rows, right=" rr")
    notes = []
    if cost.text_parameters is not None:
        notes.append(
            f"text tower, run once per vocabulary, not counted: {cost.text_parameters / 1e6:.1f} M"
        )
    if saved := sum(part.macs_saved for part in cost.parts):
        notes.append(f"of these, ovsam saves {saved / 1e9:.1f} GMACs (padding of windows)")
    return "\n".join([title, "", table, *([""] if notes else []), *notes])


def _format_totals(costs: list[ModelCost]) -> str:
    rows = []
    for cost in costs:
        paper = cost.paper
        rows.append(
            [
                cost.name,
                str(cost.input_size),
                f"{cost.parameters / 1e6:.3f}",
                f"{paper[0]:.0f}" if paper else "-",
                f"{cost.macs / 1e9:,.1f}",
                f"{paper[1]:,.0f}" if paper else "-",
                f"{_relative(cost.macs / 1e9, paper[1]):+.2%}" if paper else "-",
            ]
        )
    header = ("model", "input", "params (M)", "paper", "GMACs", "paper", "difference")
    return format_table(header, rows, right=" rrrrrr")
