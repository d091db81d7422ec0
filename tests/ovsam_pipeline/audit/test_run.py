import json

import pytest
from audit_example import (
    ANNOTATIONS,
    ASKED,
    BIRD,
    CAT,
    DOG,
    FOUND,
    draw,
    make_annotation,
    make_data,
    write_asked,
    write_data,
    write_found,
)

from ovsam.errors import ConfigError
from ovsam_pipeline.audit.run import audit
from ovsam_pipeline.errors import DatasetError


def run(folder, data=None, *, found=None, asked=None, with_asked=True, **settings):
    """Audit the example; return its findings, by annotation id (a list at None)."""
    path = write_data(folder, data)
    given = {"predictions": write_found(folder, found)}
    if with_asked:
        given["asked"] = write_asked(folder, asked)
    result = audit(path, output=folder / "audit", **given, **settings)
    lines = (result.output / "findings.jsonl").read_text().splitlines()
    return result, [json.loads(line) for line in lines]


def by_annotation(findings):
    return {line["annotation_id"]: line for line in findings}


def test_each_error_is_found_with_its_kind(tmp_path) -> None:
    result, findings = run(tmp_path)
    kinds = {number: line["kind"] for number, line in by_annotation(findings).items()}
    expected = {2: "box", 3: "unsupported", 4: "swapped", 5: "swapped", 6: "name", None: "missing"}
    assert kinds == expected
    assert [line["rank"] for line in findings] == list(range(1, 7))
    suspicions = [line["suspicion"] for line in findings]
    assert suspicions == sorted(suspicions, reverse=True)
    assert all(0 <= value <= 1 for value in suspicions)
    assert result.exit_code == 0


def test_suggestions_say_what_should_be_there(tmp_path) -> None:
    _, findings = run(tmp_path)
    found = by_annotation(findings)
    assert found[2]["suggestion"]["bbox"] == [62, 62, 30, 30]
    assert found[3]["suggestion"] is None
    assert (found[4]["suggestion"]["category"], found[4]["partner_annotation_id"]) == ("dog", 5)
    assert found[6]["suggestion"]["category_id"] == CAT
    missing = found[None]["suggestion"]
    assert (missing["category_id"], missing["bbox"]) == (BIRD, [70, 5, 20, 20])
    assert missing["segmentation"]["size"] == [100, 100]


def test_every_reason_names_what_was_measured(tmp_path) -> None:
    _, findings = run(tmp_path)
    reasons = {number: line["reason"] for number, line in by_annotation(findings).items()}
    assert reasons[2] == "we see dog (0.95) here; the boxes overlap by 0.22"
    assert "our detector finds nothing like it" in reasons[3]
    assert "annotation 5" in reasons[4]
    assert reasons[6] == "asked about this box, we call it cat (0.90); its name gets 0.1 %"
    assert reasons[None] == "we see bird (0.95), and nothing is annotated there"


def test_without_asking_the_found_objects_speak_alone(tmp_path) -> None:
    _, findings = run(tmp_path, with_asked=False, least=0.05)
    kinds = {number: line["kind"] for number, line in by_annotation(findings).items()}
    assert kinds[3] == "unsupported"
    assert kinds[6] == "name"
    assert kinds[4] == "swapped"


def test_least_zero_lists_every_annotation_and_the_right_ones_last(tmp_path) -> None:
    _, findings = run(tmp_path, least=0)
    listed = [line["annotation_id"] for line in findings if line["annotation_id"] is not None]
    assert sorted(listed) == sorted(ANNOTATIONS)
    assert set(listed[-2:]) == {1, 7}


def test_piles_are_coco_files_of_what_should_be_there(tmp_path) -> None:
    result, _ = run(tmp_path)
    names = {path.name for path in result.output.glob("*.json")}
    assert names == {"more.json", "fewer.json", "different.json", "names.json", "summary.json"}
    more = json.loads((result.output / "more.json").read_text())
    (item,) = more["annotations"]
    assert (item["id"], item["image_id"], item["category_id"], item["area"]) == (1, 10, BIRD, 400)
    assert item["kind"] == "missing"
    assert item["annotation_id"] is None
    assert [image["file_name"] for image in more["images"]] == ["10.png"]
    fewer = json.loads((result.output / "fewer.json").read_text())
    assert [(i["annotation_id"], i["bbox"]) for i in fewer["annotations"]] == [(3, [5, 70, 15, 15])]


