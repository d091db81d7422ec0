import json

import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reporting.several import read_several
from ovsam_pipeline.evaluation.reporting.tables import UNDEFINED


def write(folder, *, images=3, limit=None, **metrics):
    folder.mkdir()
    dataset = {"name": "scenes", "style": "coco", "images": images}
    dataset |= {"annotations_count": 9, "categories": 2}
    values = {"dataset": dataset, "protocol": {"limit": limit}, "metrics": metrics}
    (folder / "metrics.json").write_text(json.dumps(values))
    return str(folder)


def test_a_run_is_a_row_in_percent(tmp_path):
    one = write(tmp_path / "a", segm={"AP": 0.5, "AP50": 0.75, "APs": -1}, bbox={"AP": -1})
    two = write(tmp_path / "b", segm={"AP": 0.25}, instances={"accuracy": 1.0})
    found = read_several([one, f"{two}/metrics.json"])
    header, first, second = (line.split() for line in found.format())
    assert header == ["run", "images", "instances", "accuracy", "segm", "AP", "segm", "AP50"]
    assert first[1:] == ["3", UNDEFINED, "50.0", "75.0"]
    assert second[1:] == ["3", "100.0", "25.0", UNDEFINED]
    assert found.to_dict()["runs"][0]["metrics"]["segm"]["AP"] == 0.5


def test_a_run_of_other_data_gets_a_note(tmp_path):
    runs = [write(tmp_path / "a", segm={"AP": 0.5}), write(tmp_path / "b", images=2, limit=2)]
    (*_, note) = read_several(runs).format()
    assert note.startswith(f"note: {runs[1]} is not to be compared with {runs[0]}: --limit was")


def test_what_is_no_evaluation_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"cannot read .*metrics\.json as metrics\.json of"):
        read_several([str(tmp_path)])
    with pytest.raises(ConfigError, match="expected folders of ovsam eval, got none"):
        read_several([])
