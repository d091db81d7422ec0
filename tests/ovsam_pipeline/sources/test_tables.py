import json
import pickle
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from bad_images import encode, make_picture
from PIL import Image
from pyarrow import parquet

from ovsam.errors import ImageError
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.sources import cells as parquet_cell
from ovsam_pipeline.sources.cells import ParquetCell
from ovsam_pipeline.sources.listing import list_images
from ovsam_pipeline.sources.read_image import decode_image

PICTURE = make_picture()
PNG = encode(Image.fromarray(PICTURE), "PNG")
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def make_cells(names: list, content: bytes = PNG) -> pa.Array:
    return pa.array([{"bytes": content, "path": name} for name in names], IMAGE)


def write_parquet(path: Path, columns: dict, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path, **options)
    return path


def get_names(*sources: object) -> list[str]:
    return [record.file_name for record in list_images(sources)]


def test_image_struct_is_found_named_by_its_paths_and_read(tmp_path):
    columns = {"label": [1, 2, 3], "image": make_cells(["a.png", "b/c.png", "d.png"])}
    path = write_parquet(tmp_path / "train-00000.parquet", columns, row_group_size=2)
    records = list(list_images([path]))
    assert [r.file_name for r in records] == [
        "train-00000.parquet/a.png",
        "train-00000.parquet/b/c.png",
        "train-00000.parquet/d.png",
    ]
    assert len({r.identity for r in records}) == 3
    for record in pickle.loads(pickle.dumps(records)):  # noqa: S301  our own
        assert (decode_image(record) == PICTURE).all()


@pytest.mark.parametrize("names", [[None, None], ["x.png", "x.png"], ["", "y.png"]])
def test_rows_without_paths_of_their_own_are_numbered(tmp_path, names):
    path = write_parquet(tmp_path / "t.parquet", {"image": make_cells(names)})
    assert get_names(path) == ["t.parquet/000000", "t.parquet/000001"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_binary_column_is_an_image_column(tmp_path, kind):
    path = write_parquet(tmp_path / "t.parquet", {"n": [1], "jpeg": pa.array([PNG], kind)})
    (record,) = list_images([path])
    assert record.file_name == "t.parquet/000000"
    assert (decode_image(record) == PICTURE).all()


def test_several_image_columns_are_refused_until_one_is_named(tmp_path):
    other = encode(Image.fromarray(255 - PICTURE), "PNG")
    columns = {"left": make_cells(["a"]), "right": make_cells(["a"], other), "n": [1]}
    path = write_parquet(tmp_path / "t.parquet", columns)
    with pytest.raises(SourceError, match=r"got left, right: name one, as .*t\.parquet#left"):
        get_names(path)
    for column, expected in (("left", PICTURE), ("right", 255 - PICTURE)):
        for source in (path, f"{tmp_path}/*.parquet", tmp_path):
            (record,) = list_images([f"{source}#{column}"])
            assert (decode_image(record) == expected).all()
    with pytest.raises(SourceError, match=r"expected n as a column of image bytes .* left, right"):
        get_names(f"{path}#n")


def test_description_of_the_hub_decides_between_columns(tmp_path):
    features = {"mask": {"_type": "Value"}, "photo": {"_type": "Image"}}
    table = pa.table({"mask": make_cells(["m"]), "photo": make_cells(["p"])})
    note = json.dumps({"info": {"features": features}})
    parquet.write_table(
        table.replace_schema_metadata({"huggingface": note}), tmp_path / "t.parquet"
    )
    assert get_names(tmp_path / "t.parquet") == ["t.parquet/p"]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"a": [1], "b": ["x"]}, r"a column of images in .*t\.parquet .*got only a, b"),
        (
            {"image_id": [1], "file_name": ["a"], "status": ["x"], "objects": [[1]]},
            "which `ovsam label` wrote: it holds labels",
        ),
    ],
)
def test_tables_without_images_are_refused(tmp_path, columns, reason):
    write_parquet(tmp_path / "t.parquet", columns)
    for source in (tmp_path / "t.parquet", tmp_path, f"{tmp_path}/*.parquet"):
        with pytest.raises(SourceError, match=reason):
            get_names(source)


@pytest.mark.parametrize(
    "paths",
    [[["a"], ["b"]], [{"x": "a"}, {"x": "b"}], [1, 2], ["../..", "/"], ["../a.png", "/a.png"]],
    ids=["lists", "structs", "numbers", "climbs", "equal without climbs"],
)
def test_paths_that_are_no_names_number_the_rows(tmp_path, paths):
    cells = pa.array([{"bytes": PNG, "path": path} for path in paths])
    path = write_parquet(tmp_path / "t.parquet", {"image": cells})
    assert get_names(path) == ["t.parquet/000000", "t.parquet/000001"]


