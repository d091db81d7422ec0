#!/usr/bin/env python
"""Count the named models into ovsam/data/costs.json; write the tables of docs/models.md from it.

Usage: scripts/cost_tables.py [--check]: the latter only compares the tables with the file.
"""

import json
import re
import sys
from dataclasses import asdict
from pathlib import Path

from ovsam.cost.costs import COSTS_FILE, PAPER, ModelCost, read_costs
from ovsam_pipeline.commands.info import count_named

DOCS = Path(__file__).parents[1] / "docs" / "models.md"
BEGIN, END = "<!-- costs: made by scripts/cost_tables.py -->\n", "<!-- end of costs -->\n"
# The baselines are in docs/baselines.md; nano and photo have their own sizes.
_SHOWN = re.compile(r"rn50|convnext|sam-|mobilesam")


def make_tables(costs: dict[str, ModelCost]) -> str:
    """Return the Markdown tables of docs/models.md."""
    lines = [
        "| model | parameters (M) | paper | GMACs | paper | difference |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, cost in costs.items():
        if not _SHOWN.match(name):
            continue
        paper = PAPER.get(name)
        known = ("", "", "")
        if paper is not None:
            difference = f"{cost.macs / 1e9 / paper[1] - 1:+.2%}".replace("%", " %")
            known = (f"{paper[0]:.0f}", f"{paper[1]:,.0f}", difference)
        cells = (
            f"`{name}`",
            f"{cost.parameters / 1e6:.3f}",
            known[0],
            f"{cost.macs / 1e9:,.1f}",
            *known[1:],
        )
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |"))
    lines += ["", "| part of `rn50x16` | parameters (M) | GMACs | for each |"]
    lines.append("| --- | --- | --- | --- |")
    for part in costs["rn50x16"].parts:
        per = "prompt" if part.is_per_prompt else "image"
        parameters = f"{part.parameters / 1e6:.3f}" if part.parameters else "0"
        lines.append(f"| {part.name} | {parameters} | {part.macs / 1e9:.2f} | {per} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Count and write; with --check, exit 1 where the tables are not those of the file."""
    is_check = "--check" in sys.argv
    if not is_check:
        rows = {name: asdict(cost) for name, cost in count_named().items()}
        lines = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()]
        COSTS_FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    text = DOCS.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    found, _, after = rest.partition(END)
    tables = make_tables(read_costs())
    if is_check and found != tables:
        sys.stderr.write("run scripts/cost_tables.py: the tables of docs/models.md differ\n")
        return 1
    if not is_check:
        DOCS.write_text(before + BEGIN + tables + END + after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
