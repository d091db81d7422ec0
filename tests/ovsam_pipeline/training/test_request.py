from pathlib import Path

import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.training.request import StageRequest


@pytest.mark.parametrize(
    ("stage", "given", "message"),
    [
        ("masks", {}, "`ovsam train masks` needs --config FILE"),
        ("masks", {"config": "gone.yaml"}, "no config file .gone.yaml"),
        ("masks", {"config": "list.yaml"}, "expected a mapping in list.yaml"),
        ("masks", {"config": "a.yaml"}, "needs --init once, got 0"),
        ("distil", {"config": "a.yaml"}, "needs --data"),
        ("merge", {"init": ("nano",)}, "needs --init twice, got 1"),
        ("masks", {"config": "a.yaml", "init": ("gone",)}, "no folder or file at gone; .* a stage"),
        (
            "masks",
            {"config": "a.yaml", "init": ("nano",), "data": "gone.json"},
            "--data: no such file or folder: gone.json",
        ),
        (
            "check",
            {"data": "a.yaml", "images": "gone"},
            "--images: no such file or folder: gone",
        ),
    ],
)
def test_request_that_cannot_work_is_refused_before_anything_is_loaded(
    stage, given, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("loop: {steps: 1}\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    paths = {name: Path(value) for name, value in given.items() if isinstance(value, str)}
    init = tuple(map(Path, given.get("init", ())))
    with pytest.raises(ConfigError, match=message):
        StageRequest(stage=stage, out=Path("out"), **paths, init=init).check()


def test_check_of_data_needs_no_settings(tmp_path):
    StageRequest(stage="check", out=Path(), data=tmp_path).check()