def test_images_are_ranked(tmp_path) -> None:
    result, _ = run(tmp_path)
    lines = [json.loads(t) for t in (result.output / "images.jsonl").read_text().splitlines()]
    assert [(line["image_id"], line["findings"]) for line in lines] == [(20, 3), (10, 3)]


def test_the_data_set_is_not_touched_and_a_corrected_copy_is(tmp_path) -> None:
    before = json.dumps(make_data())
    result, _ = run(tmp_path, corrected=tmp_path / "new.json", correct_from=0.1)
    assert (tmp_path / "data.json").read_text() == before
    new = json.loads((tmp_path / "new.json").read_text())
    items = {item["id"]: item for item in new["annotations"]}
    assert result.summary["corrections"] == {"added": 1, "removed": 1, "changed": 4}
    assert items[1] == make_annotation(1)
    assert items[2]["bbox"] == [62, 62, 30, 30]
    assert items[2]["note"] == "kept"
    assert items[2]["area"] == 900
    assert not any("segmentation" in item for item in items.values())
    assert 3 not in items
    assert (items[4]["category_id"], items[5]["category_id"]) == (DOG, CAT)
    assert (items[8]["category_id"], items[8]["image_id"]) == (BIRD, 10)
    assert new["info"] == {"year": 2026}
    assert list(new) == list(make_data())


def test_a_corrected_copy_changes_nothing_without_sure_findings(tmp_path) -> None:
    run(tmp_path, corrected=tmp_path / "new.json", correct_from=1)
    assert json.loads((tmp_path / "new.json").read_text()) == make_data()


def test_annotations_that_contradict_themselves_are_told(tmp_path) -> None:
    ring = [40, 40, 60, 40, 60, 60, 40, 60]
    odd = {
        1: {"segmentation": [ring]},
        3: {"bbox": [5, 70, 0, 15]},
        6: {"bbox": [90, 10, 40, 20]},
        7: {"id": 70, "bbox": [10, 10, 30, 30]},
    }
    items = [make_annotation(n, **odd.get(n, {})) for n in ANNOTATIONS] + [make_annotation(7)]
    _, findings = run(tmp_path, make_data(annotations=items), with_asked=False)
    kinds = {number: line["kind"] for number, line in by_annotation(findings).items()}
    assert kinds[1] == "contradiction"
    assert kinds[3] == "empty"
    assert kinds[7] == "duplicate"
    assert {kinds[6], *by_annotation(findings)[6].get("also", ())} >= {"outside"}


def test_crowds_and_images_without_labels_have_no_findings(tmp_path) -> None:
    items = [make_annotation(3, iscrowd=1), make_annotation(1)]
    extra = {"id": 40, "file_name": "40.png", "width": 100, "height": 100}
    data = make_data(annotations=[*items, {**make_annotation(7), "id": 8, "image_id": 40}])
    data["images"].append(extra)
    result, findings = run(tmp_path, data, with_asked=False)
    assert not {3, 8} & set(by_annotation(findings))
    assert (result.summary["images"], result.summary["images_compared"]) == (4, 3)


def test_an_object_within_a_crowd_is_not_missing(tmp_path) -> None:
    crowd = {**make_annotation(1, iscrowd=1), "id": 9, "bbox": [65, 0, 35, 40]}
    data = make_data()
    data["annotations"].append(crowd)
    _, findings = run(tmp_path, data)
    assert None not in by_annotation(findings)


def test_lvis_images_lack_only_classes_that_they_are_annotated_for(tmp_path) -> None:
    data = make_data()
    for image in data["images"]:
        image["neg_category_ids"], image["not_exhaustive_category_ids"] = [], []
    _, findings = run(tmp_path, data)
    assert None not in by_annotation(findings)
    (tmp_path / "b").mkdir()
    data["images"][0]["neg_category_ids"] = [BIRD]
    _, findings = run(tmp_path / "b", data)
    assert by_annotation(findings)[None]["suggestion"]["category"] == "bird"


def test_the_same_object_found_twice_is_missing_once(tmp_path) -> None:
    twice = [*FOUND, (10, BIRD, [71, 5, 20, 20], 0.9)]
    _, findings = run(tmp_path, found=twice)
    assert [line["annotation_id"] for line in findings].count(None) == 1


def test_labels_of_other_boxes_are_refused(tmp_path) -> None:
    others = {number: ASKED[number] for number in (1, 2)}
    data = make_data(annotations=[make_annotation(7)])
    with pytest.raises(DatasetError, match=r"expected labels of the annotated boxes .*gt:"):
        run(tmp_path, data, asked=others)


