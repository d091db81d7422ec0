"""Lines of source per package and kind: code, docstring, comment, blank.

    python benchmarks/source_lines.py                  # this checkout
    python benchmarks/source_lines.py --before COMMIT  # beside another commit

A line counts as docstring where a docstring covers it, as comment where nothing but a comment is
on it. Comments behind code count as code.
"""

import argparse
import ast
import io
import subprocess
import tokenize
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("code", "docstring", "comment", "blank")


def count_kinds(text: str) -> Counter[str]:
    """Return the number of lines per kind of one file."""
    docstring: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                docstring |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    comment = {
        token.start[0]
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT and token.line.strip().startswith("#")
    }
    kinds: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), 1):
        if number in docstring:
            kinds["docstring"] += 1
        elif number in comment:
            kinds["comment"] += 1
        else:
            kinds["code" if line.strip() else "blank"] += 1
    return kinds


def name_package(path: str) -> str:
    """Return `ovsam`, `ovsam/text`, …: the first two folders of a file."""
    return "/".join(Path(path).parent.parts[:2])


def read_files(commit: str | None) -> dict[str, str]:
    """Return the Python sources of both packages, of the working tree or of a commit."""
    if commit is None:
        listed = subprocess.check_output(["git", "ls-files", "*.py"], cwd=ROOT, text=True)
        read = lambda name: (ROOT / name).read_text(encoding="utf-8")  # noqa: E731
    else:
        listed = subprocess.check_output(
            ["git", "ls-tree", "-r", "--name-only", commit], cwd=ROOT, text=True
        )
        read = lambda name: subprocess.check_output(  # noqa: E731
            ["git", "show", f"{commit}:{name}"], cwd=ROOT, text=True
        )
    names = [n for n in listed.split() if n.endswith(".py") and n.split("/")[0].startswith("ovsam")]
    return {name: read(name) for name in names if commit or (ROOT / name).exists()}


def count_packages(files: dict[str, str]) -> dict[str, Counter[str]]:
    """Return files and lines per kind of every package."""
    packages: dict[str, Counter[str]] = {}
    for name, text in files.items():
        counts = packages.setdefault(name_package(name), Counter())
        counts.update(count_kinds(text))
        counts["files"] += 1
    return packages


def print_table(title: str, packages: dict[str, Counter[str]]) -> None:
    """Print a Markdown table with a line per package and a total."""
    print(f"\n{title}\n")
    print("| package | files | code | docstring | comment | blank | lines |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    total: Counter[str] = Counter()
    for counts in packages.values():
        total.update(counts)
    for name, counts in [*sorted(packages.items()), ("**all**", total)]:
        cells = [counts["files"], *(counts[kind] for kind in KINDS)]
        lines = sum(counts[kind] for kind in KINDS)
        print(f"| {name} | " + " | ".join(f"{cell:,}" for cell in [*cells, lines]) + " |")


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", help="a commit to count, too")
    arguments = parser.parse_args()
    if arguments.before:
        print_table(f"before: {arguments.before}", count_packages(read_files(arguments.before)))
    print_table("this checkout", count_packages(read_files(None)))


if __name__ == "__main__":
    main()
