"""The settings of `ovsam label --relabel OUT`: what is not given comes from OUT's own run."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from ovsam.errors import ConfigError
from ovsam_pipeline.labelling.stored_regions import locate_regions, read_labelled_run
from ovsam_pipeline.output.earlier_run import (
    find_source,
    has_foreign_address,
    join_file,
    join_folder,
    join_vocabulary,
)
from ovsam_pipeline.output.folder import RUN_FILE
from ovsam_pipeline.output.place import check_store, parse_output
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.settings.setting import list_settings
from ovsam_pipeline.storage.remote_path import AnyPath

# Of what makes or chooses regions; `detector` and `classes` have other defaults than a number.
_NUMBERS = ("conf", "iou", "max_det", "min_score")
_AGAIN = "ovsam label SOURCES --relabel OUT"


def complete_config(config: LabelConfig) -> LabelConfig:
    """Return the settings with what is not given taken from the output that gets new labels."""
    old = locate_regions(config)
    check_store(old)
    run = read_labelled_run(old)
    _refuse_other_regions(config, old)
    name = f"{old.resolve().name}_relabelled"
    output = parse_output(config.output) if config.output else old.resolve().parent / name
    if output.resolve() == old.resolve():
        raise ConfigError(f"the output {output} is the folder to relabel; give another one as -o")
    if old.resolve() in output.resolve().parents:
        raise ConfigError(
            f"the output {output} is inside {old}, which is only read; give another one as -o"
        )
    before = run.get("settings", {})
    # Runs made before it was stored are relabelled from where they were made.
    folder = Path(run.get("working_folder", ""))
    if not config.sources:
        root = before.get("image_root")
        sources = before.get("sources", ())
        if has_foreign_address((*sources, root or ""), old):
            again = ["ovsam", "label", *sources, "--relabel", str(old)]
            again += ["--image-root", root] if root else []
            raise ConfigError(
                f"{old / RUN_FILE} names sources at addresses: data may not choose which address "
                f"is asked. If they are yours, type them: {shlex.join(again)}"
            )
        config = replace(
            config,
            sources=tuple(find_source(name, folder, old, _AGAIN) for name in sources),
            image_root=None if root is None else join_folder(folder, root),
        )
    chosen = run.get("resolved", {})
    model, vocabulary = chosen.get("model", "auto"), before.get("vocabulary", "auto")
    return replace(
        config,
        output=str(output),
        model=join_file(folder, model) if config.model == "auto" else config.model,
        labels=chosen.get("labels", "model") if config.labels == "auto" else config.labels,
        vocabulary=join_vocabulary(folder, vocabulary)
        if config.vocabulary == "auto"
        else config.vocabulary,
    )


def _refuse_other_regions(config: LabelConfig, old: AnyPath) -> None:
    """Refuse settings that would change which objects there are, with a ConfigError."""
    unset = LabelConfig(sources=config.sources, relabel=config.relabel)
    wanted = [f"--detector {config.detector}"] if config.detector != "auto" else []
    wanted += ["--classes"] if config.classes else []
    wanted += [
        f"{list_settings(LabelConfig)[name].flag} {getattr(config, name)}"
        for name in _NUMBERS
        # A name of its own for low scores drops no object.
        if not (name == "min_score" and config.below == "other")
        and getattr(config, name) != getattr(unset, name)
    ]
    if wanted:
        raise ConfigError(
            f"--relabel keeps every object of {old}, and {wanted[0]} would change which there are; "
            "leave it out, or label again without --relabel"
        )
