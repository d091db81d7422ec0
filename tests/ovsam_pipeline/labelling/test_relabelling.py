"""`ovsam label --relabel` with the embedded networks on three example scenes."""

import json
import os
import shutil
from pathlib import Path

import pytest
from locations import SCENES

import ovsam_pipeline
from ovsam.errors import ConfigError
from ovsam_pipeline.labelling.relabelling import complete_config
from ovsam_pipeline.output.folder import iterate_rows, list_parts
from ovsam_pipeline.output.reviews import REVIEWS_FILE, Answer, append_answers
from ovsam_pipeline.settings.label import LabelConfig

NAMES = ("scene_0000.jpg", "scene_0001.jpg", "scene_0002.jpg")
# What a new vocabulary may change; all else stays.
LABELS = (
    "category_id", "category", "score", "margin", "detector_margin", "model_category",
    "model_score", "head_score", "clip_score", "risk", "reason",
)  # fmt: skip

NUMBERS = (
    "score", "margin", "detector_margin", "model_score", "head_score", "clip_score", "risk",
)  # fmt: skip

# pycocotools 2.0.11 with numpy 2.4: its own arrays lack the copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVSAM_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    for name in NAMES:
        shutil.copy2(SCENES / name, folder)
    return folder


@pytest.fixture(scope="module")
def settings():
    return {"model": "nano", "detector": f"boxes:{SCENES / 'annotations.json'}"}


@pytest.fixture(scope="module")
def words(tmp_path_factory, scenes):
    """A vocabulary of every class in the scenes and two more, under other ids."""
    truth = json.loads((SCENES / "annotations.json").read_text())
    wanted = {image["id"] for image in truth["images"] if image["file_name"] in NAMES}
    used = {item["category_id"] for item in truth["annotations"] if item["image_id"] in wanted}
    names = [c["name"] for c in truth["categories"] if c["id"] in used]
    names += [c["name"] for c in truth["categories"] if c["id"] not in used][:2]
    path = tmp_path_factory.mktemp("words") / "words.txt"
    path.write_text("\n".join(reversed(names)))
    return path


@pytest.fixture(scope="module")
def labelled(tmp_path_factory, scenes, settings):
    output = tmp_path_factory.mktemp("labelled") / "out"
    ovsam_pipeline.label(scenes, output=output, **settings)
    return output


def read(output):
    return {row["file_name"]: row for row in iterate_rows(output)}


def without_labels(rows):
    return {
        name: [{k: v for k, v in item.items() if k not in LABELS} for item in row["objects"]]
        for name, row in rows.items()
    }


def test_masks_and_boxes_stay_and_labels_are_those_of_a_new_run(
    scenes, settings, words, labelled, tmp_path
):
    direct = tmp_path / "direct"
    ovsam_pipeline.label(scenes, output=direct, vocabulary=str(words), **settings)
    before = {path.name: path.read_bytes() for path in list_parts(labelled)}
    result = ovsam_pipeline.label(
        relabel=str(labelled), output=tmp_path / "new", vocabulary=str(words)
    )
    assert (result.exit_code, result.totals.images) == (0, 3)
    old, new = read(labelled), read(tmp_path / "new")
    assert without_labels(new) == without_labels(old)
    assert {path.name: path.read_bytes() for path in list_parts(labelled)} == before
    assert sum(len(row["objects"]) for row in new.values()) > 5
    for name, row in read(direct).items():
        for expected, found in zip(row["objects"], new[name]["objects"], strict=True):
            assert found["category"] == expected["category"]
            assert found["category_id"] == expected["category_id"]
            assert found["reason"] == expected["reason"]
            for field in NUMBERS:
                assert found[field] == pytest.approx(expected[field], abs=1e-4)
    assert any(
        a["category_id"] != b["category_id"]
        for name in old
        for a, b in zip(old[name]["objects"], new[name]["objects"], strict=True)
    )


