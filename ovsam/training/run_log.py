"""A run's numbers as JSON lines: one object a report, appended and flushed."""

from __future__ import annotations

import json
import logging
from pathlib import Path

logger = logging.getLogger(__name__)


class RunLog:
    """Append-only `log.jsonl` of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **values: object) -> None:
        """Append one line, and say it through `logging`."""
        line = json.dumps(values)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        logger.info("%s", line)
