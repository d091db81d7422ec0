"""What the docs name exists."""

import re

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


def test_twenty_questions_are_answered() -> None:
    text = (DOCS / "architecture.md").read_text()
    answers = text.split("## Where is …?")[1].splitlines()
    assert sum(line.startswith("| W") for line in answers) >= 20
