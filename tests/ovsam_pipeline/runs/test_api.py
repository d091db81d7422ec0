import json
import os

import numpy as np
import pytest
from fake_labeller import make_labeller, refuse, write_images
from pycocotools.coco import COCO

import ovsam_pipeline
from ovsam.errors import ConfigError, ImageError, OvsamError
from ovsam_pipeline.errors import OutputLockedError, ShardError, SourceError, TimeLimitError
from ovsam_pipeline.labelling import build as builders
from ovsam_pipeline.monitoring.exit_codes import exit_code_of
from ovsam_pipeline.output.folder import OutputFolder, iterate_rows, list_parts
from ovsam_pipeline.records import compute_image_id
from ovsam_pipeline.runs import run
from ovsam_pipeline.runs.run import choose_part_limits
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.sources.read_image import decode_image

# pycocotools 2.0.11 with numpy 2.4: its own arrays lack the copy keyword.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(autouse=True)
def fake_networks(monkeypatch):
    monkeypatch.setattr(builders, "build_labeller", make_labeller)


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images", 10)
    return tmp_path / "images"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def read_rows(out) -> dict:
    rows = {row["file_name"]: row for row in iterate_rows(out)}
    assert len(rows) == sum(1 for _ in iterate_rows(out))
    return rows


def touch(path) -> None:
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))


def test_label_writes_one_row_an_image_and_says_where(images, out):
    result = ovsam_pipeline.label(images, output=out)
    assert (result.exit_code, result.summary.labelled, result.totals.objects) == (0, 10, 20)
    assert sorted(read_rows(out)) == sorted(path.name for path in images.iterdir())
    run = json.loads((out / "run.json").read_text())
    assert (run["state"], run["totals"]["labelled"]) == ("finished", 10)
    assert run["depends_on"]["model"] == "fake"
    assert run["stage_seconds"].keys() == {"decode", "detect", "segment", "write"}


def test_rows_read_back_the_ids_of_names_that_share_one(images, out):
    write_images(images, 0, ["138272027.jpg"])
    ovsam_pipeline.label(images, output=out)
    write_images(images, 0, ["23857484.jpg"])
    result = ovsam_pipeline.label(images, output=out)
    ids = {name: row["image_id"] for name, row in read_rows(out).items()}
    assert result.summary.labelled == 1
    assert ids["138272027.jpg"] == compute_image_id("138272027.jpg")
    assert ids["23857484.jpg"] == compute_image_id("23857484.jpg", 1)


def test_a_listing_ends_at_the_time_limit(images, out, monkeypatch):
    monkeypatch.setattr(run, "_GRACE_S", -1.0)
    with pytest.raises(TimeLimitError, match="was over while the sources were listed") as stopped:
        ovsam_pipeline.label(images, output=out, time_limit=0.5)
    assert exit_code_of(stopped.value) == 6
    assert not out.exists()


def test_a_listing_with_gaps_prunes_nothing(images, out, monkeypatch, caplog):
    write_images(images / "sub", 2)
    ovsam_pipeline.label(images, output=out)
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    result = ovsam_pipeline.label(images, output=out, prune=True)
    assert (result.plan.num_deleted, result.plan.num_pruned) == (2, 0)
    assert "sub: Permission denied; nothing is pruned" in caplog.text
    monkeypatch.setattr(os, "scandir", scan)
    result = ovsam_pipeline.label(images, output=out, prune=True, exclude=("sub",))
    assert result.plan.num_pruned == 2


