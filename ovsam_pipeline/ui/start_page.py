"""index.html: an empty page that loads the bundle, with what it begins with as JSON.

All text of the page is put there by the bundle, as text nodes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

# Files of static/ → their types. Nothing else in that folder is served.
STATIC_FILES = {
    "ovsam.js": "text/javascript; charset=utf-8",
    "ovsam.css": "text/css; charset=utf-8",
    "NOTICE.txt": "text/plain; charset=utf-8",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>ovsam</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/ovsam.css">
</head>
<body>
<div id="root"><noscript>This page needs JavaScript.</noscript></div>
<script type="application/json" id="start">{start}</script>
<script src="static/ovsam.js" defer></script>
</body>
</html>
"""


def build_page(start: Mapping[str, Any]) -> str:
    """Return index.html; `start` is JSON data with a "kind": which view the bundle mounts."""
    return _PAGE.replace("{start}", escape_script_json(start))


def escape_script_json(value: Any) -> str:
    """Return a value as ASCII JSON that may stand in a <script>, whatever its texts hold."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def read_static(name: str) -> bytes:
    """Return a file of STATIC_FILES."""
    return resources.files("ovsam_pipeline.ui").joinpath("static", name).read_bytes()