def test_a_results_file_is_no_opinion_on_boxes(tmp_path) -> None:
    results = tmp_path / "results.json"
    item = {"image_id": 10, "category_id": CAT, "bbox": [10, 10, 20, 20], "score": 0.9}
    results.write_text(json.dumps([{**item, "annotation_id": 1}]))
    given = {"predictions": write_found(tmp_path), "asked": results}
    with pytest.raises(DatasetError, match="expected --asked to be an output folder"):
        audit(write_data(tmp_path), output=tmp_path / "audit", **given)


def test_a_results_file_is_what_was_found(tmp_path) -> None:
    results = tmp_path / "results.json"
    items = [
        {"image_id": image, "category_id": kind, "bbox": box, "score": score}
        for image, kind, box, score in FOUND
    ]
    results.write_text(json.dumps(items))
    result = audit(write_data(tmp_path), predictions=results, output=tmp_path / "a", least=0.05)
    lines = (result.output / "findings.jsonl").read_text().splitlines()
    kinds = {line["annotation_id"]: line["kind"] for line in map(json.loads, lines)}
    assert kinds == {
        2: "box", 3: "unsupported", 4: "swapped", 5: "swapped", 6: "name", None: "missing",
    }  # fmt: skip


def test_labels_of_the_annotated_boxes_are_not_what_was_found(tmp_path) -> None:
    asked = write_asked(tmp_path)
    with pytest.raises(DatasetError, match=r"7 that annotations prompted: give .* as --asked"):
        audit(write_data(tmp_path), predictions=asked, output=tmp_path / "audit")


def test_nothing_found_and_boxes_beyond_all_numbers_are_findings(tmp_path) -> None:
    items = [make_annotation(1), make_annotation(2, bbox=[1e308, 1, 1e308, 5])]
    _, findings = run(tmp_path, make_data(annotations=items), found=[], with_asked=False)
    assert {line["annotation_id"]: line["kind"] for line in findings} == {
        1: "unsupported", 2: "outside",
    }  # fmt: skip


def test_a_masked_data_set_is_corrected_with_masks(tmp_path) -> None:
    items = [make_annotation(n) for n in ANNOTATIONS]
    items[0]["segmentation"] = draw(items[0]["bbox"])
    settings = {"corrected": tmp_path / "new.json", "correct_from": 0.1}
    run(tmp_path, make_data(annotations=items), **settings)
    new = {i["id"]: i for i in json.loads((tmp_path / "new.json").read_text())["annotations"]}
    assert new[2]["segmentation"] == new[2]["segmentation"] | {"size": [100, 100]}
    assert "segmentation" in new[8]
    assert "segmentation" not in new[4]


def test_images_are_compared_a_bounded_number_of_pairs_at_a_time(tmp_path, monkeypatch) -> None:
    _, expected = run(tmp_path, least=0)
    monkeypatch.setattr("ovsam_pipeline.audit.compare._PAIRS_AT_ONCE", 1)
    (tmp_path / "one").mkdir()
    assert run(tmp_path / "one", least=0)[1] == expected


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"asked": "x"}, "--asked goes with --predictions"),
        ({"predictions": "x", "conf": 0.1}, "--conf decides how labels are made"),
        ({"detector": "gt:x.json"}, "the annotated boxes are asked about in any case"),
        ({"least": 0.5, "correct_from": 0.2}, "expected --correct-from of at least --least"),
        ({"least": 1.5}, "expected --least from 0 to 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, settings, sentence) -> None:
    with pytest.raises(ConfigError, match=sentence):
        audit(tmp_path / "data.json", **settings)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("data.json", "is the data set itself"),
        ("there.json", "is there already"),
        ("new.txt", "expected --corrected as a .json file"),
        ("no/new.json", "in a folder that exists"),
    ],
)
def test_a_corrected_copy_never_replaces_a_file(tmp_path, name, sentence) -> None:
    (tmp_path / "there.json").write_text("{}")
    before = json.dumps(make_data())
    with pytest.raises(ConfigError, match=sentence):
        run(tmp_path, corrected=tmp_path / name)
    assert (tmp_path / "data.json").read_text() == before


def test_the_output_is_not_a_folder_of_labels_nor_of_the_data_set(tmp_path) -> None:
    path, labels = write_data(tmp_path), write_found(tmp_path)
    with pytest.raises(ConfigError, match="is a folder of labels"):
        audit(path, predictions=labels, output=labels)
    path.rename(tmp_path / "more.json")
    with pytest.raises(ConfigError, match="is the data set itself"):
        audit(tmp_path / "more.json", predictions=labels, output=tmp_path)
