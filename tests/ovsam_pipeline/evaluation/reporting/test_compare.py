import io
import shutil
from dataclasses import replace

import numpy as np
import pytest
from evaluation_example import make_example
from rich.console import Console

from ovsam.errors import ConfigError
from ovsam_pipeline.evaluation.reporting import compare
from ovsam_pipeline.evaluation.reporting.compare import read_baseline
from ovsam_pipeline.evaluation.reporting.files import _write_table, write_metrics, write_samples
from ovsam_pipeline.evaluation.scoring.average_precision import DetectionScores

DATASET = {"name": "x", "style": "coco", "images": 2, "annotations_count": 3, "categories": 3}
SETTINGS = {"resamples": 100, "seed": 0}


def compare_runs(new, baseline, **settings):
    return compare.compare_runs(new, read_baseline(baseline), **settings)


def write_run(folder, metrics, *, dataset=DATASET, prompts="gt-box"):
    folder.mkdir(exist_ok=True)
    path = folder / "metrics.json"
    write_metrics(path, {"dataset": dataset, "protocol": {"prompts": prompts}, "metrics": metrics})
    return path


def write_instances(folder, ious, ids=None):
    ids = np.arange(len(ious)) if ids is None else np.array(ids)
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    columns = {
        "image_id": ids // 2, "annotation_id": ids, "split": np.array(["base"] * len(ids), object),
        "iou": np.array(ious), "is_right": np.ones(len(ids), bool),
    }  # fmt: skip
    _write_table(folder / "samples" / "instances.parquet", columns)
    return write_run(folder, {"instances": {"iou": float(np.mean(ious)), "iou_novel": None}})


def show(comparison) -> str:
    stream = io.StringIO()
    Console(file=stream, width=80).print(comparison.build_table())
    return stream.getvalue()


def test_a_run_equals_itself(tmp_path) -> None:
    path = write_instances(tmp_path, [0.1, 0.9, 0.5, 0.7])
    comparison = compare_runs(path, path, tolerance=0, **SETTINGS)
    (change,) = comparison.changes
    assert (change.name, change.interval, change.is_drop) == ("instances iou", (0.0, 0.0), False)
    assert comparison.exit_code == 0


def test_both_sides_draw_the_same_images(tmp_path) -> None:
    """Where every annotation is 0.1 better, so is every resample: only if they are paired."""
    old = np.random.default_rng(0).uniform(0, 0.9, 60)
    before = write_instances(tmp_path / "old", old)
    now = write_instances(tmp_path / "new", old + 0.1)
    (change,) = compare_runs(now, before, tolerance=0, **SETTINGS).changes
    assert change.interval == pytest.approx((0.1, 0.1))


def test_the_interval_is_that_of_a_normal_approximation(tmp_path) -> None:
    generator = np.random.default_rng(1)
    old, noise = generator.uniform(0.2, 0.8, 2000), generator.normal(0, 0.1, 2000)
    for name, values in (("old", old), ("new", old + noise)):
        write_instances(tmp_path / name, values)
    (change,) = compare_runs(
        tmp_path / "new/metrics.json", tmp_path / "old/metrics.json",
        tolerance=0, resamples=2000, seed=0,
    ).changes  # fmt: skip
    by_image = noise.reshape(-1, 2).mean(axis=1)
    error = by_image.std(ddof=1) / np.sqrt(len(by_image))
    expected = (by_image.mean() - 1.96 * error, by_image.mean() + 1.96 * error)
    assert change.interval == pytest.approx(expected, abs=0.15 * error)


@pytest.mark.parametrize(("tolerance", "exit_code"), [(0.05, 5), (0.15, 0)])
def test_a_drop_beyond_the_tolerance_has_its_exit_code(tmp_path, tolerance, exit_code) -> None:
    before = write_run(tmp_path / "old", {"segm": {"AP": 0.5, "AP50": 0.6}})
    now = write_run(tmp_path / "new", {"segm": {"AP": 0.4, "AP50": 0.7}})
    comparison = compare_runs(now, before, tolerance=tolerance, **SETTINGS)
    assert comparison.exit_code == exit_code
    assert comparison.to_dict()["dropped"] == (["segm AP"] if exit_code else [])
    assert [c.interval for c in comparison.changes] == [None, None]
    assert any("no samples" in note for note in comparison.notes)
    assert "-10.0" in show(comparison)
    assert ("dropped > 5" in show(comparison)) == bool(exit_code)


