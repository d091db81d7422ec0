"""What is accepted, on disk: with an object made up, so that no model is loaded."""

import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from ovsam.errors import ConfigError
from ovsam.masks import encode_mask
from ovsam.text.vocabulary import Vocabulary
from ovsam_pipeline.errors import OutputLockedError
from ovsam_pipeline.export.coco import export_coco
from ovsam_pipeline.output.folder import OutputFolder, iterate_rows, list_parts, read_run_file
from ovsam_pipeline.output.reviews import append_answers, read_answers
from ovsam_pipeline.records import BoxRecord, ImageRecord, ObjectRecord
from ovsam_pipeline.storage.remote_path import parse_path
from ovsam_pipeline.ui.demo.accepted import AcceptedObjects, ChangedError, add_classes

NAMES = Vocabulary(["cat", "dog"], category_ids=[7, 9])


def make_image(warning=None, phash=None):
    """What the output reads of an opened image."""
    return SimpleNamespace(size_hw=(40, 60), phash=phash, warning=warning)


def make_object(left=2, name="cat", side=10):
    mask = np.zeros((40, 60), bool)
    mask[5 : 5 + side, left : left + side] = True
    box = (float(left), 5.0, float(side), float(side))
    prompt = BoxRecord((left, 5.0, left + side, 5.0 + side), 1.0)
    return ObjectRecord(
        prompt, box, 0, name or "", 0.6, 0.2, 0.9, side * side, encode_mask(mask), name, 0.6
    )


@pytest.fixture
def record(tmp_path):
    file = tmp_path / "photos" / "a.png"
    file.parent.mkdir()
    file.write_bytes(b"1234")
    state = file.stat()
    return ImageRecord(5, "a.png", file, 4, state.st_mtime_ns, source=str(file.parent))


def begin(path, vocabulary=NAMES):
    accepted = AcceptedObjects(path, "ann", lambda: {"settings": {"sources": ["photos"]}})
    accepted.set_vocabulary(vocabulary)
    return accepted


def test_nothing_is_written_before_something_is_accepted(tmp_path):
    accepted = begin(tmp_path / "out")
    accepted.close()
    assert accepted.describe() == ["nothing was accepted, and nothing is kept"]
    assert not (tmp_path / "out").exists()


def test_accepted_object_is_a_row_and_an_answer(tmp_path, record):
    out = tmp_path / "out"
    accepted = begin(out)
    accepted.accept(record, make_image(), make_object(), "cat")
    accepted.accept(record, make_image(), make_object(left=30), "a widget")
    [row] = iterate_rows(out)
    assert (row["image_id"], row["file_name"], row["status"]) == (5, "a.png", "labelled")
    # The row says what the model said, the answer what the person said.
    assert [item["category"] for item in row["objects"]] == ["cat", "cat"]
    assert [answer.verdict for answer in read_answers(out)] == ["accepted", "renamed"]
    assert [answer.by for answer in read_answers(out)] == ["ann", "ann"]
    accepted.close()
    data = json.loads((out / "annotations.json").read_text())
    names = {item["id"]: item["name"] for item in data["categories"]}
    assert names == {7: "cat", 9: "dog", 10: "a widget"}
    assert sorted(names[item["category_id"]] for item in data["annotations"]) == ["a widget", "cat"]
    assert read_run_file(out)["state"] == "finished"
    assert accepted.describe() == [
        f"2 objects are kept, in 1 image: {out}",
        f"next: ovsam view {out}, or ovsam export {out} --format yolo",
    ]


