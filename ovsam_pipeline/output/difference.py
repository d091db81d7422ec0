"""The settings that an output was made with, next to those of a run: what differs, in words.

Input: run.json of the output and the same of the run. Output: the error that refuses the run. What
was typed is said, not what it became: "vocabulary (nano before, cat,dog now)".
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ovsam.errors import ConfigError
from ovsam_pipeline.storage.remote_path import AnyPath

_MOST_LETTERS = 60
_TASKS = {
    "label": "labels of `ovsam label`",
    "relabel": "labels of `ovsam label --relabel`",
    "detect": "boxes of `ovsam detect`",
    "filter": "labels that `ovsam filter` chose",
    "demo": "what people accepted in `ovsam demo`",
}
# What a run of each kind did, and what it would do again; all others label.
_VERBS = {"detect": ("made", "detect"), "filter": ("filtered", "filter")}


def explain_difference(
    output: AnyPath, before: Mapping[str, Any], now: Mapping[str, Any]
) -> ConfigError:
    """Return the error of a run that would add other rows to an output than it has.

    Both have `depends_on`, `resolved` (settings), `model`, `detector` and `vocabulary` as run.json.
    """
    old, new = _find(before, "depends_on"), _find(now, "depends_on")
    task = new.get("task", "label")
    if old and old.get("task", "label") != task:
        return ConfigError(
            f"{output} holds {_name_task(old)}, and this run makes {_TASKS[task]}; give another -o"
        )
    changed = _list_changed(old, new)
    what = ", ".join(_describe(name, before, now) for name in changed) or "other weights or files"
    made, make = _VERBS.get(task, ("labelled", "label"))
    advice = f"give another -o, or --on-existing overwrite to {make} everything again"
    if changed == ["vocabulary"] and task == "label":
        words = shlex.quote(_name("vocabulary", now))
        advice = (
            "to keep its objects and masks and only name them anew: ovsam label --relabel "
            f"{output} -o OTHER --vocabulary {words}; else {advice}"
        )
    return ConfigError(f"{output} was {made} with other settings: {what}; {advice}")


def _name_task(depends_on: Mapping[str, Any]) -> str:
    task = depends_on.get("task", "label")
    return _TASKS.get(task, "something else") if isinstance(task, str) else "something else"


def _list_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return the names of what differs; where there is a hash, it decides and not the name."""
    if not old:
        return []
    names = dict.fromkeys(name.removesuffix("_hash") for name in (*new, *old))
    keys = {name: f"{name}_hash" if f"{name}_hash" in new else name for name in names}
    return [name for name, key in keys.items() if old.get(key) != new.get(key)]


def _describe(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    old, new = _name(name, before), _name(name, now)
    if old != new:
        return f"{name} ({_shorten(old)} before, {_shorten(new)} now)"
    if name == "detector":
        return f"detector (another file, model or mode of {new})"
    return f"{name} (another file of the same name)"


def _name(part: str, run: Mapping[str, Any]) -> str:
    """Return what a run calls its model, detector or vocabulary, or the value of a setting."""
    known = {
        "model": _find(run, "model").get("weights"),
        "detector": _find(run, "detector").get("name"),
        "vocabulary": _find(run, "vocabulary").get("name"),
    }.get(part)
    typed = _find(run, "resolved").get(part)
    if part == "vocabulary" and typed not in (None, "auto"):
        known = typed  # names with commas between are called "custom"
    return str(known or _find(run, "depends_on").get(part, "not set"))


def _find(run: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = run.get(key)
    return found if isinstance(found, Mapping) else {}


def _shorten(text: str) -> str:
    """Cut a long text in its middle: lists begin and paths end with what tells most."""
    half = _MOST_LETTERS // 2
    return text if len(text) <= _MOST_LETTERS else f"{text[:half]}…{text[-half:]}"
