#!/usr/bin/env python
"""Build the docs as a site: README, docs/, the help of every command, llms.txt. No network.

Usage: scripts/docs_site.py [--strict] [FOLDER]   (FOLDER: where build/docs goes; the repository)

The site lies in FOLDER/build/docs/site. Each page is there as Markdown, too, and llms.txt lists
those (https://llmstxt.org). Every link and anchor is followed; one that leads nowhere is an error.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import typer

from ovsam_pipeline.commands.contents import app

ROOT = Path(__file__).parents[1]
CONFIG = "zensical.toml"
# Files outside docs/ that are pages of the site.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
# What fits the column of text beside both tables of contents.
_COLUMNS = 84


def write_pages(folder: Path) -> None:
    """Write the Markdown of all pages, and the files that they show, into a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder)
    for page in folder.glob("*.md"):
        page.write_text(
            _move_links(page.read_text(encoding="utf-8"), ROOT / "docs"), encoding="utf-8"
        )
    for name, page in OUTSIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        (folder / page).write_text(_move_links(text, ROOT), encoding="utf-8")
    (folder / "commands.md").write_text(describe_commands(), encoding="utf-8")


def describe_commands() -> str:
    """Return a page with the help of every command, in the order of `ovsam --help`."""
    # Help is laid out for the terminal that asks.
    os.environ["COLUMNS"] = str(_COLUMNS)
    lines = ["# Commands", "", "Made from the commands' own `--help`."]
    for name, text in _list_help(typer.main.get_command(app), "ovsam"):
        lines += ["", f"## `{name}`", "", "```text", text.strip(), "```"]
    return "\n".join(lines) + "\n"


def _list_help(command: Any, name: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    context.info_name = name if parent is None else name.rpartition(" ")[2]
    yield name, command.get_help(context)
    for child_name, child in getattr(command, "commands", {}).items():
        if not child.hidden:
            yield from _list_help(child, f"{name} {child_name}", context)


def write_llms_texts(pages: Path, site: Path) -> None:
    """Write llms.txt, llms-full.txt and the Markdown of the pages into the built site."""
    project = _read_project()
    index = [f"# {project['site_name']}", "", f"> {project['site_description']}"]
    whole = []
    for title, section in _list_sections(project["nav"]):
        index += ["", f"## {title}", ""]
        for name, page in section:
            text = (pages / page).read_text(encoding="utf-8")
            title_line = text.removeprefix("# ").partition("\n")[0]
            index.append(f"- [{name}]({page}): {title_line}")
            whole.append(f"<!-- {page} -->\n\n{text}")
            shutil.copy(pages / page, site / page)
    (site / "llms.txt").write_text("\n".join(index) + "\n", encoding="utf-8")
    (site / "llms-full.txt").write_text("\n".join(whole), encoding="utf-8")


def list_pages() -> list[str]:
    """Return the pages of the navigation, in its order."""
    return [page for _, section in _list_sections(_read_project()["nav"]) for _, page in section]


def _read_project() -> dict[str, Any]:
    return tomllib.loads((ROOT / CONFIG).read_text(encoding="utf-8"))["project"]


def _list_sections(nav: list[dict[str, Any]]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for entry in nav:
        for title, value in entry.items():
            items = [{title: value}] if isinstance(value, str) else value
            yield title, [pair for item in items for pair in item.items()]


def _move_links(text: str, folder: Path) -> str:
    """Rewrite the links of a page to where its targets are on the site; name what is not there."""

    def move(match: re.Match[str]) -> str:
        label, target = match["label"], match["target"]
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, mark, anchor = target.partition("#")
        place = (folder / path).resolve().relative_to(ROOT).as_posix()
        if place.startswith("docs/"):
            return f"[{label}]({place.removeprefix('docs/')}{mark}{anchor})"
        return (
            f"[{label}]({OUTSIDE[place]}{mark}{anchor})"
            if place in OUTSIDE
            else f"{label} (`{place}`)"
        )

    return re.sub(r"\[(?P<label>[^\]\n]*)\]\((?P<target>[^)\s]+)\)", move, text)


# Of <link>: addresses that browsers do not fetch.
_NO_LOADS = {"canonical", "next", "prev", "alternate"}


class _Links(HTMLParser):
    """The anchors of a page, and what it links to or loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors.update(value for name in ("id", "name") if (value := values.get(name)))
        found = [value for name in ("href", "src") if (value := values.get(name))]
        self.links += found
        if tag in ("script", "img", "link", "iframe") and values.get("rel") not in _NO_LOADS:
            self.loads += found


def find_outside_loads(site: Path) -> list[str]:
    """Return "page: address" for everything that a page would fetch from another machine."""
    return sorted(
        f"{page.name}: {address}"
        for page in site.glob("*.html")
        for address in _Links(page).loads
        if re.match(r"[a-z]+://|//", address)
    )


def find_broken_links(site: Path) -> list[str]:
    """Return "page: link" for every link within the site that leads nowhere."""
    pages = {
        page.resolve(): _Links(page) for page in site.rglob("*.html") if page.name != "404.html"
    }
    broken = []
    for page, found in pages.items():
        for link in found.links:
            if re.match(r"[a-z]+:|//", link):
                continue
            path, _, anchor = unquote(link).partition("#")
            target = (page.parent / path.partition("?")[0]).resolve() if path else page
            if target.is_dir():
                target /= "index.html"
            known = pages[target].anchors if target in pages else {anchor}
            if not target.exists() or (anchor and anchor not in known):
                broken.append(f"{page.relative_to(site.resolve())}: {link}")
    return sorted(set(broken))


def build(folder: Path, *, strict: bool = False) -> Path:
    """Build the site below `folder`; return where it lies. A SystemExit where the build fails."""
    pages, site = folder / "build/docs/pages", folder / "build/docs/site"
    write_pages(pages)
    config = folder / CONFIG
    if folder != ROOT:
        shutil.copy(ROOT / CONFIG, config)
    options = ["--clean", *(["--strict"] if strict else [])]
    command = [sys.executable, "-m", "zensical", "build", "--config-file", str(config), *options]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"zensical did not build the pages:\n{found.stdout}{found.stderr}")
    write_llms_texts(pages, site)
    if broken := find_broken_links(site):
        raise SystemExit("these links lead nowhere:\n" + "\n".join(broken))
    if outside := find_outside_loads(site):
        raise SystemExit("these pages load from other machines:\n" + "\n".join(outside))
    return site


def main(arguments: list[str]) -> None:
    """Build the site and say where it is."""
    strict = "--strict" in arguments
    folders = [Path(name).resolve() for name in arguments if not name.startswith("-")]
    site = build(folders[0] if folders else ROOT, strict=strict)
    sys.stdout.write(f"{len(list(site.glob('*.html'))) - 1} pages: {site / 'index.html'}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
