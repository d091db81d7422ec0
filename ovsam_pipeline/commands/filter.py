"""`ovsam filter`: an output folder by thresholds, rules and new names, without the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ovsam_pipeline.commands.options import Json

if TYPE_CHECKING:
    from ovsam_pipeline.runs.filtering import FilterResult


def filter_labels(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="Folder of `ovsam label`, or its address.")
    ],
    new: Annotated[
        str,
        typer.Option("--output", "-o", metavar="NEW", help="Output folder for what passes."),
    ],
    min_score: Annotated[float, typer.Option(help="Drop objects with a lower score.")] = 0.0,
    max_risk: Annotated[
        float | None, typer.Option(help="Drop objects with a higher risk, or without one.")
    ] = None,
    min_area: Annotated[
        str | None,
        typer.Option(
            metavar="AREA", help="Drop objects with smaller masks: pixels, or 1% of the image."
        ),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="JSON or YAML file with rules of classes: conf, min_area, max_per_image, ignore, "
            "aliases.",
        ),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="The rules in a vocabulary, which may have classes that OUT lacks."
        ),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW",
            help="Rename a class; two that get one name become one. May be given again.",
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Keep only these classes, as they are called then."),
    ] = None,
    below: Annotated[
        str,
        typer.Option(
            metavar="drop|other", help="What becomes of objects that score lower than they must."
        ),
    ] = "drop",
    on_existing: Annotated[
        str,
        typer.Option(
            metavar="resume|overwrite|error",
            help="What to do when NEW holds results of a filter.",
        ),
    ] = "resume",
    json: Json = False,
) -> None:
    """Apply thresholds, rules and new names to stored labels, into a new output.

    No network runs. The new output is one of the ordinary kind: report, export, review, eval and
    --relabel take it. Classes keep their ids. Answers of people come along and win.

    Examples:
        ovsam filter labels -o sure --min-score 0.6 --max-risk 0.3
        ovsam filter labels -o few --rules rules.yaml --classes "cat,dog"
        ovsam filter labels -o merged --rename mug=cup --rename beaker=cup
    """
    from ovsam.errors import ConfigError
    from ovsam_pipeline.labelling.filter_rules import FilterConfig
    from ovsam_pipeline.output.place import choose_output, find_output
    from ovsam_pipeline.runs.filtering import run_filter
    from ovsam_pipeline.settings.setting import parse_names
    from ovsam_pipeline.terminal.app import print_json, print_result, result_is_kept

    if on_existing not in ("resume", "overwrite", "error"):
        raise ConfigError(
            f"expected --on-existing as resume, overwrite or error, got '{on_existing}'"
        )
    config = FilterConfig(
        min_score=min_score,
        max_risk=max_risk,
        min_area=min_area,
        rules=rules,
        vocabulary=vocabulary,
        renames=tuple(rename or ()),
        below=below,
        classes=() if classes is None else parse_names("--classes", classes),
    )
    source = find_output(output)
    result = run_filter(source, choose_output([], new, ""), config, on_existing)
    with result_is_kept():
        if json:
            print_json(result.to_dict())
        else:
            print_result(*_format_result(result))


def _format_result(result: FilterResult) -> list[str]:
    from ovsam_pipeline.outcomes import count_things

    totals = result.totals
    lines = [
        f"{result.output}: {count_things(totals.objects, 'object')} in "
        f"{count_things(totals.images, 'image')} ({totals.labelled} labelled, {totals.empty} "
        f"empty, {totals.failed} failed)"
    ]
    if result.dropped:
        lines.append("dropped objects:")
        lines += [f"  {count:9,d}  {reason}" for reason, count in result.dropped.items()]
    if result.emptied:
        lines.append(f"{count_things(result.emptied, 'image')} lost the last object")
    if result.unchanged:
        lines.append(f"{count_things(result.unchanged, 'image')} filtered before")
    if result.answers:
        lines.append(f"{count_things(result.answers, 'answer')} of people taken over")
    return lines
