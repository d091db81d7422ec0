import csv
import gzip
import json

import pytest
from locations import SCENES, TESTS

GOLDEN = TESTS / "ovsam_pipeline" / "evaluation" / "golden"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
FILES_ONLY = ("--no-plots", "--worst", "0", "--no-report", "--json")


def evaluate(run_command, tmp_path, *arguments, exit_code=0):
    done = run_command("eval", "-o", str(tmp_path / "scores"), *FILES_ONLY, *arguments)
    assert done.code == exit_code, done.err
    return json.loads(done.out)


def without_boxes(tmp_path, name):
    results = json.loads(gzip.decompress((GOLDEN / name).read_bytes()))
    for item in results:
        del item["bbox"]
    path = tmp_path / "masks_only.json"
    path.write_text(json.dumps(results))
    return path


@pytest.mark.parametrize("style", ["coco", "lvis"])
@pytest.mark.parametrize("engine", ["fast", "faster-coco-eval", "reference"])
def test_golden_cases_through_the_command_line(run_command, tmp_path, style, engine) -> None:
    arguments = ("--dataset", str(GOLDEN / f"{style}_gt.json.gz"), "--engine", engine)
    found = evaluate(
        run_command, tmp_path, *arguments, "--predictions", str(GOLDEN / f"{style}_dt.json.gz")
    )
    text = (tmp_path / "scores" / "per_class.csv").read_text()
    lines = list(csv.DictReader(text.splitlines()))
    for iou_type in ("bbox", "segm"):
        for name, value in EXPECTED[style][iou_type].items():
            if name != "per_category_AP":
                assert found["metrics"][iou_type][name] == pytest.approx(value, abs=1e-9), name
        by_class = EXPECTED[style][iou_type].get("per_category_AP", {})
        for line in lines if by_class else []:
            ap = float(line[f"{iou_type}_AP"] or -1)
            assert ap == pytest.approx(by_class[line["category_id"]], abs=1e-9)


@pytest.mark.parametrize("style", ["coco", "lvis"])
def test_masks_without_boxes_take_the_area_of_the_mask(run_command, tmp_path, style) -> None:
    path = without_boxes(tmp_path, f"{style}_dt.json.gz")
    arguments = ("--dataset", str(GOLDEN / f"{style}_gt.json.gz"), "--predictions", str(path))
    found = evaluate(run_command, tmp_path, *arguments, "--type", "segm")
    for name, value in EXPECTED[style]["segm_bbox_key_removed"].items():
        assert found["metrics"]["segm"][name] == pytest.approx(value, abs=1e-9), name


def test_class_agnostic_through_the_command_line(run_command, tmp_path) -> None:
    arguments = ("--dataset", str(GOLDEN / "coco_gt.json.gz"), "--class-agnostic")
    found = evaluate(
        run_command, tmp_path, *arguments, "--predictions", str(GOLDEN / "coco_dt.json.gz")
    )
    for name, value in EXPECTED["coco"]["segm_category_agnostic"].items():
        assert found["metrics"]["segm"][name] == pytest.approx(value, abs=1e-9), name


def test_a_drop_below_the_baseline_exits_with_5(run_command, tmp_path) -> None:
    dataset = ("--dataset", str(GOLDEN / "coco_gt.json.gz"), "--type", "bbox")
    good = json.loads(gzip.decompress((GOLDEN / "coco_dt.json.gz").read_bytes()))
    worse = tmp_path / "worse.json"
    worse.write_text(json.dumps(good[::2]))
    evaluate(run_command, tmp_path, *dataset, "--predictions", str(GOLDEN / "coco_dt.json.gz"))
    baseline = tmp_path / "scores" / "metrics.json"
    again = ("-o", str(tmp_path / "again"), "--baseline", str(baseline), "--resamples", "20")
    compared = evaluate(
        run_command, tmp_path, *dataset, "--predictions", str(worse), *again, exit_code=5
    )
    assert compared["exit_code"] == 5


def test_a_run_compared_with_its_own_folder_sees_the_numbers_before(run_command, tmp_path) -> None:
    dataset = ("--dataset", str(GOLDEN / "coco_gt.json.gz"), "--type", "bbox")
    good = json.loads(gzip.decompress((GOLDEN / "coco_dt.json.gz").read_bytes()))
    worse = tmp_path / "worse.json"
    worse.write_text(json.dumps(good[::2]))
    evaluate(run_command, tmp_path, *dataset, "--predictions", str(GOLDEN / "coco_dt.json.gz"))
    again = ("--baseline", str(tmp_path / "scores" / "metrics.json"), "--resamples", "20")
    evaluate(run_command, tmp_path, *dataset, "--predictions", str(worse), *again, exit_code=5)


def test_a_baseline_that_does_not_fit_is_refused_before_anything_is_written(
    run_command, tmp_path
) -> None:
    dataset = ("--dataset", str(GOLDEN / "coco_gt.json.gz"), "--type", "bbox")
    predictions = ("--predictions", str(GOLDEN / "coco_dt.json.gz"))
    evaluate(run_command, tmp_path, *dataset, *predictions)
    before = (tmp_path / "scores" / "metrics.json").read_bytes()
    done = run_command(
        "eval", *dataset, *predictions, "-o", str(tmp_path / "scores"), "--limit", "3",
        "--baseline", str(tmp_path / "scores" / "metrics.json"),
    )  # fmt: skip
    assert done.code == 2
    assert "--limit was not given there and is 3 here" in done.err
    assert (tmp_path / "scores" / "metrics.json").read_bytes() == before