def test_annotations_load_in_pycocotools(images, out, capsys):
    write_images(images, 0, ["empty.png"])
    (images / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    ovsam_pipeline.label(images, output=out)
    coco = COCO(out / "annotations.json")
    capsys.readouterr()
    assert len(coco.getImgIds()) == 11
    assert sorted(coco.getAnnIds()) == list(range(1, 21))
    for annotation in coco.loadAnns(coco.getAnnIds()):
        assert coco.annToMask(annotation).sum() == annotation["area"]
        assert annotation["iscrowd"] == 0
    assert [item["name"] for item in coco.loadCats(coco.getCatIds())] == ["cat", "dog", "tree"]


def test_second_run_does_nothing_and_changes_nothing(images, out):
    ovsam_pipeline.label(images, output=out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    result = ovsam_pipeline.label(images, output=out)
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    changed = {path.name for path in after if after[path] != before.get(path)}
    assert (result.exit_code, result.summary.done, result.plan.num_unchanged) == (0, 0, 10)
    assert changed <= {"run.json", "status.json", ".lock", "failures.jsonl"}


def test_new_changed_and_removed_images(images, out):
    ovsam_pipeline.label(images, output=out)
    before = read_rows(out)
    write_images(images, 0, ["new.png"])
    touch(images / "0003.png")
    (images / "0004.png").unlink()
    result = ovsam_pipeline.label(images, output=out)
    plan = result.plan
    assert (plan.num_new, plan.num_changed, plan.num_deleted) == (1, 1, 1)
    assert result.summary.done == 2
    assert read_rows(out).keys() == before.keys() | {"new.png"}
    annotations = json.loads((out / "annotations.json").read_text())
    assert len(annotations["images"]) == 11


def test_rows_of_deleted_images_go_when_asked(images, out):
    ovsam_pipeline.label(images, output=out)
    (images / "0004.png").unlink()
    result = ovsam_pipeline.label(images, output=out, prune=True)
    assert (result.plan.num_deleted, result.plan.num_pruned, result.summary.done) == (1, 1, 0)
    assert "0004.png" not in read_rows(out)
    assert len(json.loads((out / "annotations.json").read_text())["images"]) == 9
    assert ovsam_pipeline.label(images, output=out, prune=True).plan.num_pruned == 0


def test_failed_images_stay_failed_until_asked_or_changed(images, out):
    (images / "damaged.png").write_bytes(b"no picture")
    first = ovsam_pipeline.label(images, output=out)
    assert (first.exit_code, first.summary.failed) == (3, 1)
    second = ovsam_pipeline.label(images, output=out)
    assert (second.exit_code, second.plan.num_failed_before) == (0, 1)
    third = ovsam_pipeline.label(images, output=out, retry_failed=True)
    assert (third.exit_code, third.plan.num_retried, third.summary.failed) == (3, 1, 1)
    (images / "damaged.png").write_bytes((images / "0000.png").read_bytes())
    fourth = ovsam_pipeline.label(images, output=out)
    assert (fourth.exit_code, fourth.plan.num_changed, fourth.totals.failed) == (0, 1, 0)
    assert (out / "failures.jsonl").read_text() == ""


def fail_as(monkeypatch, error: Exception) -> None:
    """Let every image fail while it is decoded."""

    def decode(record, warn=None, admit=None):
        raise error

    monkeypatch.setattr(
        builders, "build_labeller", lambda config, _: make_labeller(config, decode=decode)
    )


@pytest.mark.parametrize(
    "error",
    [
        ImageError("the storage failed: cannot reach the server"),
        ImageError("cannot be read: Too many open files"),
        MemoryError(),
        ConnectionError("the detector's server is down"),
    ],
    ids=["storage", "file handles", "memory", "detector"],
)
def test_an_outage_fails_the_run_and_the_next_one_labels_its_images(
    images, out, monkeypatch, error, caplog
):
    fail_as(monkeypatch, error)
    first = ovsam_pipeline.label(images, output=out)
    assert "no image could be labelled, and the images are not to blame" in caplog.text
    assert (first.exit_code, first.summary.transient, first.totals.transient) == (1, 10, 10)
    assert json.loads((out / "run.json").read_text())["run"]["transient"] == 10
    # A second night of it.
    assert ovsam_pipeline.label(images, output=out).exit_code == 1
    (images / "damaged.png").write_bytes(b"no picture")
    monkeypatch.setattr(builders, "build_labeller", make_labeller)
    last = ovsam_pipeline.label(images, output=out)
    assert (last.exit_code, last.plan.num_retried, last.summary.labelled) == (3, 10, 10)
    assert (last.totals.failed, last.totals.transient) == (1, 0)
    assert ovsam_pipeline.label(images, output=out).summary.done == 0


def test_images_of_a_run_that_gave_up_are_tried_again(tmp_path, out, monkeypatch):
    write_images(tmp_path / "many", 24)
    fail_as(monkeypatch, ConnectionError("the detector's server is down"))
    with pytest.raises(ShardError, match="the same command tries them again"):
        ovsam_pipeline.label(tmp_path / "many", output=out)
    monkeypatch.setattr(builders, "build_labeller", make_labeller)
    result = ovsam_pipeline.label(tmp_path / "many", output=out)
    assert (result.exit_code, result.totals.labelled, result.totals.failed) == (0, 24, 0)


def test_a_disk_that_goes_in_mid_run_loses_nothing(images, out, monkeypatch):
    def decode(record, warn=None, admit=None):
        if record.file_name == "0003.png":
            images.rename(images.parent / "away")
        return decode_image(record, warn=warn)

    monkeypatch.setattr(
        builders,
        "build_labeller",
        lambda config, _: make_labeller(config, decode=decode, workers=1),
    )
    first = ovsam_pipeline.label(images, output=out)
    assert (first.exit_code, first.summary.failed, first.summary.transient) == (3, 7, 7)
    (images.parent / "away").rename(images)
    monkeypatch.setattr(builders, "build_labeller", make_labeller)
    assert ovsam_pipeline.label(images, output=out).totals.labelled == 10


def test_labels_of_a_list_stay_while_its_disk_is_not_mounted(images, out, tmp_path):
    (tmp_path / "list.txt").write_text("".join(f"images/{n:04d}.png\n" for n in range(10)))
    ovsam_pipeline.label(tmp_path / "list.txt", output=out)
    before = read_rows(out)
    images.rename(tmp_path / "away")
    result = ovsam_pipeline.label(tmp_path / "list.txt", output=out, prune=True)
    assert (result.exit_code, result.plan.num_vanished, result.summary.done) == (0, 10, 0)
    assert read_rows(out) == before


def test_failure_budget_stops_the_run_and_keeps_what_was_done(images, out, monkeypatch):
    monkeypatch.setattr(
        builders, "build_labeller", lambda config, _: make_labeller(config, decode=refuse)
    )
    result = ovsam_pipeline.label(images, output=out, max_failures=2)
    assert (result.exit_code, result.summary.failed, result.summary.left) == (4, 3, 7)
    assert len(read_rows(out)) == 3
    assert json.loads((out / "run.json").read_text())["state"] == "over budget"


def test_a_bug_that_hits_every_image_ends_the_run(images, out, monkeypatch):
    def build(config, embedding):
        def decode(record, warn=None, admit=None):
            raise TypeError("bug")

        return make_labeller(config, decode=decode)

    write_images(images, 40)
    monkeypatch.setattr(builders, "build_labeller", build)
    with pytest.raises(ShardError, match="TypeError: bug"):
        ovsam_pipeline.label(images, output=out)
    OutputFolder(out).close()
    run = json.loads((out / "run.json").read_text())
    assert (run["state"], "TypeError: bug" in run["error"]) == ("failed", True)


def test_full_disk_tells_the_first_reason_and_loses_nothing(images, out, monkeypatch):
    from ovsam_pipeline.errors import OutputError
    from ovsam_pipeline.output import folder as store
    from ovsam_pipeline.output import parts as parts_module

    real, parts = parts_module.write_part, []

    def refuse_all(*arguments):
        raise OutputError("cannot write anything")

    def write_part(folder, rows, fingerprint, schema):
        if len(parts) == 2:
            monkeypatch.setattr(store, "write_atomically", refuse_all)
            raise OutputError("cannot write the part: no space left on device")
        parts.append(real(folder, rows, fingerprint, schema))
        return parts[-1]

    monkeypatch.setattr(parts_module, "write_part", write_part)
    with pytest.raises(OutputError, match="cannot write the part"):
        ovsam_pipeline.label(images, output=out, part_images=3)
    monkeypatch.undo()
    monkeypatch.setattr(builders, "build_labeller", make_labeller)
    assert len(read_rows(out)) == 6
    assert ovsam_pipeline.label(images, output=out).summary.done == 4


def test_other_settings_need_another_output_or_overwrite(images, out):
    ovsam_pipeline.label(images, output=out)
    with pytest.raises(ConfigError, match=r"other settings: conf \(0.25 before, 0.5 now\)"):
        ovsam_pipeline.label(images, output=out, conf=0.5)
    result = ovsam_pipeline.label(images, output=out, conf=0.5, on_existing="overwrite")
    assert (result.summary.done, result.totals.images) == (10, 10)


def test_rows_do_not_depend_on_how_they_were_committed(images, out, tmp_path):
    ovsam_pipeline.label(images, output=out)
    for path in sorted(images.iterdir())[::2]:
        (tmp_path / "some").mkdir(exist_ok=True)
        path.rename(tmp_path / "some" / path.name)
    other = tmp_path / "other"
    ovsam_pipeline.label(images, output=other, part_images=2)
    for path in (tmp_path / "some").iterdir():
        path.rename(images / path.name)
    ovsam_pipeline.label(images, output=other, part_images=3)
    assert len(list_parts(other)) > len(list_parts(out))
    assert read_rows(other) == read_rows(out)
    first, second = (json.loads((path / "annotations.json").read_text()) for path in (out, other))
    assert sorted(first["annotations"], key=lambda item: item["id"]) == sorted(
        second["annotations"], key=lambda item: item["id"]
    )


def test_output_inside_the_source_is_not_labelled_itself(images):
    ovsam_pipeline.label(images, output=images / "labels", preview=2)
    result = ovsam_pipeline.label(images, output=images / "labels", preview=2)
    assert (result.plan.num_listed, result.plan.num_new) == (10, 0)


def test_default_output_lies_beside_the_source(images):
    result = ovsam_pipeline.label(images)
    assert result.output == images.parent / "images_ovsam"


def test_output_that_is_a_file_is_refused(images, out):
    out.write_text("")
    with pytest.raises(ConfigError, match="expected a folder as -o"):
        ovsam_pipeline.label(images, output=out)


def test_output_equal_to_the_source_is_refused(images):
    with pytest.raises(ConfigError, match="is one of the sources"):
        ovsam_pipeline.label(images, output=images)


def test_nothing_is_written_when_the_settings_cannot_work(images, out, monkeypatch):
    (images.parent / "nothing").mkdir()
    with pytest.raises(SourceError, match="found none"):
        ovsam_pipeline.label(images.parent / "nothing", output=out)

    def build(config, embedding):
        raise ConfigError("unknown vocabulary")

    monkeypatch.setattr(builders, "build_labeller", build)
    with pytest.raises(ConfigError, match="unknown vocabulary"):
        ovsam_pipeline.label(images, output=out)
    with pytest.raises(ConfigError, match="unknown setting 'confidence'"):
        ovsam_pipeline.label(images, output=out, confidence=0.5)
    assert not out.exists()


def test_locked_output_is_refused_before_the_model_is_loaded(images, out, monkeypatch):
    ovsam_pipeline.label(images, output=out)
    monkeypatch.setattr(builders, "build_labeller", None)
    with OutputFolder(out), pytest.raises(OutputLockedError, match="try again"):
        ovsam_pipeline.label(images, output=out)


def test_output_filled_by_another_run_meanwhile_is_continued(images, out, monkeypatch):
    def build(config, embedding):
        # The other run starts later and ends first.
        monkeypatch.setattr(builders, "build_labeller", make_labeller)
        ovsam_pipeline.label(images, output=out, part_images=3)
        return make_labeller(config)

    monkeypatch.setattr(builders, "build_labeller", build)
    result = ovsam_pipeline.label(images, output=out)
    assert result.summary.done == 0
    assert len(read_rows(out)) == 10


def test_images_that_contradict_each_other_leave_old_results_alone(images, out):
    ovsam_pipeline.label(images, output=out)
    first, second = images / "0000.png", images / "0001.png"
    truth = {"images": [{"id": 7, "file_name": first.name, "width": 32, "height": 24}]}
    for name, file_name in (("a.json", first.name), ("b.json", second.name)):
        truth["images"][0]["file_name"] = file_name
        (images / name).write_text(json.dumps({**truth, "annotations": [], "categories": []}))
    with pytest.raises((ConfigError, SourceError), match="7"):
        ovsam_pipeline.label(
            images / "a.json", images / "b.json", output=out, on_existing="overwrite"
        )
    assert len(read_rows(out)) == 10


def test_rows_and_masks_are_read_back(images, out):
    result = ovsam_pipeline.label(images, output=out)
    assert repr(result).startswith("<LabelResult: 10 images now (")
    assert str(out) in repr(result)
    rows = list(ovsam_pipeline.read(out, masks=True))
    assert sorted(row["file_name"] for row in rows) == sorted(p.name for p in images.iterdir())
    items = [(row, item) for row in rows for item in row["objects"]]
    assert items
    for row, item in items:
        assert item["mask"].shape == (row["height"], row["width"])
        assert (item["mask"].dtype, item["mask"].sum()) == (bool, item["area"])
    plain = [item for row in ovsam_pipeline.read(out) for item in row["objects"]]
    assert not any("mask" in item for item in plain)
    with pytest.raises(OvsamError, match="nowhere"):
        next(ovsam_pipeline.read(out / "nowhere"))


@pytest.mark.parametrize(("progress", "is_shown"), [(True, True), (False, False), (None, False)])
def test_progress_is_shown_when_asked_for(images, out, capsys, progress, is_shown):
    ovsam_pipeline.label(images, output=out, progress=progress)
    assert ("10/10 images" in capsys.readouterr().err) is is_shown


def test_previews_are_readable_pictures(images, out):
    import cv2

    result = ovsam_pipeline.label(images, output=out, preview=3)
    assert len(result.previews) == 3
    for path in result.previews:
        picture = cv2.imread(str(path))
        assert max(picture.shape) == 640
        assert len(np.unique(picture)) > 20


def test_preview_of_a_vanished_image_is_left_out(images, out, caplog):
    from ovsam_pipeline.export.preview import write_previews
    from ovsam_pipeline.sources.listing import list_images

    ovsam_pipeline.label(images, output=out)
    listed = list(list_images([str(images)]))
    (images / "0000.png").unlink()
    assert len(write_previews(out, listed, 10)) == 9
    assert "no preview of 0000.png: file not found" in caplog.text


def test_two_rows_of_one_id_cannot_become_a_coco_file(images, out):
    from ovsam_pipeline.errors import OutputError
    from ovsam_pipeline.export.coco import export_coco
    from ovsam_pipeline.output.parts import write_part
    from ovsam_pipeline.records import LabelRecord

    ovsam_pipeline.label(images, output=out)
    row = next(iterate_rows(out))
    twin = LabelRecord.from_row({**row, "file_name": "twin.png"}, "twin")
    write_part(out / "parts", [twin], "f")
    with pytest.raises(OutputError, match=f"two rows of .* have the image id {row['image_id']}"):
        export_coco(out, out / "annotations.json")


def test_keyboard_interrupt_keeps_what_was_labelled(images, out):
    from contextlib import contextmanager

    from ovsam_pipeline.runs.api import run_label
    from ovsam_pipeline.settings.label import LabelConfig

    @contextmanager
    def interrupt(report):
        original = report.add

        def add(row):
            original(row)
            if report.done == 4:
                raise KeyboardInterrupt

        report.add = add
        yield

    config = LabelConfig(sources=(str(images),), output=str(out))
    with pytest.raises(KeyboardInterrupt):
        run_label(config, showing=interrupt)
    assert len(read_rows(out)) == 4
    assert ovsam_pipeline.label(images, output=out).totals.images == 10


@pytest.mark.parametrize("on_existing", ["resume", "overwrite", "error"])
def test_files_that_others_wrote_are_never_replaced(images, out, on_existing):
    (out / "preview").mkdir(parents=True)
    (out / "parts").mkdir()
    (out / "annotations.json").write_text("ground truth of a data set")
    with pytest.raises(ConfigError, match=r"annotations.json and preview that ovsam did not write"):
        ovsam_pipeline.label(images, output=out, on_existing=on_existing)
    assert (out / "annotations.json").read_text() == "ground truth of a data set"
    names = sorted(path.name for path in out.iterdir())
    assert names == ["annotations.json", "parts", "preview"]


def test_output_that_was_copied_without_its_hidden_lock_is_still_ours(images, out):
    ovsam_pipeline.label(images, output=out)
    (out / ".lock").unlink()
    assert ovsam_pipeline.label(images, output=out).summary.done == 0


def test_a_file_given_twice_is_said_once(images, out, caplog):
    caplog.set_level("INFO")
    ovsam_pipeline.label(images, next(images.iterdir()), output=out)
    assert "1 file that is listed more than once: labelled once" in caplog.text


@pytest.mark.parametrize(
    ("num_images", "limits"),
    [
        (0, (64, 10.0)),
        (99_999, (64, 10.0)),
        (100_000, (64, 60.0)),
        (2_000_000, (200, 60.0)),
        (50_000_000, (1024, 60.0)),
    ],
)
def test_parts_grow_with_the_run(num_images, limits):
    assert choose_part_limits(LabelConfig(sources=("x",)), num_images) == limits
    given = LabelConfig(sources=("x",), part_images=7, part_seconds=2.5)
    assert choose_part_limits(given, num_images) == (7, 2.5)


def test_output_above_its_source_labels_it_and_prunes_nothing(tmp_path, images):
    out = tmp_path
    first = ovsam_pipeline.label(images, output=out, preview=1)
    assert first.summary.labelled == 10
    again = ovsam_pipeline.label(images, output=out, prune=True)
    assert (again.plan.num_unchanged, again.plan.num_pruned) == (10, 0)
    beside = ovsam_pipeline.label(images, output=images / ".." / "in2")
    assert beside.summary.labelled == 10
