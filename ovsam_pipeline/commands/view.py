"""`ovsam view`: look at an output in a browser, and say what is right."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated

import typer

from ovsam_pipeline.commands.options import AllowHosts, Host, OpenBrowser, PicturePlaces, Port

if TYPE_CHECKING:
    from ovsam_pipeline.storage.remote_path import AnyPath
    from ovsam_pipeline.ui.gallery.answers import Reviewer
    from ovsam_pipeline.ui.gallery.compare import Comparison
    from ovsam_pipeline.ui.gallery.opened import OpenedOutput

# Comparing so many takes some seconds.
_MANY = 2000
_LABELS_OF_AUDIT = "found"


def view(
    output: Annotated[
        str,
        typer.Argument(
            metavar="OUT", help="Folder of `ovsam label`, `detect` or `eval`, or its address."
        ),
    ],
    other: Annotated[
        str | None, typer.Argument(metavar="OTHER", help="Output to compare it with.")
    ] = None,
    source: PicturePlaces = None,
    by: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who answers.  [default: who is logged in]"),
    ] = None,
    no_answers: Annotated[
        bool, typer.Option("--no-answers", help="Only look: nothing is written.")
    ] = False,
    host: Host = "127.0.0.1",
    port: Port = 0,
    open_browser: OpenBrowser = None,
    allow_host: AllowHosts = None,
) -> None:
    """Look at labels in a browser; accept, reject and rename them.

    Filters by class, score, risk, failure and more; the riskiest images come first. Answers lie in
    OUT/reviews.jsonl, as those of `ovsam review`, and win in every export. Of an evaluation it
    shows classes, curves and confusions. The printed address works until Ctrl-C.

    Examples:
        ovsam view labels
        ovsam view labels labels_of_other_model
        ovsam view s3://bucket/labels --no-answers
        ovsam view scores
    """
    from ovsam_pipeline.ui.extra import require_ui

    require_ui()
    from ovsam.errors import ConfigError
    from ovsam_pipeline.storage.remote_path import parse_path
    from ovsam_pipeline.ui.gallery.routes import build_gallery_routes
    from ovsam_pipeline.ui.results.routes import build_results_routes, is_results
    from ovsam_pipeline.ui.server import Start, run_ui

    start: Start
    end = None
    if is_results(parse_path(output)):
        if other is not None:
            raise ConfigError(
                f"{output} holds an evaluation; to see several: ovsam compare {output} {other}"
            )
        start, routes = build_results_routes(Path(output).expanduser())
    else:
        opened = _open(output, source)
        reviewer = None if no_answers else _make_reviewer(opened, by)
        comparison = None if other is None else _compare(opened, _open(other, source))
        start, routes = build_gallery_routes(opened, reviewer, comparison)
        end = None if reviewer is None else reviewer.describe
        Thread(target=opened.warm_up, daemon=True).start()
    run_ui(
        start,
        routes,
        host=host,
        port=port,
        open_browser=open_browser,
        allow_hosts=allow_host or (),
        end=end,
    )


def _open(text: str, source: list[str] | None) -> OpenedOutput:
    """Read an output; say how much there is, and what of it is damaged."""
    from ovsam.errors import ConfigError
    from ovsam_pipeline.outcomes import count_things
    from ovsam_pipeline.output.place import find_output
    from ovsam_pipeline.terminal.notes import print_note
    from ovsam_pipeline.ui.gallery.opened import OpenedOutput

    if text.lower().endswith((".json", ".jsonl")):
        raise ConfigError(
            f"expected an output folder, got the file {text}; to look at annotations, label their "
            f"boxes: ovsam label IMAGES -o OUT --detector gt:{text}, then ovsam view OUT"
        )
    if (Path(text) / _LABELS_OF_AUDIT / "run.json").is_file():
        raise ConfigError(
            f"{text} holds an audit; what we found is an output of its own: ovsam view "
            f"{text}/{_LABELS_OF_AUDIT}; its pictures are in {text}/worst"
        )
    opened = OpenedOutput(find_output(text), tuple(source or ()))
    found = opened.count()
    images = count_things(found["images"], "image")
    print_note(f"{text}: {images}, {count_things(found['objects'], 'object')}")
    for sentence in opened.snapshot.damaged.values():
        print_note(f"left out: {sentence}")
    if (reason := opened.explain_pictures()) is not None:
        print_note(f"no pictures: {reason}")
    return opened


def _compare(opened: OpenedOutput, other: OpenedOutput) -> Comparison:
    """Compare two outputs, before somebody waits for it in a browser."""
    from ovsam.errors import ConfigError
    from ovsam_pipeline.terminal.notes import print_note
    from ovsam_pipeline.ui.gallery.compare import Comparison

    if opened.is_boxes != other.is_boxes:
        raise ConfigError(
            f"{opened.path} and {other.path} hold labels and boxes; compare outputs of one kind"
        )
    comparison = Comparison(opened, other)
    if opened.snapshot.num_images > _MANY:
        print_note(f"comparing {opened.path} with {other.path}, image by image")
    comparison.measure()
    return comparison


def _make_reviewer(opened: OpenedOutput, by: str | None) -> Reviewer | None:
    """Return who takes answers; None where there is nothing to answer, or nowhere to write it."""
    from ovsam_pipeline.review.answers import find_user
    from ovsam_pipeline.terminal.notes import print_note
    from ovsam_pipeline.ui.gallery.answers import Reviewer

    if opened.is_boxes:
        return None
    if not _can_write(opened.path):
        print_note(f"nothing can be answered: {opened.path} cannot be written by this user")
        return None
    return Reviewer(opened, by or find_user())


def _can_write(output: AnyPath) -> bool:
    # What a login may write on a store shows when it does.
    return not isinstance(output, Path) or os.access(output, os.W_OK | os.X_OK)