def test_pictures_of_an_earlier_run_go(run_command, tmp_path) -> None:
    arguments = ("--dataset", str(GOLDEN / "coco_gt.json.gz"), "--type", "bbox")
    arguments += ("--predictions", str(GOLDEN / "coco_dt.json.gz"), "-o", str(tmp_path / "scores"))
    assert run_command("eval", *arguments).code == 0
    plots = {path.name for path in (tmp_path / "scores" / "plots").iterdir()}
    assert plots >= {"precision_recall_bbox.png", "iou_histogram.png", "confusions.png"}
    assert "plots:" not in run_command("eval", *arguments, "--no-plots").out
    assert not list((tmp_path / "scores" / "plots").iterdir())


def test_a_page_of_all_results_is_written_unless_it_is_not_wanted(run_command, tmp_path) -> None:
    page = tmp_path / "scores" / "report.html"
    arguments = ("--dataset", GOLDEN / "coco_gt.json.gz", "--type", "bbox", "--no-plots")
    arguments += ("--predictions", GOLDEN / "coco_dt.json.gz", "-o", tmp_path / "scores")
    assert f"all on one page: {page}" in run_command("eval", *arguments).out
    assert page.read_text().startswith("<!doctype html>")
    assert "one page" not in run_command("eval", *arguments, "--no-report").out
    assert not page.exists()  # its numbers would be those of before
    page.write_text("of somebody")
    done = run_command("eval", *arguments)
    assert done.code == 0
    assert "not replaced" in done.err
    assert page.read_text() == "of somebody"


def test_an_output_that_cannot_be_made_is_a_sentence(run_command, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    done = run_command(
        "eval", "--dataset", str(GOLDEN / "coco_gt.json.gz"), "-o", str(tmp_path / "file" / "x"),
        "--predictions", str(GOLDEN / "coco_dt.json.gz"),
    )  # fmt: skip
    assert done.code == 1
    assert "cannot make the output folder" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("ids", [(1, 2), ("1", "2")], ids=["numbers", "texts"])
def test_classes_of_ones_own_and_ids_as_text(run_command, tmp_path, ids) -> None:
    box = {"image_id": ids[0], "category_id": ids[1], "bbox": [0, 0, 5, 5], "area": 25}
    truth = {
        "images": [{"id": ids[0], "height": 9, "width": 9}],
        "annotations": [{"id": ids[0], **box}],
        "categories": [{"id": ids[1], "name": "gadget"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    (tmp_path / "found.json").write_text(json.dumps([{**box, "score": 0.5}]))
    arguments = ("--dataset", str(tmp_path / "truth.json"))
    found = evaluate(
        run_command, tmp_path, *arguments, "--predictions", str(tmp_path / "found.json")
    )
    assert found["metrics"]["bbox"]["AP"] == pytest.approx(1)


def test_polygons_of_images_without_a_size_are_an_error(run_command, tmp_path) -> None:
    ring = [[0, 0, 5, 0, 5, 5]]
    box = {"image_id": 1, "category_id": 1, "area": 12, "segmentation": ring}
    truth = {
        "images": [{"id": 1}],
        "annotations": [{"id": 1, "bbox": [0, 0, 5, 5], **box}],
        "categories": [{"id": 1, "name": "gadget"}],
    }
    mask = {"size": [9, 9], "counts": [0, 40, 41]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    results = [{**box, "score": 0.5, "bbox": [0, 0, 5, 5], "segmentation": mask}] * 2
    (tmp_path / "found.json").write_text(json.dumps(results))
    done = run_command(
        "eval", "--dataset", str(tmp_path / "truth.json"), "--type", "segm",
        "--predictions", str(tmp_path / "found.json"), "-o", str(tmp_path / "scores"),
    )  # fmt: skip
    assert "need the height and width of their image" in done.err
    assert done.code == 2


def test_no_predictions_are_ap_0_with_counts(run_command, tmp_path) -> None:
    nothing = tmp_path / "nothing.json"
    nothing.write_text("[]")
    arguments = ("--dataset", str(GOLDEN / "coco_gt.json.gz"), "--predictions", str(nothing))
    found = evaluate(run_command, tmp_path, *arguments)
    assert found["metrics"]["segm"]["AP"] == 0
    assert found["counts"]["predictions"] == 0
    assert found["counts"]["annotations"] > 300


def test_a_truncated_file_is_a_sentence_and_exit_code_2(run_command, tmp_path) -> None:
    cut = tmp_path / "cut.json"
    cut.write_bytes(gzip.decompress((GOLDEN / "coco_dt.json.gz").read_bytes())[:5000])
    done = run_command(
        "eval", "--dataset", str(GOLDEN / "coco_gt.json.gz"), "--predictions", str(cut),
        "-o", str(tmp_path / "scores"),
    )  # fmt: skip
    assert done.code == 2
    assert str(cut) in done.err
    assert "Traceback" not in done.err


def test_a_missing_data_set_names_the_folder_and_the_source(run_command, tmp_path) -> None:
    done = run_command(
        "eval", "--dataset", "coco", "--data-root", str(tmp_path), "--predictions", "x"
    )
    assert done.code == 2
    assert str(tmp_path) in done.err
    assert "cocodataset.org" in done.err


def test_nano_on_annotated_scenes(run_command, tmp_path) -> None:
    truth = json.loads((SCENES / "annotations.json").read_text())
    truth["images"] = truth["images"][:2]
    kept = {image["id"] for image in truth["images"]}
    truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in kept]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(truth))
    source = ("--dataset", path, "--image-root", SCENES)
    found = evaluate(run_command, tmp_path, *source, "--model", "nano")
    assert found["metrics"]["instances"]["instances"] == len(truth["annotations"])
    assert found["metrics"]["instances"]["iou"] > 0.6
    assert (tmp_path / "scores" / "predictions" / "annotations.json").exists()