def test_neither_detector_nor_full_masks_run(labelled, tmp_path, monkeypatch):
    from ovsam import predictor
    from ovsam_pipeline.labelling import build

    def refuse(*arguments, **settings):
        raise AssertionError("not to be called")

    monkeypatch.setattr(predictor, "mask_region", refuse)
    monkeypatch.setattr(build, "build_run_detector", refuse)
    result = ovsam_pipeline.label(relabel=str(labelled), output=tmp_path / "new")
    assert (result.exit_code, result.totals.failed) == (0, 0)
    assert read(tmp_path / "new") == read(labelled)  # the same model and vocabulary: the same


@pytest.mark.parametrize("labels", ["detector", "fused"])
def test_the_stored_classes_of_the_detector_name_the_objects(
    scenes, settings, labelled, tmp_path, labels
):
    ovsam_pipeline.label(scenes, output=tmp_path / "direct", labels=labels, **settings)
    ovsam_pipeline.label(relabel=str(labelled), output=tmp_path / "new", labels=labels)
    direct, new = read(tmp_path / "direct"), read(tmp_path / "new")
    assert without_labels(new) == without_labels(direct)
    for name, row in direct.items():
        for expected, found in zip(row["objects"], new[name]["objects"], strict=True):
            assert found["category"] == expected["category"]
            assert found["score"] == pytest.approx(expected["score"], abs=1e-4)


def test_run_file_says_where_the_regions_are_from(labelled, tmp_path):
    ovsam_pipeline.label(relabel=str(labelled), output=tmp_path / "new")
    run = json.loads((tmp_path / "new" / "run.json").read_text())
    assert (run["task"], run["regions"]["output"]) == ("relabel", str(labelled))
    assert run["regions"]["depends_on"]["conf"] == 0.25
    assert "conf" not in run["depends_on"]
    again = ovsam_pipeline.label(relabel=str(labelled), output=tmp_path / "new")
    assert again.summary.done == 0


def test_changed_and_new_images_and_failed_rows_are_told_apart(settings, tmp_path, caplog):
    images = tmp_path / "images"
    images.mkdir()
    for name in NAMES[:2]:
        shutil.copy2(SCENES / name, images)
    (images / "broken.jpg").write_bytes(b"no picture")
    ovsam_pipeline.label(images, output=tmp_path / "out", **settings)
    os.utime(images / NAMES[0], ns=(1, 1))
    shutil.copy2(SCENES / NAMES[2], images)
    result = ovsam_pipeline.label(relabel=str(tmp_path / "out"))
    assert result.output == tmp_path / "out_relabelled"
    assert "1 of 4 images are not in" in caplog.text
    rows = read(result.output)
    assert {name: row["status"] for name, row in rows.items()} == {
        NAMES[0]: "failed", NAMES[1]: "labelled", "broken.jpg": "failed",
    }  # fmt: skip
    assert rows[NAMES[0]]["error"].startswith("the image changed since")


def objects_of(output):
    return [item for row in iterate_rows(output) for item in row["objects"]]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"detector": "nano"}, "--relabel keeps every object of .*, and --detector nano would"),
        ({"classes": ("cat",)}, "--relabel keeps every object of .*, and --classes would"),
        ({"conf": 0.5}, "--relabel keeps every object of .*, and --conf 0.5 would"),
        ({"iou": 0.9}, "--relabel keeps every object of .*, and --iou 0.9 would"),
        ({"max_det": 5}, "--relabel keeps every object of .*, and --max-det 5 would"),
        ({"min_score": 0.5}, "--relabel keeps every object of .*, and --min-score 0.5 would"),
        ({"output": "OUT"}, "is the folder to relabel; give another one as -o"),
        ({"output": "OUT/sub"}, "is inside .*, which is only read; give another one as -o"),
        ({"relabel": "nowhere"}, "expected behind --relabel an output folder of ovsam label"),
    ],
)
def test_settings_that_contradict_it_are_refused(labelled, changes, reason):
    if "output" in changes:
        changes = {"output": changes["output"].replace("OUT", str(labelled))}
    config = LabelConfig(**({"sources": (), "relabel": str(labelled)} | changes))
    with pytest.raises(ConfigError, match=reason):
        complete_config(config)


