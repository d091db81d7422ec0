"""`ovsam report OUT --html FILE`: what the report says, above the labels themselves."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam_pipeline.commands.report_counts import (
    collect_checks,
    collect_report,
    describe_contents,
    format_checks,
    list_making,
)
from ovsam_pipeline.outcomes import count_things

if TYPE_CHECKING:
    from ovsam_pipeline.ui.gallery.opened import OpenedOutput
    from ovsam_pipeline.ui.report_page import Section

logger = logging.getLogger(__name__)

_MOST_CLASSES = 1000
_UNMEASURED = (
    "Nobody has measured it: no uniform sample of these labels was checked. Treat them as guesses."
)


def write_html(text: str, file: str, limit: int | None, source: Sequence[str]) -> str:
    """Write the report on an output, or on an evaluation, and return a sentence on it.

    Raises:
        ConfigError: there is nothing to report on, too much of it, or another file is in the place.
    """
    from ovsam.errors import ConfigError
    from ovsam_pipeline.output.place import check_store, find_output, parse_output
    from ovsam_pipeline.ui.gallery.opened import OpenedOutput
    from ovsam_pipeline.ui.report import choose_images, write_labels_report, write_results_report
    from ovsam_pipeline.ui.report_page import check_target
    from ovsam_pipeline.ui.results.data import is_results, read_results

    place, target = parse_output(text), parse_output(file)
    check_store(target)
    check_target(target)  # before anything slow
    if isinstance(place, Path) and is_results(place):
        if limit is not None or source:
            raise ConfigError(
                f"--limit and --source are of labels, and {text} holds an evaluation; leave them "
                "out"
            )
        size = write_results_report(read_results(place), target)
        return f"{file}: results of {text}, {_format_size(size)}"
    folder = find_output(text)
    opened = OpenedOutput(folder, tuple(source))
    choose_images(opened.snapshot.num_images, limit)
    name = folder.resolve().name if isinstance(folder, Path) else folder.name
    written = write_labels_report(opened, target, name, build_sections(opened, limit), limit)
    _tell_lacking(written.lacking)
    of = "" if written.num_images == written.num_all else f"{written.num_images} of "
    images = count_things(written.num_all, "image")
    return f"{file}: {of}{images}, {_format_size(written.num_bytes)}"


def _tell_lacking(reasons: Sequence[str]) -> None:
    """Say that a report lacks pictures: nobody sees it before the page is opened."""
    if reasons:
        [(reason, _)] = Counter(reasons).most_common(1)
        logger.warning(
            "%s without a picture (%s); where they lie elsewhere now: --source PLACE",
            count_things(len(reasons), "image"), reason,
        )  # fmt: skip


def build_sections(opened: OpenedOutput, limit: int | None) -> list[Section]:
    """Return the head of the report on an output."""
    from ovsam_pipeline.export.card import describe_answers
    from ovsam_pipeline.ui.report_page import Section

    folder = opened.path
    found, checks = collect_report(folder), collect_checks(folder)
    classes = [
        (name, str(count), f"{found['mean_scores'][name]:.2f}")
        for name, count in list(found["classes"].items())[:_MOST_CLASSES]
    ]
    return [
        Section("What there is", [*_tell_choice(opened, limit), *describe_contents(found)]),
        Section("How right the labels are", format_checks(checks, folder) or [_UNMEASURED]),
        Section("What people answered", [describe_answers(opened.answers, str)]),
        *_list_failures(found, opened.snapshot.damaged),
        Section("Classes", header=("class", "objects", "mean score"), rows=classes),
        Section(
            "How the labels were made",
            ["The licence of the pictures is theirs, and not known to ovsam."],
            ("what", "with"),
            list_making(found, opened.run),
        ),
    ]


def _tell_choice(opened: OpenedOutput, limit: int | None) -> list[str]:
    total = opened.snapshot.num_images
    if limit is None or limit >= total:
        return []
    return [
        f"Below are {count_things(limit, 'image')} of {total}, drawn by chance; the numbers here "
        "are of all. The riskiest come first: change the order above the pictures."
    ]


def _list_failures(found: dict[str, Any], damaged: Mapping[str, str]) -> list[Section]:
    from ovsam_pipeline.ui.report_page import Section

    header = ("images", "reason", "e.g.")
    sections = []
    for title, kind in (("Failures", "reasons"), ("Read with a warning", "warnings")):
        rows = [(str(n), text, found["examples"][text]) for text, n in found[kind].items()]
        if rows:
            sections.append(Section(title, header=header, rows=rows))
    if damaged:
        sections.append(Section("Damaged parts, left out", list(damaged.values())))
    return sections


def _format_size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB"
