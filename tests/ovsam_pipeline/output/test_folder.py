import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from row_objects import PROMPT, make_object

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import DamagedPartError, OutputError, OutputLockedError
from ovsam_pipeline.output.annotations_file import SealedStream
from ovsam_pipeline.output.done_index import compute_key
from ovsam_pipeline.output.folder import OutputFolder, iterate_rows, list_parts, read_run_file
from ovsam_pipeline.output.parts import (
    SCHEMA,
    PartWriter,
    drop_part_rows,
    iterate_part_rows,
    read_part_index,
    write_part,
)
from ovsam_pipeline.records import ImageRecord, LabelRecord, compute_image_id

DEPENDS_ON = {"model": "nano 1", "conf": 0.25}


def make_row(name: str, num_objects: int = 1, error: str | None = None) -> LabelRecord:
    image = ImageRecord(compute_image_id(name), name, Path(name), 10, 20)
    if error:
        return LabelRecord.failed(image, error)
    return LabelRecord.labelled(image, 8, 9, (make_object(),) * num_objects)


@pytest.fixture
def folder(tmp_path):
    with OutputFolder(tmp_path / "out") as held:
        yield held


def fill(folder: OutputFolder, *names: str, fingerprint: str = "f") -> Path:
    folder.write_run_file({"fingerprint": fingerprint, "depends_on": DEPENDS_ON})
    return write_part(folder.parts_folder, [make_row(name) for name in names], fingerprint)


def test_part_has_exactly_the_documented_row():
    item = SCHEMA.field("objects").type.value_type
    assert SCHEMA.names == [
        "image_id", "file_name", "width", "height", "status", "error", "warning", "phash",
        "phash_detail", "objects",
    ]  # fmt: skip
    assert [item.field(index).name for index in range(item.num_fields)] == [
        "bbox", "category_id", "category", "score", "detector_score", "detector_category",
        "margin", "mask_score", "area", "segmentation", "prompt_id", "detector_margin",
        "model_category", "model_score", "detector_box_xyxy", "detector_point_xy",
        "head_score", "clip_score", "risk", "reason",
    ]  # fmt: skip
    assert str(item.field("bbox").type) == "fixed_size_list<element: float>[4]" or (
        item.field("bbox").type.list_size == 4
    )


def test_part_keeps_points_ids_and_margins_beside_missing_ones(tmp_path):
    prompt = replace(PROMPT, detector_category="dog", detector_point_xy=(2.0, 3.0), prompt_id=77)
    objects = (make_object(prompt, detector_margin=0.5), make_object())
    row = replace(make_row("a.jpg"), objects=objects, identity="")
    (read,) = iterate_part_rows(write_part(tmp_path, [row], "f"))
    assert LabelRecord.from_row(read) == row
    assert [item["prompt_id"] for item in read["objects"]] == [77, None]


def test_part_gives_back_its_rows_and_says_what_they_were(tmp_path):
    rows = [make_row("a.jpg", 2), make_row("b.jpg", 0), make_row("c.jpg", error="damaged")]
    part = write_part(tmp_path, rows, "f")
    assert [LabelRecord.from_row(row) for row in iterate_part_rows(part)] == [
        LabelRecord.from_row(row.to_row()) for row in rows
    ]
    index = read_part_index(part)
    assert index.fingerprint == "f"
    assert index.keys.tolist() == [compute_key(row.file_name) for row in rows]
    assert index.identities.tolist() == [compute_key(row.identity) for row in rows]
    assert index.is_failed.tolist() == [False, False, True]


def test_part_of_an_earlier_version_knows_from_its_reasons_what_to_try_again(tmp_path):
    rows = [make_row("a.jpg", error="damaged"), make_row("b.jpg", error="the storage failed: x")]
    part = write_part(tmp_path, [*rows, make_row("c.jpg")], "f")
    assert read_part_index(part).is_transient.tolist() == [False, True, False]
    table = pq.read_table(part)
    stored = json.loads(table.schema.metadata[b"ovsam"])
    del stored["is_transient"]
    pq.write_table(table.replace_schema_metadata({b"ovsam": json.dumps(stored)}), part)
    assert read_part_index(part).is_transient.tolist() == [False, True, False]


def test_part_is_compressed_with_zstd_and_leaves_no_temporary_file(tmp_path):
    part = write_part(tmp_path, [make_row("a.jpg")], "f")
    assert pq.ParquetFile(part).metadata.row_group(0).column(0).compression == "ZSTD"
    assert list(tmp_path.iterdir()) == [part]


def test_dropping_rows_keeps_the_others_and_their_state(tmp_path):
    part = write_part(tmp_path, [make_row(name) for name in "abc"], "f")
    drop_part_rows(part, frozenset({1}))
    assert [row["file_name"] for row in iterate_part_rows(part)] == ["a", "c"]
    kept = [compute_key("a"), compute_key("c")]
    assert read_part_index(part).keys.tolist() == kept


def test_dropping_every_row_removes_the_part(tmp_path):
    part = write_part(tmp_path, [make_row("a")], "f")
    drop_part_rows(part, frozenset({0}))
    assert not part.exists()


