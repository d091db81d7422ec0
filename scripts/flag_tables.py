#!/usr/bin/env python
"""Write the tables of flags in docs/ from the declarations of the settings; tests compare them.

Usage: scripts/flag_tables.py [--check]
"""

import re
import sys
from pathlib import Path

from ovsam_pipeline.audit.config import AuditConfig
from ovsam_pipeline.commands.options import (
    EvalOptions,
    RunOptions,
    TerminalOptions,
    list_options,
)
from ovsam_pipeline.evaluation.config import EvalConfig
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.settings.setting import Setting

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- flags: made by scripts/flag_tables.py -->\n", "<!-- end of flags -->\n"


def make_table(options: list[Setting]) -> str:
    """Return a Markdown table with a row per option, below the headings of `--help`."""
    lines = ["| flag | default | meaning |", "|---|---|---|"]
    panel = None
    for option in options:
        if option.panel is not panel:
            panel = option.panel
            lines.append(f"| **{panel}** | | |")
        cells = (_name(option), _default(option), _meaning(option))
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"


def _name(option: Setting) -> str:
    short_first = sorted(option.flags, key=lambda flag: flag.startswith("--"))
    *others, last = [flag.replace("/", "`, `") for flag in short_first]
    value = "" if option.is_positional else option.value_text.replace("|", "\\|")
    return "".join(f"`{flag}`, " for flag in others) + f"`{f'{last} {value}'.strip()}`"


def _default(option: Setting) -> str:
    if isinstance(option.default, bool):
        return "on" if option.default else "off"
    is_word = isinstance(option.default, str) and not option.shown and option.default
    return f"`{option.default}`" if is_word else option.default_text


def _meaning(option: Setting) -> str:
    text = re.sub(r"(?<![`\w-])(--[a-z][a-z-]*)", r"`\1`", option.help)
    return f"{text} {option.more}".strip().replace("|", "\\|")


TABLES = {
    "label.md": list_options(LabelConfig, RunOptions),
    "audit.md": list_options(AuditConfig, TerminalOptions),
    "eval.md": list_options(EvalConfig, EvalOptions, without=("table", "seed")),
}


def main() -> int:
    """Rewrite the tables; with --check, exit 1 where one is not as it should be."""
    old = []
    for name, options in TABLES.items():
        text = (DOCS / name).read_text(encoding="utf-8")
        before, _, rest = text.partition(BEGIN)
        found, _, after = rest.partition(END)
        table = make_table(options)
        if found != table:
            old.append(name)
        if "--check" not in sys.argv:
            (DOCS / name).write_text(before + BEGIN + table + END + after, encoding="utf-8")
    if old and "--check" in sys.argv:
        sys.stderr.write(f"run scripts/flag_tables.py: {', '.join(old)} differ from the settings\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
