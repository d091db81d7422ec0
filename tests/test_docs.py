"""What the docs name exists, and they build as a site."""

import re
import sys

import pytest
from locations import DOCS, ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page) -> None:
    text = page.read_text()
    places = r"(?:ovsam|ovsam_pipeline|tests|benchmarks|configs|scripts|examples|docs)"
    named = re.findall(rf"(?<![\w/.]){places}/[\w/]+\.(?:py|md|yaml|jsonl|tsv)\b", text)
    missing = sorted({name for name in named if not (ROOT / name).exists()})
    assert not missing
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text)
    broken = sorted({link for link in links if not (page.parent / link).exists()})
    assert not broken


def test_pictures_are_shown_and_small() -> None:
    text = "".join(page.read_text() for page in PAGES)
    pictures = list((DOCS / "images").glob("*.jpg"))
    assert not [path.name for path in pictures if f"images/{path.name})" not in text]
    sizes = [path.stat().st_size for path in pictures]
    assert max(sizes) <= 150_000
    assert sum(sizes) <= 1_500_000


def test_twenty_questions_are_answered() -> None:
    text = (DOCS / "architecture.md").read_text()
    answers = text.split("## Where is …?")[1].splitlines()
    assert sum(line.startswith("| W") for line in answers) >= 20


@pytest.fixture
def docs_site(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import docs_site

    yield docs_site
    del sys.modules["docs_site"]


def test_every_page_is_in_the_navigation(docs_site) -> None:
    pages = {page.name for page in DOCS.glob("*.md")} | {*docs_site.OUTSIDE.values(), "commands.md"}
    assert sorted(docs_site.list_pages()) == sorted(pages)


def test_the_site_builds_and_needs_no_other_machine(docs_site, tmp_path) -> None:
    pytest.importorskip("zensical", reason="the docs are built by the extra dev")
    site = docs_site.build(tmp_path, strict=True)
    assert "## `ovsam label`" in (site / "commands.md").read_text()
    assert (site / "search.json").stat().st_size > 10_000
    index = (site / "llms.txt").read_text()
    listed = re.findall(r"\]\(([^)]+)\)", index)
    assert listed == docs_site.list_pages()
    assert all((site / page).is_file() for page in listed)


def test_the_site_notices_links_that_lead_nowhere_and_loads_from_elsewhere(
    docs_site, tmp_path
) -> None:
    (tmp_path / "a.html").write_text(
        '<h1 id="top"></h1><a href="#top"></a><a href="#no"></a><a href="b.html"></a>'
        '<a href="https://other.example/"></a><script src="https://other.example/x.js"></script>'
    )
    assert docs_site.find_broken_links(tmp_path) == ["a.html: #no", "a.html: b.html"]
    assert docs_site.find_outside_loads(tmp_path) == ["a.html: https://other.example/x.js"]