def test_later_demo_goes_on(tmp_path, record):
    out = tmp_path / "out"
    first = begin(out)
    first.accept(record, make_image(), make_object(), "a widget")
    first.close()
    with_others = Vocabulary(["bird", "a widget"], category_ids=[7, 10])
    second = begin(out, with_others)
    [drawn] = second.draw(record, make_image())
    assert (drawn["category"], drawn["verdict"]) == ("a widget", "renamed")
    second.accept(record, make_image(), make_object(left=30, name="bird"), "bird")
    second.close()
    categories = {item["name"]: item["id"] for item in read_run_file(out)["categories"]}
    # Names of objects keep their ids; the new list's give way.
    assert (categories["cat"], categories["a widget"]) == (7, 10)
    assert categories["bird"] not in (7, 10)
    assert len(read_run_file(out)["sessions"]) == 2
    assert len(list_parts(out)) == 1


def test_same_object_again_replaces_it(tmp_path, record):
    accepted = begin(tmp_path / "out")
    accepted.accept(record, make_image(), make_object(), "cat")
    accepted.accept(record, make_image(), make_object(side=11), "dog")
    [drawn] = accepted.draw(record, make_image())
    assert (drawn["category"], drawn["bbox"][2]) == ("dog", 11)
    [row] = iterate_rows(tmp_path / "out")
    assert [item["area"] for item in row["objects"]] == [121]
    accepted.close()


def test_rename_and_withdraw(tmp_path, record):
    out = tmp_path / "out"
    accepted = begin(out)
    accepted.accept(record, make_image(), make_object(), "cat")
    [drawn] = accepted.draw(record, make_image())
    accepted.rename(record, make_image(), 0, drawn["key"], "dog")
    [drawn] = accepted.draw(record, make_image())
    assert (drawn["category"], drawn["verdict"]) == ("dog", "renamed")
    accepted.rename(record, make_image(), 0, drawn["key"], "cat")
    assert accepted.draw(record, make_image())[0]["verdict"] == "accepted"
    with pytest.raises(ChangedError, match="not there any more"):
        accepted.withdraw(record, make_image(), 0, "no such key")
    with pytest.raises(ChangedError):
        accepted.withdraw(record, make_image(), 4, drawn["key"])
    accepted.withdraw(record, make_image(), 0, drawn["key"])
    assert accepted.draw(record, make_image()) == []
    assert list(iterate_rows(out)) == []
    accepted.accept(record, make_image(), make_object(), "cat")
    assert len(accepted.draw(record, make_image())) == 1
    accepted.close()


def test_what_somebody_else_accepted_is_contradicted_and_stays_in_the_file(tmp_path, record):
    out = tmp_path / "out"
    accepted = begin(out)
    accepted.accept(record, make_image(), make_object(), "cat")
    accepted.close()
    [given] = read_answers(out)
    append_answers(out, [replace(given, by="bob")])
    accepted = begin(out)
    [drawn] = accepted.draw(record, make_image())
    accepted.withdraw(record, make_image(), 0, drawn["key"])
    accepted.close()
    answers = read_answers(out)
    assert [one.verdict for one in answers] == ["rejected"]
    assert (answers.lines, answers.withdrawn) == (3, 0)


def test_model_without_names(tmp_path, record):
    accepted = begin(tmp_path / "out", None)
    accepted.accept(record, make_image(), make_object(name=None), "a mug")
    [row] = iterate_rows(tmp_path / "out")
    assert row["objects"][0]["category"] == "a mug"
    [answer] = read_answers(tmp_path / "out")
    assert answer.verdict == "added"
    assert len(accepted.draw(record, make_image())) == 1
    accepted.close()


def test_picture_that_changed_has_one_row(tmp_path, record):
    out = tmp_path / "out"
    accepted = begin(out)
    accepted.accept(record, make_image(), make_object(), "cat")
    newer = ImageRecord(5, "a.png", record.path, 4, record.mtime_ns + 1, source=record.source)
    accepted.accept(newer, make_image(), make_object(left=30), "cat")
    accepted.close()
    [row] = iterate_rows(out)
    assert len(row["objects"]) == 2


