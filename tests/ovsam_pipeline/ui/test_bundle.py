"""The built bundle is that of its sources, small, and puts text in only as text."""

import hashlib
import re

import pytest
from locations import ROOT

UI = ROOT / "ovsam_pipeline" / "ui"
PAGE, STATIC = UI / "page", UI / "static"
# What would run a text that comes from others, as markup or as code.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|"
    r"createContextualFragment|DOMParser|setHTML|javascript:"
)
MOST_BYTES = 400_000

pytestmark = pytest.mark.skipif(not PAGE.is_dir(), reason="needs the page's sources: a checkout")


def hash_sources() -> str:
    """The rule of page/build.mjs."""
    paths = [path for path in (PAGE / "src").rglob("*") if path.is_file()]
    paths += [PAGE / name for name in ("build.mjs", "package-lock.json", "tsconfig.json")]
    names = sorted(str(path.relative_to(PAGE)) for path in paths)
    found = hashlib.sha256()
    for name in names:
        found.update(name.encode() + b"\0" + (PAGE / name).read_bytes() + b"\0")
    return found.hexdigest()


@pytest.mark.parametrize("name", ["ovsam.js", "ovsam.css"])
def test_bundle_was_built_from_these_sources(name):
    first = (STATIC / name).read_text().partition("\n")[0]
    assert f"sha256:{hash_sources()}" in first, (
        "sources of the page changed: cd ovsam_pipeline/ui/page && npm ci && npm run build"
    )


def test_bundle_is_small():
    assert sum(path.stat().st_size for path in STATIC.iterdir()) <= MOST_BYTES
    assert {path.name for path in STATIC.iterdir()} == {"ovsam.js", "ovsam.css", "NOTICE.txt"}


def test_no_text_becomes_markup_or_code():
    files = [*(PAGE / "src").rglob("*.ts"), STATIC / "ovsam.js"]
    assert not [
        (path.name, FORBIDDEN.findall(path.read_text()))
        for path in files
        if FORBIDDEN.search(path.read_text())
    ]
    assert FORBIDDEN.search("a.innerHTML = b")


def test_lock_file_names_no_registry():
    assert "://" not in re.sub(r'"url": "[^"]*"', "", (PAGE / "package-lock.json").read_text())


def test_notice_tells_the_licence():
    assert "Apache License 2.0" in (STATIC / "NOTICE.txt").read_text()