def test_detections_are_resampled_through_their_matches(tmp_path) -> None:
    truth, _, scores, _ = make_example()
    matches = scores.matches
    nothing = DetectionScores(
        "segm", {}, {}, scores.curves, replace(matches, matched=np.zeros_like(matches.matched))
    )
    for name, side in (("old", scores), ("new", nothing)):
        write_run(tmp_path / name, {"segm": {"AP": 0.5, "AP50": 0.5}})
        write_samples(tmp_path / name / "samples", truth, {"segm": side}, None)
    old, new = (tmp_path / name / "metrics.json" for name in ("old", "new"))
    changes = {c.name: c for c in compare_runs(new, old, tolerance=0, **SETTINGS).changes}
    low, high = changes["segm AP50"].interval
    # Image 10 twice: AP50 of cat 1, of dog 0, so -1/2. Image 20 twice: its cat is found, so -1.
    # One of each: cats at precision 1 and 2/3: 51 recall points of 1 and 50 of 2/3, halved by dog.
    assert low == pytest.approx(-1)
    assert high == pytest.approx(-(51 + 50 * 2 / 3) / 101 / 2)


def test_another_data_set_or_protocol_is_named(tmp_path) -> None:
    now = write_run(tmp_path / "new", {"segm": {"AP": 0.5}})
    other = write_run(tmp_path / "a", {"segm": {"AP": 0.5}}, dataset={**DATASET, "images": 9})
    with pytest.raises(ConfigError, match="the number of images was 9 there and is 2"):
        compare_runs(now, other, tolerance=0, **SETTINGS)
    other = write_run(tmp_path / "b", {"segm": {"AP": 0.5}}, prompts="detector")
    with pytest.raises(ConfigError, match="--prompts was detector there and is gt-box"):
        compare_runs(now, other, tolerance=0, **SETTINGS)
    other = write_run(tmp_path / "c", {"bbox": {"AP": 0.5}})
    with pytest.raises(
        ConfigError, match=r"no number in common: .*metrics\.json has bbox AP, this run segm AP"
    ):
        compare_runs(now, other, tolerance=0, **SETTINGS)


def test_a_baseline_may_be_its_folder(tmp_path) -> None:
    path = write_run(tmp_path / "a", {"segm": {"AP": 0.5}})
    assert read_baseline(tmp_path / "a").path == path


def test_other_annotations_are_refused_and_a_few_missing_ones_noted(tmp_path) -> None:
    old = write_instances(tmp_path / "old", [0.5, 0.6, 0.7])
    few = write_instances(tmp_path / "few", [0.5, 0.6])
    other = write_instances(tmp_path / "other", [0.5, 0.6, 0.7], ids=[7, 8, 9])
    notes = compare_runs(few, old, tolerance=0, **SETTINGS).notes
    assert notes == ("measured on one side only: 1 annotation",)
    with pytest.raises(ConfigError, match="other annotations"):
        compare_runs(other, old, tolerance=0, **SETTINGS)


def test_what_only_the_baseline_measured_is_noted(tmp_path) -> None:
    before = write_run(tmp_path / "old", {"segm": {"AP": 0.5}, "bbox": {"AP": 0.5, "AP50": 0.6}})
    now = write_run(tmp_path / "new", {"segm": {"AP": 0.5}})
    comparison = compare_runs(now, before, tolerance=0, **SETTINGS)
    assert [change.name for change in comparison.changes] == ["segm AP"]
    assert "bbox AP, AP50: in the baseline only, not compared" in comparison.notes
    assert "bbox AP, AP50" in show(comparison)


def test_folders_in_brackets_are_shown_as_they_are(tmp_path) -> None:
    path = write_instances(tmp_path, [0.5, 0.6])
    shutil.copytree(tmp_path, copy := tmp_path.parent / "[red]", dirs_exist_ok=True)
    comparison = compare_runs(path, copy / "metrics.json", tolerance=0, **SETTINGS)
    assert "[red]" in show(comparison).replace("\n", "").replace(" ", "")