def test_other_picture_of_the_same_name_gets_none_of_its_objects(tmp_path, record):
    """What was accepted on the first one stays as an answer, and is in no export."""
    first = make_image(phash=(0x0F0F0F0F0F0F0F0F, ""))
    second = make_image(phash=(0x7FFFFFFF00000000, ""))
    accepted = begin(tmp_path / "out")
    accepted.accept(record, first, make_object(), "cat")
    assert accepted.draw(record, second) == []
    accepted.accept(record, second, make_object(left=30), "dog")
    accepted.close()
    [row] = iterate_rows(tmp_path / "out")
    assert [item["bbox"][0] for item in row["objects"]] == [30]
    assert len(read_answers(tmp_path / "out").by_image["a.png"]) == 2


def test_two_at_once(tmp_path, record):
    out = tmp_path / "out"
    accepted = begin(out)
    accepted.accept(record, make_image(), make_object(), "cat")
    with pytest.raises(OutputLockedError, match="is being written by process"):
        begin(out)
    with pytest.raises(OutputLockedError):
        OutputFolder(out)
    accepted.close()
    begin(out).close()


def test_killed_process_loses_nothing(tmp_path, record):
    """A child accepts an object and is killed without a chance to clean up."""
    out = tmp_path / "out"
    code = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1]); import pathlib\n"
        "from test_accepted import *\n"
        "file = pathlib.Path(sys.argv[3]); record = ImageRecord(5, 'a.png', file, 4, 0)\n"
        "accepted = begin(pathlib.Path(sys.argv[2]))\n"
        "accepted.accept(record, make_image(), make_object(), 'a widget')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    here = str(__import__("pathlib").Path(__file__).parent)
    command = [sys.executable, "-c", code, here, str(out), str(record.path)]
    assert subprocess.run(command, check=False).returncode == -9
    [row] = iterate_rows(out)
    assert len(row["objects"]) == 1
    export_coco(out, tmp_path / "coco.json")
    assert len(json.loads((tmp_path / "coco.json").read_text())["annotations"]) == 1
    again = begin(out)
    assert again.draw(record, make_image())[0]["category"] == "a widget"
    again.close()


def test_answer_without_its_row_is_kept(tmp_path, record, monkeypatch):
    """Killed between the two writes."""
    out = tmp_path / "out"
    accepted = begin(out)
    accepted.accept(record, make_image(), make_object(), "cat")
    monkeypatch.setattr(accepted, "_write_row", lambda *_: None)
    accepted.accept(record, make_image(), make_object(left=30), "dog")
    monkeypatch.undo()
    accepted.close()
    data = json.loads((out / "annotations.json").read_text())
    assert len(data["annotations"]) == 2


def test_store(s3, record):
    out = parse_path(f"{s3.uri}/out")
    accepted = begin(out)
    accepted.accept(record, make_image(), make_object(), "cat")
    [drawn] = accepted.draw(record, make_image())
    with pytest.raises(OutputLockedError):
        begin(out)
    accepted.rename(record, make_image(), 0, drawn["key"], "dog")
    accepted.close()
    [row] = iterate_rows(out)
    assert len(row["objects"]) == 1
    assert (
        json.loads((out / "annotations.json").read_text())["annotations"][0]["reviewed_by"] == "ann"
    )


def test_boxes_are_refused(tmp_path, record):
    out = tmp_path / "out"
    with OutputFolder(out) as folder:
        folder.write_run_file({"ovsam": "0.1.0", "task": "detect", "fingerprint": "f"})
    with pytest.raises(ConfigError, match="holds boxes of `ovsam detect`"):
        begin(out)


def test_files_of_others_are_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "annotations.json").write_text("{}")
    with pytest.raises(ConfigError, match="that ovsam did not write"):
        begin(tmp_path / "out")


def test_classes_of_a_new_list_give_way_to_used_ids():
    kept = [{"id": 3, "name": "mug"}]
    found = add_classes(kept, Vocabulary(["mug", "cup", "jug"], category_ids=[1, 3, 4]))
    assert found == [{"id": 3, "name": "mug"}, {"id": 5, "name": "cup"}, {"id": 4, "name": "jug"}]
