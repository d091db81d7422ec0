"""`ovsam demo`: point at objects in a browser, and keep what is right."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ovsam_pipeline.commands.options import AllowHosts, Host, OpenBrowser, Port
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.settings.setting import list_settings

_OUTPUT = "demo-labels"
_SETTINGS = list_settings(LabelConfig)


def _declare(name: str, **more: Any) -> Any:
    """Return the option of a setting that `ovsam label` has, too."""
    setting = _SETTINGS[name]
    text, default = setting.help, setting.default_text
    text += f"  [default: {default}]" if default else ""
    return typer.Option(*setting.flags, metavar=setting.value_text, help=text, **more)


def demo(
    source: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[IMAGE|FOLDER]...",
            help="Images, folders or any other source of `ovsam label`. Without one, drop images "
            "into the page.",
        ),
    ] = None,
    model: Annotated[str | None, _declare("model")] = None,
    vocabulary: Annotated[str | None, _declare("vocabulary")] = None,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="DIR", help="Where accepted objects go."),
    ] = _OUTPUT,
    by: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who accepts.  [default: who is logged in]"),
    ] = None,
    image_root: Annotated[str | None, _declare("image_root")] = None,
    exclude: Annotated[list[str] | None, _declare("exclude")] = None,
    device: Annotated[str | None, _declare("device")] = None,
    dtype: Annotated[str | None, _declare("dtype")] = None,
    max_pixels: Annotated[int | None, _declare("max_pixels")] = None,
    host: Host = "127.0.0.1",
    port: Port = 0,
    open_browser: OpenBrowser = None,
    allow_host: AllowHosts = None,
) -> None:
    """Point at objects in a browser, and keep what is right.

    A click, a box or a scribble becomes a mask with a name. What you accept goes into the output
    folder, which `ovsam export`, `view`, `report` and `review` read as one of `ovsam label`. An
    existing output is continued. The printed address works until Ctrl-C.

    Examples:
        ovsam demo
        ovsam demo photos/ -o demo-labels
        ovsam demo photo.jpg --model rn50x16-lvis --vocabulary "mug,backpack"
    """
    from ovsam_pipeline.ui.extra import require_ui

    require_ui()
    from ovsam_pipeline.output.place import choose_output
    from ovsam_pipeline.review.answers import find_user
    from ovsam_pipeline.runs.settings import load_label_config
    from ovsam_pipeline.terminal.bars import EmbeddingProgress

    sources = tuple(source or ())
    place = choose_output(sources or (".",), output, "")
    given = {
        "sources": sources or (str(place / "uploads"),),
        "model": model,
        "vocabulary": vocabulary,
        "image_root": image_root,
        "exclude": tuple(exclude) if exclude else None,
        "device": device,
        "dtype": dtype,
        "max_pixels": max_pixels,
    }
    config = load_label_config(None, given)
    from ovsam_pipeline.ui.demo.load import load_demo
    from ovsam_pipeline.ui.demo.routes import build_demo_routes
    from ovsam_pipeline.ui.server import run_ui

    loaded = load_demo(
        config,
        place,
        by or find_user(),
        has_sources=bool(sources),
        embedding=EmbeddingProgress(),
    )
    with loaded:
        start, routes = build_demo_routes(loaded)

        def end() -> list[str]:
            loaded.accepted.close()
            return loaded.accepted.describe()

        run_ui(
            start,
            routes,
            host=host,
            port=port,
            open_browser=open_browser,
            allow_hosts=allow_host or (),
            end=end,
        )
