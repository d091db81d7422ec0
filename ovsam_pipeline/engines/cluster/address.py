"""The address of a cluster: checked before Ray is asked, and Ray's refusals explained.

Ray tries an address where nobody listens for a minute, and writes the reason of a refusal to its
log only; here both become one sentence.
"""

from __future__ import annotations

import re
import socket

from ovsam.errors import ConfigError

_REACH_S = 10.0
_TOKEN = (
    "set RAY_AUTH_MODE=token and give the token of the cluster as RAY_AUTH_TOKEN, or its file as "
    "RAY_AUTH_TOKEN_PATH"
)


def check_address(address: str) -> None:
    """Refuse addresses of a cluster's other servers: that for jobs and that for Ray clients."""
    if address.startswith(("http://", "https://")):
        raise ConfigError(
            f"{address} takes jobs: `ray job submit --address {address} -- ovsam label ...`, or "
            "give --address as HEAD:6379"
        )
    if address.startswith("ray://"):
        raise ConfigError(
            f"expected --address as auto or HEAD:6379, got {address}; run ovsam on a machine of "
            "the cluster, or with `ray job submit`"
        )


def reach_address(address: str) -> None:
    """Refuse an address where nobody listens."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():  # "auto"
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH_S).close()
    except OSError as error:
        raise explain_cluster(error, address) from error


def explain_cluster(error: BaseException, address: str | None) -> ConfigError:
    """Return why Ray could not be reached at `address`, or be started here where it is None."""
    if isinstance(error, ConfigError):  # `reach_address` has said it
        return error
    text = " ".join(str(error).split())
    where = address or "this machine"
    small = " ".join(str(cause) for cause in _list_causes(error)).lower()
    if re.search(r"token|authenticat|unauthorized|\b(?:401|403)\b", small):
        return ConfigError(
            f"the Ray cluster at {where} refuses the token of this machine; {_TOKEN}"
        )
    if small.startswith("failed to connect to ray cluster"):
        # Ray has the same text for an address where nobody listens; `reach_address` has tried that.
        return ConfigError(
            f"the Ray cluster at {where} answers but refuses this machine, probably because of its "
            f"token; {_TOKEN}"
        )
    if "version mismatch" in small:
        found = re.findall(r"(Ray|Python): (\S+)", text)
        theirs, ours = (
            " and ".join(f"{name} {version}" for name, version in part)
            for part in (found[:2], found[2:4])
        )
        return ConfigError(
            f"the Ray cluster at {where} has {theirs or 'other versions'}, this machine "
            f"{ours or 'others'}; use the same Python and Ray everywhere"
        )
    if address is None:
        return ConfigError(f"Ray cannot be started on this machine: {text[:300]}")
    return ConfigError(
        f"no Ray cluster answers at {address}; start one (ray start --head), correct --address or "
        f"RAY_ADDRESS, or leave it out to use this machine alone ({text[:200]})"
    )


def _list_causes(error: BaseException | None) -> list[BaseException]:
    """Return an error and its causes, one of which has Ray's reason."""
    causes: list[BaseException] = []
    while error is not None and error not in causes:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes
