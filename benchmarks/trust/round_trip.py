"""The table "opens in" of docs/exports.md: what real readers make of the 7 masks, format by format.

    OVSAM_CONSUMERS=FOLDER python benchmarks/trust/round_trip.py [--only FORMAT,…]

Writes the 7 masks of tests/doubles/seven_masks.py with `ovsam export`, reads them with the tools
of tests/consumers (each installed once by pip, below OVSAM_CONSUMERS or the cache; a reader that
pip cannot install is left out and named), and prints the IoU of each mask as a table in Markdown.
Nothing in it is random: 1 is perfect, and what a reader loses is the same each time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

TESTS = Path(__file__).parents[2] / "tests"
sys.path += [str(TESTS / "doubles"), str(TESTS / "consumers")]

import test_editors  # noqa: E402
import test_training_readers  # noqa: E402
from reader_environments import NoIndexError, run_reader  # noqa: E402
from seven_masks import make_seven_masks, write_seven_masks  # noqa: E402

from ovsam.masks import decode_mask  # noqa: E402

_VERSION = "import json, importlib.metadata as m; print(json.dumps(m.version('{}')))"
# Format and flags, ending of the target, packages, script, a further argument.
READERS = [
    *((kind, suffix, packages, script, "") for kind, suffix, packages, script, _ in
      test_training_readers.READERS),
    *((kind, "", packages, script, name) for kind, packages, script, name in test_editors.READERS),
]  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="formats")
    only = parser.parse_args().only
    masks = make_seven_masks()
    print(f"ovsam {version('ovsam')}\n")
    print(f"| `--format` | opens in | {' | '.join(masks)} |")
    print(f"| --- | --- |{' --- |' * len(masks)}")
    for kind, suffix, packages, script, argument in READERS:
        if only and kind.split()[0] not in only.split(","):
            continue
        reader = packages.split()[0]
        try:
            ious = measure(kind, suffix, packages, script, argument)
            name = f"{reader} {run_reader(packages, _VERSION.format(reader))}"
        except NoIndexError as error:
            print(f"{kind} by {reader}: {error}", file=sys.stderr)
            continue
        print(f"| `{kind}` | {name} | {' | '.join(ious)} |", flush=True)


def measure(kind: str, suffix: str, packages: str, script: str, argument: str) -> list[str]:
    """Return the IoU of each mask after the way there and back, as text."""
    with tempfile.TemporaryDirectory() as folder:
        output, target = write_seven_masks(Path(folder)), Path(folder, f"export{suffix}")
        command = [sys.executable, "-m", "ovsam", "export", output, "--to", target, "--format"]
        subprocess.run([*command, *kind.split()], check=True, capture_output=True)
        found = run_reader(packages, script, target, *([argument] if argument else []))
    return [compare(mask, found.get(name, [])) for name, mask in make_seven_masks().items()]


def compare(mask: object, found: list[list[str]]) -> str:
    """Return the IoU of the one mask that came back; how many where it is not one."""
    if len(found) != 1:
        return f"{len(found)} objects"
    drawn = decode_mask({"size": list(mask.shape), "counts": found[0][0]}, *mask.shape) > 0
    iou = (drawn & mask).sum() / (drawn | mask).sum()
    return "1" if iou == 1 else f"{iou:.3f}".lstrip("0")


if __name__ == "__main__":
    main()
