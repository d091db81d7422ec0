"""Whether Google's client will find a login: without one it asks for 40 seconds before it fails.

It looks for a file, then asks the server of a machine's role, which only Google's machines have.
"""

from __future__ import annotations

import http.client
import os
from pathlib import Path

_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
_ROLE_HOST, _ROLE_S = "169.254.169.254", 2.0


def check_google_login() -> None:
    """Refuse, with a PermissionError, a gs:// address where the client will find no login."""
    named = os.environ.get(_FILE)
    if named and not Path(named).is_file():
        raise PermissionError(13, f"{_FILE} names the file {named}, which is not there")
    if not named and not _find_user_login().is_file() and not _has_role():
        raise PermissionError(
            13,
            f"expected a login for gs://, got none: set {_FILE} to a key file, or run `gcloud auth "
            "application-default login`",
        )


def _find_user_login() -> Path:
    """Return where `gcloud auth application-default login` leaves its file."""
    settings = os.environ.get("CLOUDSDK_CONFIG") or Path.home() / ".config" / "gcloud"
    return Path(settings) / "application_default_credentials.json"


def _has_role() -> bool:
    """Whether the server is there that tells Google's machines their role."""
    host = os.environ.get("GCE_METADATA_HOST") or _ROLE_HOST
    connection = http.client.HTTPConnection(host, timeout=_ROLE_S)
    try:
        connection.request("GET", "/", headers={"Metadata-Flavor": "Google"})
        return connection.getresponse().getheader("Metadata-Flavor") == "Google"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