def test_paths_lead_nowhere_and_have_no_nul(tmp_path):
    names = ["../../etc/a.png", "/etc/b.png", "c/../d.png", "e\0.png"]
    path = write_parquet(tmp_path / "t.parquet", {"image": make_cells(names)})
    shown = ["etc/a.png", "etc/b.png", "d.png", "e\\x00.png"]
    assert get_names(path) == [f"t.parquet/{name}" for name in shown]


def test_odd_schemas_are_refused(tmp_path):
    images = make_cells(["a.png"])
    double = pa.Table.from_arrays([images, images], ["image", "image"])
    parquet.write_table(double, tmp_path / "double.parquet")
    with pytest.raises(SourceError, match=r"columns of different names .*, got two 'image'"):
        get_names(tmp_path / "double.parquet")
    nested = pa.array([{"bytes": {"bytes": PNG}, "path": "a.png"}])
    write_parquet(tmp_path / "nested.parquet", {"image": nested})
    with pytest.raises(SourceError, match="a column of images"):
        get_names(tmp_path / "nested.parquet")
    deep = pa.table({"image": images}).replace_schema_metadata({"huggingface": "[" * 100_000})
    parquet.write_table(deep, tmp_path / "deep.parquet")
    assert get_names(tmp_path / "deep.parquet") == ["deep.parquet/a.png"]


def test_folder_of_shards_is_read_and_an_output_inside_is_not(tmp_path):
    for index in (1, 0):
        columns = {"image": make_cells([f"{index}.png"])}
        write_parquet(tmp_path / f"in/data/train-{index}.parquet", columns)
    write_parquet(tmp_path / "in/out/parts/part-0.parquet", {"image": make_cells(["no"])})
    (tmp_path / "in/out/run.json").write_text("{}")
    (tmp_path / "in/README.md").write_text("")
    listing = list_images([tmp_path / "in"])
    names = ["data/train-0.parquet/0.png", "data/train-1.parquet/1.png"]
    assert [r.file_name for r in listing] == names
    assert listing.left_out.files == {".md": 1}
    assert get_names(f"{tmp_path}/in/data/train-{{0..1}}.parquet") == [n[5:] for n in names]


def test_empty_cells_and_changed_files_give_failed_images(tmp_path):
    cells = pa.array([None, {"bytes": None, "path": "a"}, {"bytes": b"no", "path": "b"}], IMAGE)
    path = write_parquet(tmp_path / "t.parquet", {"image": cells})
    first, second, third = list_images([path])
    for record in (first, second):
        with pytest.raises(ImageError, match="the cell holds no image bytes"):
            decode_image(record)
    with pytest.raises(ImageError, match="expected an image"):
        decode_image(third)
    with pytest.raises(ImageError, match="fewer rows"):
        decode_image(ParquetCell(path, "image", 0, 7))
    with pytest.raises(ImageError, match="another than was listed"):
        decode_image(ParquetCell(path, "image", 3, 0))
    with pytest.raises(ImageError, match="another than was listed"):
        decode_image(ParquetCell(path, "gone", 0, 0))
    with pytest.raises(ImageError, match="file not found"):
        decode_image(ParquetCell(tmp_path / "gone.parquet", "image", 0, 0))


def test_row_group_is_read_once_for_its_neighbours_and_threads(tmp_path, monkeypatch):
    columns = {"image": make_cells([str(i) for i in range(40)])}
    path = write_parquet(tmp_path / "t.parquet", columns, row_group_size=10)
    records = list(list_images([path]))
    reads = []
    read = ParquetCell._read_column

    def count(cell: ParquetCell) -> pa.ChunkedArray:
        reads.append(cell.row_group)
        return read(cell)

    monkeypatch.setattr(ParquetCell, "_read_column", count)
    threads = [
        threading.Thread(target=lambda: [r.path.read_bytes() for r in records]) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reads) == [0, 1, 2, 3]


def test_file_that_is_written_again_is_read_again(tmp_path):
    path = write_parquet(tmp_path / "t.parquet", {"image": make_cells(["a"], b"first")})
    (before,) = list_images([path])
    assert before.path.read_bytes() == b"first"
    write_parquet(path, {"image": make_cells(["a"], b"second, longer")})
    (after,) = list_images([path])
    assert after.identity != before.identity
    assert after.path.read_bytes() == b"second, longer"


