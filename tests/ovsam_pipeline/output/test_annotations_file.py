"""What somebody corrected in annotations.json is never overwritten."""

import io
import json

import pytest
from fake_labeller import make_labeller, write_images
from typer.testing import CliRunner

import ovsam_pipeline
from ovsam_pipeline.commands.contents import app
from ovsam_pipeline.commands.label import format_result
from ovsam_pipeline.labelling import build as builders
from ovsam_pipeline.output.annotations_file import SealedStream, choose_annotations, is_as_written


@pytest.fixture
def sealed(tmp_path):
    with (tmp_path / "a.json").open("wb") as file:
        stream = SealedStream(file)
        stream.write(b'{"images":[1')
        stream.write(memoryview(b",2]"))
        stream.seal()
    return tmp_path / "a.json"


def test_a_sealed_file_is_json_and_known_again(sealed):
    assert json.loads(sealed.read_text())["images"] == [1, 2]
    assert is_as_written(sealed)


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("1,2", "1,3"),
        lambda text: text.replace("1,2", "1"),
        lambda text: json.dumps(json.loads(text)),
        lambda text: json.dumps({"images": [1, 2]}),
        lambda text: text + " ",
        lambda text: text[: len(text) // 2],
        lambda _: "",
    ],
    ids=["same length", "shorter", "saved anew", "without the seal", "longer", "cut", "empty"],
)
def test_an_edited_file_is_not(sealed, edit):
    sealed.write_text(edit(sealed.read_text()))
    assert not is_as_written(sealed)


def test_a_file_that_is_not_there_is_not_as_written(tmp_path):
    assert not is_as_written(tmp_path / "a.json")
    assert choose_annotations(tmp_path) == tmp_path / "annotations.json"


@pytest.fixture
def labelled(tmp_path, monkeypatch):
    """An output of two images, and what labels its source again."""
    monkeypatch.setattr(builders, "build_labeller", make_labeller)
    write_images(tmp_path / "images", 2)

    def label(**settings):
        return ovsam_pipeline.label(tmp_path / "images", output=tmp_path / "out", **settings)

    label()
    return tmp_path / "out", label


def add_image(out):
    (out.parent / "images" / "new.png").write_bytes(
        (out.parent / "images" / "0000.png").read_bytes()
    )


def test_corrections_survive_the_next_runs(labelled):
    out, label = labelled
    path = out / "annotations.json"
    corrected = path.read_text().replace('"cat"', '"cow"')
    path.write_text(corrected)
    add_image(out)
    result = label()
    assert path.read_text() == corrected
    assert result.annotations == out / "annotations.ovsam.json"
    assert len(json.loads(result.annotations.read_text())["images"]) == 3
    line = f"  COCO: {result.annotations} ({path} was edited, and stays as it is)"
    assert line in format_result(result)
    # Neither a run with nothing to do, nor an export, nor labelling all anew takes it.
    assert label().annotations == result.annotations
    shown = CliRunner().invoke(app, ["export", str(out)])
    assert f"{result.annotations}: 3 images" in shown.output.replace("\n", "")
    label(on_existing="overwrite")
    assert path.read_text() == corrected
    # Once it was moved away, all is as before.
    path.rename(out / "mine.json")
    label()
    assert is_as_written(path)
    assert not result.annotations.exists()


def test_an_untouched_file_follows_the_rows(labelled):
    out, label = labelled
    before = (out / "annotations.json").stat().st_mtime_ns
    assert label().annotations == out / "annotations.json"
    assert (out / "annotations.json").stat().st_mtime_ns == before
    add_image(out)
    assert len(json.loads(label().annotations.read_text())["images"]) == 3
    assert not (out / "annotations.ovsam.json").exists()


def test_pieces_are_counted_in_bytes():
    file = io.BytesIO()
    stream = SealedStream(file)
    stream.write('{"é":1'.encode())
    stream.seal()
    assert json.loads(file.getvalue())["ovsam"]["bytes"] == 7
