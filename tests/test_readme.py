"""What the README shows in Python runs as it stands there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_python_example_names_the_cat(monkeypatch, capsys) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code
    monkeypatch.chdir(ROOT)
    exec(compile(code.group(1), "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("cat ")
    assert "(1, 300, 451)" in printed