def test_cache_drops_the_oldest_columns_over_its_bytes():
    cache = parquet_cell._ColumnCache(250)
    columns = {i: pa.chunked_array([np.zeros(100, np.uint8)]) for i in range(4)}
    for i in (0, 1, 0, 2):
        cache.get(("f", "c", i), lambda i=i: columns[i])
    assert [key[2] for key in cache._columns] == [0, 2]
    large = pa.chunked_array([np.zeros(999, np.uint8)])
    assert cache.get(("f", "c", 3), lambda: large) is large
    assert [key[2] for key in cache._columns] == [3]
    assert cache.num_bytes == 999


# Data sets that `datasets.save_to_disk` wrote


def write_saved(folder: Path, *batches: list, description: dict | None = None) -> None:
    """Write the layout of `save_to_disk`: an Arrow stream of record batches, and two JSON files."""
    folder.mkdir(parents=True)
    table = [pa.record_batch({"n": range(len(b)), "image": make_cells(b)}) for b in batches]
    with pa.ipc.new_stream(str(folder / "data-00000-of-00001.arrow"), table[0].schema) as writer:
        for batch in table:
            writer.write_batch(batch)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps(description or {}))


def test_saved_dataset_is_listed_and_read_batch_by_batch(tmp_path):
    write_saved(tmp_path / "set", ["a.png", "b.png"], ["c.png"])
    records = list(list_images([tmp_path / "set"]))
    name = "data-00000-of-00001.arrow"
    assert [r.file_name for r in records] == [f"{name}/{x}.png" for x in "abc"]
    assert len({r.identity for r in records}) == 3
    for record in pickle.loads(pickle.dumps(records)):  # noqa: S301  our own
        assert (decode_image(record) == PICTURE).all()


def test_saved_splits_are_folders_of_names(tmp_path):
    write_saved(tmp_path / "set/train", [None], [None])
    write_saved(tmp_path / "set/test", ["t.png"])
    (tmp_path / "set/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    names = [
        name.replace("data-00000-of-00001.arrow", "DATA") for name in get_names(tmp_path / "set")
    ]
    assert names == ["train/DATA/000000", "train/DATA/000001", "test/DATA/t.png"]


def test_damaged_saved_dataset_is_refused(tmp_path):
    write_saved(tmp_path / "set", ["a.png"])
    file = tmp_path / "set/data-00000-of-00001.arrow"
    (record,) = list_images([tmp_path / "set"])
    whole = file.read_bytes()
    file.write_bytes(whole[:-200])
    with pytest.raises(SourceError, match=r"cannot read|Arrow stream"):
        get_names(tmp_path / "set")
    file.write_bytes(b"\0" * len(whole))
    with pytest.raises(SourceError, match=r"cannot read|Arrow stream"):
        get_names(tmp_path / "set")
    with pytest.raises(ImageError, match="damaged Arrow file, or another"):
        decode_image(record)
    file.unlink()
    with pytest.raises(SourceError, match=r"cannot read .*No such file"):
        get_names(tmp_path / "set")
    (tmp_path / "set/state.json").write_text("[")
    with pytest.raises(SourceError, match=r"cannot read .*state\.json of a saved data set"):
        get_names(tmp_path / "set")
    (tmp_path / "set/state.json").write_text("[]")
    with pytest.raises(SourceError, match=r"expected an object with a list .*got \[\]"):
        get_names(tmp_path / "set")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("state.json", {"_data_files": 5}),
        ("state.json", {"_data_files": [5]}),
        ("state.json", {"_data_files": [{}]}),
        ("state.json", {"_data_files": [{"filename": 7}]}),
        ("state.json", {"_data_files": [{"filename": "/etc/hostname"}]}),
        ("state.json", {"_data_files": [{"filename": "../other.arrow"}]}),
        ("state.json", {"_data_files": [{"filename": "a\0"}]}),
        ("dataset_dict.json", {"splits": 5}),
        ("dataset_dict.json", {"splits": ["../other"]}),
        ("dataset_dict.json", {"splits": [None]}),
    ],
)
def test_saved_dataset_names_nothing_outside_of_itself(tmp_path, file, content):
    write_saved(tmp_path / "set", ["a.png"])
    (tmp_path / "set" / file).write_text(json.dumps(content))
    with pytest.raises(
        SourceError, match=r"expected (names of files inside|an object with a list)"
    ):
        get_names(tmp_path / "set")


def test_single_arrow_file_is_refused(tmp_path):
    (tmp_path / "x.arrow").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"or \.parquet, got .*x\.arrow"):
        list_images([tmp_path / "x.arrow"])
