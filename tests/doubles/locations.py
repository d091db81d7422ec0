"""Where the files of the repository lie that tests read."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
DOUBLES = TESTS / "doubles"
SCENES = ROOT / "examples" / "scenes"
PHOTOS = ROOT / "examples" / "photos"
CONFIGS = ROOT / "configs"
DOCS = ROOT / "docs"
