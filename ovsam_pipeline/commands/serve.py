"""`ovsam serve`: masks and names for editors that people label in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam.errors import ConfigError, explain
from ovsam_pipeline.commands.options import AllowHosts, Host, Port, with_options
from ovsam_pipeline.settings.label import CLUSTER_SETTINGS, LabelConfig
from ovsam_pipeline.settings.setting import Panel, list_settings, setting

if TYPE_CHECKING:
    from ovsam_pipeline.ui.editors.images import AllowedImages

_TOKEN_VARIABLE = "LABEL_STUDIO_API_KEY"
# Images of up to 64 MB arrive as base64.
_MOST_JSON_BYTES = 96 << 20


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """The options of serve that are not settings of labelling."""

    images: tuple[str, ...] = setting(
        (),
        Panel.SERVER,
        "Where Label Studio's images may be read: the folder that its local files are below, "
        "s3://bucket/prefix or https://host/folder; may be given again. Nothing else is read.",
        metavar="PLACE",
        parse=lambda _, text: (text,),
        repeats=True,
    )
    label_studio: str | None = setting(
        None,
        Panel.SERVER,
        "Label Studio's address, to read images from that were uploaded to it, with the token in "
        f"{_TOKEN_VARIABLE}.",
        metavar="URL",
    )
    cvat_function: str | None = setting(
        None,
        Panel.SERVER,
        "Write the Python file that cvat-cli takes as --function-file, then serve.",
        metavar="FILE",
    )


# An editor sends images one by one, to this process.
_OF_RUNS = (
    *("sources", "image_root", "exclude", "relabel", "min_match", "output", "preview", "engine"),
    *("part_images", "part_seconds", "prune", "time_limit", "metrics_file", "image_timeout"),
    *("on_existing", "retry_failed", "max_failures", "max_failure_rate", "batch", "workers"),
    *CLUSTER_SETTINGS,
)
_SERVER = {"host": (Host, "127.0.0.1"), "port": (Port, 9090), "allow_host": (AllowHosts, None)}


@with_options(LabelConfig, ServeOptions, without=_OF_RUNS, also=_SERVER)
def serve(host: str, port: int, allow_host: list[str] | None, **given: Any) -> None:
    """Serve masks and names to Label Studio, X-AnyLabeling and CVAT.

    A click or a box in the editor becomes a mask with a name; whole images are labelled as `ovsam
    label` with the same flags does. Prints an address for each editor; it contains a token, which
    changes at each start unless OVSAM_UI_TOKEN holds one. Runs until Ctrl-C.

    Examples:
        ovsam serve --images /data/photos
        ovsam serve --label-studio http://localhost:8080
        ovsam serve --vocabulary "mug,backpack" --cvat-function ovsam_cvat.py
    """
    from ovsam_pipeline.ui.extra import require_ui

    require_ui()
    options, settings = _split(given)
    allowed = _allow(options, settings.max_pixels)
    from ovsam_pipeline.ui.editors.model import EditorModel
    from ovsam_pipeline.ui.editors.routes import PATHS, build_routes, describe_start
    from ovsam_pipeline.ui.security import Security
    from ovsam_pipeline.ui.server import build_app
    from ovsam_pipeline.ui.server import serve as run

    security = Security.create(host, allow_host or (), max_json_bytes=_MOST_JSON_BYTES)
    if options.cvat_function is not None:
        _write_function(Path(options.cvat_function).expanduser())
    model = EditorModel(settings)
    try:
        app = build_app(describe_start(model), build_routes(model, allowed), security)
        run(app, host, port, open_browser=False, paths=PATHS)
    finally:
        model.close()


def _split(given: dict[str, Any]) -> tuple[ServeOptions, LabelConfig]:
    """Return the command's own options and the settings of labelling, checked."""
    from ovsam_pipeline.runs.settings import load_label_config
    from ovsam_pipeline.settings.setting import settle_values

    names = list_settings(ServeOptions)
    own = {name: given.pop(name) for name in names if given.get(name) is not None}
    config = {name: value for name, value in given.items() if name not in names}
    options = ServeOptions(**settle_values(ServeOptions, own))
    # The editors' images are the source.
    return options, load_label_config(None, {**config, "sources": ("editors",)})


def _allow(options: ServeOptions, max_pixels: int) -> AllowedImages:
    from ovsam_pipeline.ui.editors.images import allow_images
    from ovsam_pipeline.ui.editors.web_origin import WebOrigin

    token = os.environ.get(_TOKEN_VARIABLE, "").strip()
    server = None if options.label_studio is None else WebOrigin(options.label_studio, token)
    return allow_images(options.images, server, max_pixels)


def _write_function(path: Path) -> None:
    from ovsam_pipeline.terminal.notes import print_note
    from ovsam_pipeline.ui.editors.cvat import read_function_file

    text = read_function_file()
    with explain("cannot write", path, ConfigError):
        if path.is_file() and not path.read_bytes().startswith(text.partition("\n")[0].encode()):
            raise ConfigError(
                f"{path} is there and not written by --cvat-function, so it is not replaced; "
                "choose another name"
            )
        path.write_text(text, encoding="utf-8")
    print_note(f"{path}: for cvat-cli task auto-annotate --function-file {path}")