def test_low_scores_become_other_and_keep_their_masks(labelled, tmp_path):
    result = ovsam_pipeline.label(
        relabel=str(labelled), output=tmp_path / "new", vocabulary="cow,owl", min_score=0.999,
        below="other",
    )  # fmt: skip
    old, new = objects_of(labelled), objects_of(result.output)
    assert [item["segmentation"] for item in new] == [item["segmentation"] for item in old]
    low = [item for item in new if item["score"] < 0.999]
    assert low
    assert {(item["category_id"], item["category"]) for item in low} == {(3, "other")}
    assert {item["model_category"] for item in low} <= {"cow", "owl"}


def test_images_of_another_folder_are_refused(labelled, tmp_path):
    shutil.copy2(SCENES / NAMES[0], tmp_path / "other.jpg")
    with pytest.raises(ConfigError, match="none of the 1 images is in"):
        ovsam_pipeline.label(tmp_path, relabel=str(labelled), output=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_class_map_of_the_first_run_fits_though_not_all_of_its_classes_were_found(
    scenes, settings, labelled, tmp_path
):
    class_names = json.loads((labelled / "run.json").read_text()).get("class_names")
    found = {item["detector_category"] for item in objects_of(labelled)}
    old = tmp_path / "old"
    shutil.copytree(labelled, old)
    run = json.loads((old / "run.json").read_text())
    truth = json.loads((SCENES / "annotations.json").read_text())
    run["class_names"] = class_names or [item["name"] for item in truth["categories"]]
    (old / "run.json").write_text(json.dumps(run))
    unseen = next(name for name in run["class_names"] if name not in found)
    class_map = tmp_path / "map.yaml"
    class_map.write_text(json.dumps({unseen: sorted(found)[0]}))
    result = ovsam_pipeline.label(
        relabel=str(old), output=tmp_path / "new", labels="fused", class_map=str(class_map)
    )
    assert (result.exit_code, result.totals.images) == (0, 3)


def test_sources_and_vocabulary_are_found_from_any_working_folder(
    scenes, settings, words, tmp_path, monkeypatch
):
    shutil.copytree(scenes, tmp_path / "home" / "images")
    shutil.copy2(words, tmp_path / "home" / "words.txt")
    monkeypatch.chdir(tmp_path / "home")
    ovsam_pipeline.label("images", output="out", vocabulary="words.txt", **settings)
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    ovsam_pipeline.label(relabel="../home/out", output="new")
    assert read(Path("new")) == read(tmp_path / "home" / "out")
    shutil.rmtree(tmp_path / "home" / "images")
    with pytest.raises(ConfigError, match=r"images' recorded in .*out/run.json does not exist"):
        ovsam_pipeline.label(relabel="../home/out", output="newer")


def test_people_s_answers_travel_and_win(scenes, words, labelled, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(labelled, old)
    row = next(row for row in iterate_rows(old) if len(row["objects"]) > 1)
    first, second = (item["segmentation"] for item in row["objects"][:2])
    common = {"file_name": row["file_name"], "by": "ann", "at": "2026-01-01T00:00:00+00:00"}
    said = [
        Answer(category="my own", segmentation=first, reviewed=first, **common),
        Answer(category=None, segmentation=None, reviewed=second, **common),
    ]
    append_answers(old, said)
    new = tmp_path / "new"
    for _ in range(2):  # the second time there is nothing to do
        ovsam_pipeline.label(relabel=str(old), output=new, vocabulary=str(words))
        assert (new / REVIEWS_FILE).read_bytes() == (old / REVIEWS_FILE).read_bytes()
    found = json.loads((new / "annotations.json").read_text())
    (mine,) = [item for item in found["annotations"] if item.get("reviewed_by")]
    assert found["categories"][-1] == {"id": mine["category_id"], "name": "my own"}
    assert mine["segmentation"] == first
    assert second not in [item["segmentation"] for item in found["annotations"]]
