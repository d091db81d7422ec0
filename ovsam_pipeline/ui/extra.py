"""Whether the packages of the extra `ovsam[ui]` are here."""

from __future__ import annotations

from importlib.util import find_spec

from ovsam.errors import MissingDependencyError


def require_ui() -> None:
    """Raise MissingDependencyError unless Starlette and uvicorn are installed.

    A command with a page calls it before it imports the server or routes.
    """
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise MissingDependencyError(
            "pages in a browser need Starlette and uvicorn: pip install starlette uvicorn"
        )
