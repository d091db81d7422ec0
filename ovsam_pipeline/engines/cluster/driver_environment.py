"""What a worker takes over from the process that drives the run: variables, and its machine.

Credentials travel inside the worker's arguments and are set in its process: a cluster shows the
environment that it starts processes with to everyone who sees its dashboard.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

_PASSED_ON = (
    "AWS_",
    "AZURE_",
    "DETECTRON2_",
    "FVCORE_",
    "GOOGLE_",
    "HF_",
    "HUGGINGFACE_",
    "OVSAM_",
    "TORCH_HOME",
)


@dataclass(frozen=True)
class DriverEnvironment:
    """Facts of the driver's process.

    Attributes:
        host: name of its machine.
        environment: variables of caches, data sets and stores.
    """

    host: str
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def describe(cls) -> Self:
        """Return those of this process."""
        passed = {name: text for name, text in os.environ.items() if name.startswith(_PASSED_ON)}
        return cls(platform.node(), passed)

    @property
    def is_here(self) -> bool:
        """Whether this process runs on that machine."""
        return platform.node() == self.host

    def apply(self) -> None:
        """Take the variables over in this process."""
        os.environ.update(self.environment)