def test_foreign_parquet_file_is_refused_by_name(tmp_path):
    part = tmp_path / "part-x.parquet"
    pq.write_table(SCHEMA.empty_table(), part)
    with pytest.raises(OutputError, match=r"part-x.parquet was not written by ovsam"):
        read_part_index(part)


def flip(part: Path, at: int) -> None:
    content = bytearray(part.read_bytes())
    content[at] ^= 1
    part.write_bytes(content)


def rewrite(part: Path, **changes) -> None:
    """Write a part with other metadata, or other columns, under its name."""
    table = pq.read_table(part)
    stored = json.loads(table.schema.metadata[b"ovsam"])
    stored = changes.get("stored", {**stored, **changes.get("keys", {})})
    for name, kind in changes.get("columns", {}).items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.nulls(len(table), kind))
    if "drop" in changes:
        table = table.drop_columns(changes["drop"])
    pq.write_table(table.replace_schema_metadata({"ovsam": json.dumps(stored)}), part)


DAMAGES = {
    "truncated": lambda part: part.write_bytes(part.read_bytes()[:-20]),
    "empty": lambda part: part.write_bytes(b""),
    "metadata {}": lambda part: rewrite(part, stored={}),
    "metadata []": lambda part: rewrite(part, stored=[]),
    "metadata of other keys": lambda part: rewrite(part, keys={"keys": "AAAA"}),
    "metadata of too few keys": lambda part: rewrite(part, keys={"keys": ""}),
    "metadata of other types": lambda part: rewrite(part, keys={"fingerprint": 5}),
    "ids as text": lambda part: rewrite(part, columns={"image_id": pa.string()}),
    "status as number": lambda part: rewrite(part, columns={"status": pa.int64()}),
    "objects as text": lambda part: rewrite(part, columns={"objects": pa.string()}),
    "objects of others": lambda part: rewrite(
        part, columns={"objects": pa.list_(pa.struct([("bbox", pa.string())]))}
    ),
    "no names": lambda part: rewrite(part, drop=["file_name"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_part_is_set_aside_by_who_holds_the_output(folder, damage, caplog):
    good = fill(folder, "a", "b")
    bad = write_part(folder.parts_folder, [make_row("c")], "f")
    DAMAGES[damage](bad)
    content = bad.read_bytes()
    with pytest.raises(DamagedPartError, match=r"sets it aside in parts/bad and labels its images"):
        read_part_index(bad)
    assert len(folder.read_done("f")) == 2
    assert list_parts(folder.path) == [good]
    assert (folder.parts_folder / "bad" / bad.name).read_bytes() == content
    (said,) = caplog.messages
    assert said.startswith(f"{bad} is damaged (")
    assert said.endswith("parts/bad, and its images are labelled again")


def test_part_that_is_damaged_again_does_not_replace_the_first(folder):
    for content in (b"first", b"second"):
        bad = write_part(folder.parts_folder, [make_row("c")], "f")
        bad.write_bytes(content)
        assert len(folder.read_done("f")) == 0
    kept = {path.read_bytes() for path in (folder.parts_folder / "bad").iterdir()}
    assert kept == {b"first", b"second"}


def test_flipped_bit_in_a_column_is_found_and_the_part_set_aside_at_the_end(tmp_path):
    with pytest.raises(DamagedPartError), OutputFolder(tmp_path) as folder:  # noqa: PT012
        part = write_part(folder.parts_folder, [make_row(str(n)) for n in range(50)], "f")
        flip(part, 250)  # within the ids, the first column
        list(iterate_part_rows(part))
    assert list_parts(tmp_path) == []
    assert (tmp_path / "parts" / "bad" / part.name).exists()


def test_a_pipe_among_the_parts_is_refused_at_once(folder):
    os.mkfifo(folder.parts_folder / "part-x.parquet")
    with pytest.raises(OutputError, match=r"part-x\.parquet: it is a pipe, socket or device"):
        folder.read_done("f")


def test_part_of_a_later_version_is_kept_and_refused(folder):
    part = fill(folder, "a")
    rewrite(part, keys={"format": 9})
    with pytest.raises(OutputError, match=r"made by a later version of ovsam \(format 9") as caught:
        folder.read_done("f")
    assert not isinstance(caught.value, DamagedPartError)
    assert list_parts(folder.path) == [part]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_part_that_cannot_be_reached_is_no_damaged_one(folder, monkeypatch, number):
    part = fill(folder, "a")

    def refuse(*_, **__):
        raise OSError(number, "the reason")

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    with pytest.raises(OutputError, match=r"^cannot read .*: the reason$") as caught:
        folder.read_done("f")
    assert not isinstance(caught.value, DamagedPartError)
    assert list_parts(folder.path) == [part]


def test_unwritable_place_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_part(tmp_path / "file", [make_row("a")], "f")


def test_second_holder_is_locked_out_until_the_first_closes(tmp_path):
    first = OutputFolder(tmp_path)
    with pytest.raises(OutputLockedError, match=r"written by process [0-9]+ on .* since 20"):
        OutputFolder(tmp_path)
    first.close()
    OutputFolder(tmp_path).close()


def test_leftovers_of_killed_runs_are_swept(tmp_path):
    (tmp_path / "parts").mkdir()
    leftovers = [
        tmp_path / ".annotations.json.tmp-123",
        tmp_path / "parts" / ".part-0a.parquet.tmp-77",
    ]
    for path in leftovers:
        path.write_text("half")
    OutputFolder(tmp_path).close()
    assert not any(path.exists() for path in leftovers)


def test_output_that_is_a_file_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot use the output folder"):
        OutputFolder(tmp_path / "file")


def test_resume_with_equal_settings_keeps_rows(folder):
    fill(folder, "a", "b")
    folder.prepare("f", {"depends_on": DEPENDS_ON}, "resume")
    assert set(folder.read_done("f").keys.tolist()) == {compute_key("a"), compute_key("b")}


def test_resume_with_other_settings_names_what_changed(folder):
    fill(folder, "a")
    with pytest.raises(
        ConfigError, match=r"other settings: conf \(0.25 before, 0.5 now\).*overwrite"
    ):
        folder.prepare("g", {"depends_on": {**DEPENDS_ON, "conf": 0.5}}, "resume")
    assert len(list_parts(folder.path)) == 1


def test_overwrite_removes_everything_even_behind_a_damaged_run_file(folder):
    fill(folder, "a")
    (folder.path / "run.json").write_text("{")
    with (folder.path / "annotations.json").open("wb") as file:
        stream = SealedStream(file)
        stream.write(b'{"images":[]')
        stream.seal()
    folder.prepare("g", {"depends_on": DEPENDS_ON}, "overwrite")
    assert sorted(path.name for path in folder.path.iterdir()) == [".lock", "parts"]
    assert not list_parts(folder.path)


def test_error_policy_refuses_results_but_not_an_unused_folder(folder):
    folder.prepare("f", {"depends_on": DEPENDS_ON}, "error")
    fill(folder, "a")
    with pytest.raises(ConfigError, match="already holds results"):
        folder.prepare("f", {"depends_on": DEPENDS_ON}, "error")


def test_part_made_with_other_settings_is_refused(folder):
    fill(folder, "a", fingerprint="g")
    with pytest.raises(ConfigError, match="other weights or files"):
        folder.read_done("f")


def test_row_standing_twice_is_removed_once(folder, caplog):
    fill(folder, "a", "b")
    write_part(folder.parts_folder, [make_row("b"), make_row("c")], "f")
    assert len(folder.read_done("f")) == 3
    assert caplog.messages == [f"rows of {folder.path} that stood twice: 1; one of each is kept"]
    assert sorted(row["file_name"] for row in iterate_rows(folder.path)) == ["a", "b", "c"]


def test_run_file_round_trip_and_damage(folder):
    assert read_run_file(folder.path) == {}
    folder.write_run_file({"state": "finished", "settings": {"conf": 0.25}})
    assert read_run_file(folder.path)["settings"] == {"conf": 0.25}
    (folder.path / "run.json").write_text("{")
    with pytest.raises(OutputError, match="everything again with --on-existing overwrite"):
        read_run_file(folder.path)


def test_failures_file_has_one_line_a_failed_row(folder):
    write_part(folder.parts_folder, [make_row("a"), make_row("b", error="damaged «b»")], "f")
    assert folder.write_failures() == 1
    (line,) = (folder.path / "failures.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "image_id": compute_image_id("b"),
        "file_name": "b",
        "reason": "damaged «b»",
    }


def test_writer_commits_full_parts_and_the_rest(tmp_path):
    writer = PartWriter(tmp_path, "f", max_images=2, max_seconds=100)
    assert [writer.add(make_row(name)) for name in "abc"] == [False, True, False]
    assert len(list(tmp_path.iterdir())) == 1
    writer.commit()
    writer.commit()
    assert len(list(tmp_path.iterdir())) == 2


def test_writer_commits_old_rows_before_the_part_is_full(tmp_path):
    writer = PartWriter(tmp_path, "f", max_images=100, max_seconds=1e-9)
    assert writer.add(make_row("a"))


def test_late_part_of_a_worker_that_was_given_up_doubles_nothing(tmp_path):
    with OutputFolder(tmp_path) as folder:
        write_part(folder.parts_folder, [make_row("old")], "f")
        folder.read_done("f")
        first = write_part(folder.parts_folder, [make_row("a"), make_row("b")], "f")
        second = write_part(folder.parts_folder, [make_row("c")], "f")
        late = write_part(folder.parts_folder, [make_row("b"), make_row("c")], "f")
        folder.reconcile({first.name, second.name, late.name}, "f")
        assert len(list(iterate_rows(tmp_path))) == 6, "every part was reported: nothing is read"
        folder.reconcile({first.name, second.name}, "f")
        names = sorted(row["file_name"] for row in iterate_rows(tmp_path))
        assert names == ["a", "b", "c", "old"]


def test_a_pipe_in_the_place_of_run_json_is_refused(tmp_path):
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(OutputError, match="it is a pipe, socket or device"):
        read_run_file(tmp_path)
