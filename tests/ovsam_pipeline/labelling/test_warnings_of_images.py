"""What is not quite right with an image reaches its row, the counts, and what people see."""

import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from fake_labeller import make_labeller
from PIL import Image
from typer.testing import CliRunner

from ovsam_pipeline.commands.contents import app
from ovsam_pipeline.commands.label import format_result
from ovsam_pipeline.outcomes import Tally
from ovsam_pipeline.output.parts import tally_part
from ovsam_pipeline.runs import api

WARNING = "incomplete JPEG: 48 of 48 rows are whole"


@pytest.fixture
def result(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG")
    (tmp_path / "in" / "a.jpg").write_bytes(content.getvalue()[:-2])
    (tmp_path / "in" / "b.jpg").write_bytes(content.getvalue())
    monkeypatch.setattr(
        "ovsam_pipeline.labelling.build.build_labeller", lambda config, _: make_labeller(config)
    )
    return api.label(str(tmp_path / "in"), output=str(tmp_path / "out"))


def test_the_row_of_an_incomplete_image_says_so(result):
    (part,) = (result.output / "parts").glob("*.parquet")
    rows = {row["file_name"]: row for row in pq.read_table(part).to_pylist()}
    assert rows["a.jpg"]["warning"] == WARNING
    assert rows["a.jpg"]["error"] is None
    assert rows["b.jpg"]["warning"] is None
    assert tally_part(part).warnings.to_counts() == {WARNING: 1}


def test_incomplete_images_are_counted_wherever_a_run_is_described(result):
    counted = {WARNING: 1}
    assert result.summary.warnings == counted
    assert result.exit_code == 0
    assert json.loads((result.output / "run.json").read_text())["run"]["warnings"] == counted
    assert f"  1 read with a warning: {WARNING} (a.jpg)" in format_result(result)
    shown = CliRunner().invoke(app, ["report", str(result.output)])
    assert "read with a warning:\n        1  incomplete JPEG" in shown.output


def test_tallies_add_their_warnings():
    first, second = Tally(), Tally()
    first.count("empty", 0, None, "lacks 3 rows")
    second.count("labelled", 1, None, "lacks 4 rows")
    first.merge(second)
    assert first.warnings.to_counts() == {"lacks 3 rows": 2}
