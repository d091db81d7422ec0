import json

import pytest
from seven_masks import make_seven_masks, write_seven_masks

from ovsam.errors import ConfigError
from ovsam.examples.references import read_references
from ovsam.masks import encode_mask
from ovsam_pipeline.export.examples import write_examples
from ovsam_pipeline.output.reviews import Answer, append_answers


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("OVSAM_HOME", str(tmp_path / "home"))


def write_reviewed(folder):
    """Seven masks, of which a person saw three: one is renamed, one is right, one is no object."""
    output = write_seven_masks(folder)
    masks = {name: encode_mask(mask) for name, mask in make_seven_masks().items()}

    def answer(name, category):
        mask = masks[name]
        own = None if category is None else mask
        return Answer("a.png", category, own, mask, "me", "2026-11-29T00:00:00Z")

    append_answers(output, [answer("solid", "ring"), answer("donut", "donut")])
    return output, masks


def write(output, target, per_class=10, **more):
    return write_examples(output, target, per_class, sources=(), overwrite=False, **more)


def test_checked_objects_become_references_that_can_be_read(tmp_path):
    output, masks = write_reviewed(tmp_path)
    target = tmp_path / "refs.json"
    summary, counts = write(output, target)
    assert counts == {"donut": 1, "ring": 1}
    assert (summary.images, summary.objects) == (1, 2)
    found = read_references(target)
    assert [item.name for item in found.classes] == ["donut", "ring"]
    assert {example.mask["counts"] for example in found.examples} == {
        masks["solid"]["counts"],
        masks["donut"]["counts"],
    }
    assert found.pictures == (tmp_path / "refs" / "a.png",)


def test_labels_that_nobody_checked_are_no_examples(tmp_path):
    output = write_seven_masks(tmp_path)
    with pytest.raises(ConfigError, match="that people checked, got none"):
        write(output, tmp_path / "refs.json")
    assert not (tmp_path / "refs").exists()


def test_at_most_so_many_of_a_class_are_taken(tmp_path):
    output, masks = write_reviewed(tmp_path)
    mask = masks["solid"]
    append_answers(output, [Answer("a.png", "donut", mask, mask, "me", "2026-11-29T01:00:00Z")])
    _, counts = write(output, tmp_path / "refs.json", per_class=1)
    assert counts == {"donut": 1}


def test_nothing_of_the_users_is_replaced(tmp_path):
    output, _ = write_reviewed(tmp_path)
    with pytest.raises(ConfigError, match=r"expected -o as a new \.json file"):
        write(output, tmp_path / "refs")
    (tmp_path / "refs.json").write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        write(output, tmp_path / "refs.json")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds 'mine\.txt'"):
        write(output, tmp_path / "other.json")


def test_a_second_time_the_same_examples_are_written(tmp_path):
    output, _ = write_reviewed(tmp_path)
    write(output, tmp_path / "refs.json")
    first = json.loads((tmp_path / "refs.json").read_text())
    write_examples(output, tmp_path / "refs.json", 10, sources=(), overwrite=True)
    assert json.loads((tmp_path / "refs.json").read_text()) == first
