"""Class names of classification sets: a folder or a number → a name.

ImageNet names its folders by WordNet id ("n02084071"), WebDataset its classes by number. The file
of names says what they are called: ImageNet's own `words.txt` (id, tab, names), lines "id name" or
plain names (line i is class i), or JSON: a list, or an object from id to name.
"""

from __future__ import annotations

from pathlib import Path

from ovsam.checked_json import parse_json
from ovsam.errors import ConfigError, describe_error, show_value


class ClassNames:
    """Names by id; an id that the file does not have is itself a name."""

    def __init__(self, path: Path | None = None) -> None:
        """Read a file of names, or none."""
        self.path = path
        self._names: dict[str, str] = _read_names(path) if path else {}

    def find(self, key: str) -> str:
        """Return the name of a folder or class number."""
        key = key.strip()
        name = self._names.get(key, key)
        if name.isdigit():
            source = f"{self.path} has no name for it" if self.path else "no file of names is given"
            raise ConfigError(
                f"expected a name for class {key!r}, but {source}; give `names`, a file with one "
                "name a line in the order of the class numbers"
            )
        # WordNet lists synonyms: the first is what the class is called.
        return name.split(",")[0].strip() if key in self._names else name


def _read_names(path: Path) -> dict[str, str]:
    """Names by id, or by line number."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the class names in {path}: {describe_error(error)}"
        ) from error
    if path.suffix == ".json":
        try:
            values = parse_json(text)
        except ValueError as error:
            raise ConfigError(f"expected JSON class names in {path}, got {error}") from error
        if not isinstance(values, list | dict):
            raise ConfigError(f"expected JSON class names in {path}, got {show_value(values)}")
        pairs = enumerate(values) if isinstance(values, list) else values.items()
        return {str(key): str(value) for key, value in pairs}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ConfigError(f"expected class names in {path}, got an empty file")
    if all(_begins_with_id(line) for line in lines):
        return {line.split(maxsplit=1)[0]: line.split(maxsplit=1)[1] for line in lines}
    return {str(number): line for number, line in enumerate(lines)}


def _begins_with_id(line: str) -> bool:
    """Whether a line is a WordNet id or a number, and then a name."""
    first, *rest = line.split(maxsplit=1)
    return bool(rest) and (first.isdigit() or (first[0] == "n" and first[1:].isdigit()))
