"""Sources on an object store, against moto's S3 server on this machine."""

import io
import json
import pickle
import tarfile
import urllib.request

import pyarrow as pa
import pytest
from bad_images import encode, make_picture
from PIL import Image
from pyarrow import parquet
from s3_server import set_login

from ovsam.errors import ImageError
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.outcomes import STORAGE_FAILED, STORAGE_REFUSED
from ovsam_pipeline.sources.listing import list_images
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.storage.remote_path import RemotePath

PICTURE = make_picture()
PNG = encode(Image.fromarray(PICTURE), "PNG")


@pytest.fixture(scope="module")
def client(s3_server):
    with set_login(s3_server.meta.endpoint_url):
        yield s3_server


@pytest.fixture
def put(client, request):
    """Put objects into a bucket of the test's own; its name is `put.uri`."""
    bucket = "b-" + request.node.name.split("[")[0].replace("_", "-")[-50:].strip("-")
    client.create_bucket(Bucket=bucket)

    def put_objects(*keys: str, content: bytes = PNG) -> None:
        for key in keys:
            client.put_object(Bucket=bucket, Key=key, Body=content)

    put_objects.uri = f"s3://{bucket}"
    put_objects.delete = lambda key: client.delete_object(Bucket=bucket, Key=key)
    return put_objects


def get_names(*sources: object, **options: object) -> list[str]:
    return [record.file_name for record in list_images(sources, **options)]


def is_read(record) -> bool:
    return bool((decode_image(record) == PICTURE).all())


# Folders, objects, globs


def test_prefix_is_walked_like_a_folder(put):
    put("in/b.png", "in/sub/c.png", "in/a-b/d.PNG", "in/sub/note.txt", "in/.hidden/x.png", "x.png")
    put("in/old/run.json", "in/old/parts/part-1.parquet", "in/old/preview/1.jpg")
    listing = list_images([f"{put.uri}/in/"])
    records = list(listing)
    assert [r.file_name for r in records] == ["a-b/d.PNG", "b.png", "sub/c.png"]
    assert [r.size_bytes for r in records] == [len(PNG)] * 3
    assert all(r.mtime_ns > 1.6e18 for r in records)
    assert listing.left_out.files == {".txt": 1}
    assert get_names(f"{put.uri}/in") == get_names(f"{put.uri}/in/")
    assert all(is_read(record) for record in pickle.loads(pickle.dumps(records)))  # noqa: S301


def test_whole_bucket_is_a_source_and_an_output_in_it_is_not(put):
    put("a.png", "out/x.png", "sub/b.png")
    assert get_names(put.uri, outputs=[RemotePath(f"{put.uri}/out")]) == ["a.png", "sub/b.png"]


def test_globs_and_single_objects(put):
    put("x/1/a.png", "x/2/b.png", "x/2/c.txt", "x/2/deep/d.jpg", "x/noise")
    assert get_names(f"{put.uri}/x/*/*") == ["1/a.png", "2/b.png"]
    assert get_names(f"{put.uri}/x/**/*.[pj]*") == ["1/a.png", "2/b.png", "2/deep/d.jpg"]
    assert get_names(f"{put.uri}/x/2/*.txt") == ["c.txt"]
    assert get_names(f"{put.uri}/x/{{1/a,2/b}}.png") == ["1/a.png", "2/b.png"]
    assert get_names(f"{put.uri}/x/noise") == ["noise"]


def test_names_of_several_sources_never_collide(put, tmp_path):
    put("a/x.png", "b/x.png")
    (tmp_path / "x.png").write_bytes(PNG)
    assert get_names(f"{put.uri}/a", f"{put.uri}/b/") == ["a/x.png", "b/x.png"]
    mixed = get_names(f"{put.uri}/a", tmp_path, f"{put.uri}/b", f"{put.uri}/a/x.png")
    assert mixed == [f"{put.uri}/a/x.png", "x.png", f"{put.uri}/b/x.png"]


def test_identity_follows_the_object(put):
    put("in/a.png")
    (before,) = list_images([f"{put.uri}/in"])
    put("in/a.png", content=PNG + b"0")
    (after,) = list_images([f"{put.uri}/in"])
    assert before.file_name == after.file_name
    assert before.identity != after.identity


# Lists and JSON files


def test_list_mixes_objects_and_files(put, tmp_path):
    put("a.png", "deep/b.png")
    (tmp_path / "c.png").write_bytes(PNG)
    lines = f"{put.uri}/deep/b.png\nc.png\n{put.uri}/gone.png\n{put.uri}/deep/b.png\n"
    (tmp_path / "list.txt").write_text(lines)
    listing = list_images([tmp_path / "list.txt"])
    records = list(listing)
    names = [f"{put.uri}/deep/b.png", "c.png", f"{put.uri}/gone.png"]
    assert [r.file_name for r in records] == names
    assert [r.size_bytes for r in records] == [len(PNG), len(PNG), -1]
    assert listing.num_duplicates == 1
    with pytest.raises(ImageError, match="file not found"):
        decode_image(records[2])


def test_list_on_the_store_is_relative_to_itself(put):
    put("set/a.png", "set/sub/b.png")
    put("set/list.txt", content=b"a.png\nsub/b.png\n../set/x/../c.png\n../d.png\n")
    records = list(list_images([f"{put.uri}/set/list.txt"]))
    assert [r.file_name for r in records] == ["a.png", "sub/b.png", "c.png", f"{put.uri}/d.png"]
    assert is_read(records[1])


@pytest.mark.parametrize("line", ["/etc/hostname", "file:///etc/hostname", "../../a.png", "s3://"])
def test_list_on_the_store_names_no_file_of_this_machine(put, line):
    put("set/a.png")
    put("set/list.txt", content=f"a.png\n\n{line}\n".encode())
    with pytest.raises(SourceError, match=r"line 3 of s3://.*list\.txt: "):
        list(list_images([f"{put.uri}/set/list.txt"]))


@pytest.mark.parametrize("place", ["set/a.png", "set/images/a.png", "set/val/a.png"])
def test_coco_images_are_found_beside_the_file(put, tmp_path, place):
    for old in ("set/a.png", "set/images/a.png", "set/val/a.png"):
        put.delete(old)
    put(place)
    text = json.dumps({"images": [{"id": 7, "file_name": "a.png"}]})
    put("set/instances_val.json", content=text.encode())
    (record,) = list_images([f"{put.uri}/set/instances_val.json"])
    assert (record.image_id, record.file_name, record.size_bytes) == (7, "a.png", len(PNG))
    assert is_read(record)
    (tmp_path / "near.json").write_text(text)
    root = f"{put.uri}/{place.rpartition('/')[0]}"
    assert list(list_images([tmp_path / "near.json"], image_root=root)) == [record]


# Archives and tables


def test_tar_is_listed_from_its_headers_and_read_by_range(put, monkeypatch):
    monkeypatch.setattr("ovsam_pipeline.sources.tar._WINDOW_BYTES", 1024)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in [("1.png", PNG), ("1.txt", b"x" * 9000), ("2.png", PNG)]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    put("shards/x-0.tar", "shards/x-1.tar", content=stream.getvalue())
    names = [f"x-{i}.tar/{n}.png" for i in (0, 1) for n in (1, 2)]
    for source in ("shards", "shards/*.tar", "shards/x-{0..1}.tar"):
        records = list(list_images([f"{put.uri}/{source}"]))
        assert [r.file_name for r in records] == names
    assert all(is_read(record) for record in pickle.loads(pickle.dumps(records)))  # noqa: S301
    put.delete("shards/x-0.tar")
    with pytest.raises(ImageError, match="file not found"):
        decode_image(records[0])


def test_parquet_is_read_from_the_store(put):
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    cells = pa.array([{"bytes": PNG, "path": name} for name in ("a", "b")], kind)
    stream = io.BytesIO()
    parquet.write_table(pa.table({"image": cells, "other": cells}), stream)
    put("data/t.parquet", content=stream.getvalue())
    for source in ("data#image", "data/t.parquet#image", "data/*.parquet#other"):
        records = list(list_images([f"{put.uri}/{source}"]))
        assert [r.file_name for r in records] == ["t.parquet/a", "t.parquet/b"]
    assert all(is_read(record) for record in records)
    with pytest.raises(SourceError, match=rf"name one, as {put.uri}/data/t\.parquet#image"):
        get_names(f"{put.uri}/data")


# Errors


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("s3://no-such-bucket-here/in/", "no-such-bucket-here"),
        ("{uri}/none/", "expected a folder, file or glob, got .*/none/, which is not there"),
        ("{uri}/*.gif", r"expected files for the pattern .*\.gif, found none"),
        ("{uri}/texts", r"below .*/texts, found none; 1 file skipped that is no image \(1 \.txt\)"),
        ("{uri}/texts/x.tar.gz", r"expected a plain \.tar"),
        ("nosuchscheme://x/y", "nosuchscheme"),
    ],
)
def test_source_that_cannot_work_is_refused(put, source, reason):
    put("texts/a.txt", content=b"x")
    put("texts/x.tar.gz", content=b"x") if "tar" in source else put.delete("texts/x.tar.gz")
    with pytest.raises(SourceError, match=reason):
        get_names(source.format(uri=put.uri))


@pytest.fixture
def refusing(client):
    """Let the server check logins, which it knows none of, until the test ends."""
    url = client.meta.endpoint_url + "/moto-api/reset-auth"

    def ask(count: bytes) -> None:
        request = urllib.request.Request(url, count, {"Content-Type": "text/plain"})
        urllib.request.urlopen(request).close()

    yield lambda: ask(b"0")
    ask(b"inf")


def test_login_that_is_refused_is_one_sentence_or_a_failed_image(put, refusing):
    put("in/a.png")
    (record,) = list_images([f"{put.uri}/in"])
    refusing()
    for source in ("in/", "in/a.png", "in/*.png"):
        with pytest.raises(SourceError, match=rf"^cannot read .*{put.uri}.*(?i:access|refused)"):
            get_names(f"{put.uri}/{source}")
    with pytest.raises(ImageError, match=f"^({STORAGE_REFUSED}|{STORAGE_FAILED}): "):
        decode_image(record)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "access denied"), f"^{STORAGE_REFUSED}: access denied$"),
        (OSError("timed out"), f"^{STORAGE_FAILED}: timed out$"),
        (FileNotFoundError(2, "no"), "^file not found"),
    ],
)
def test_errors_of_the_store_become_reasons(put, monkeypatch, error, reason):
    def fail(*_: object) -> bytes:
        raise error

    put("in/a.png")
    (record,) = list_images([f"{put.uri}/in"])
    monkeypatch.setattr(RemotePath, "read_bytes", fail)
    with pytest.raises(ImageError, match=reason):
        decode_image(record)


def test_object_larger_than_any_allowed_image_is_not_read(put, monkeypatch):
    put("in/a.png", content=PNG + b"\0" * (2 << 20))
    (record,) = list_images([f"{put.uri}/in"])
    monkeypatch.delattr(RemotePath, "read_bytes")
    with pytest.raises(ImageError, match="expected at most 1 MB for the largest image allowed"):
        decode_image(record, max_pixels=100)


def test_key_with_two_slashes_does_not_send_the_walk_round(put):
    put("dd/b.png", "dd//a.png", "//lead.png", "root.png")
    assert get_names(f"{put.uri}/dd") == ["b.png"]
    assert get_names(put.uri) == ["dd/b.png", "root.png"]


def test_keys_with_a_question_mark_keep_it_in_their_names(put, tmp_path):
    put("q/a?1.png", "q/a?2.png", "q/b.png")
    assert get_names(f"{put.uri}/q/a?[12].png") == ["a?1.png", "a?2.png"]
    (tmp_path / "list.txt").write_text(f"{put.uri}/q/a?1.png\n{put.uri}/q/a?2.png\n")
    assert get_names(tmp_path / "list.txt") == [f"{put.uri}/q/a?1.png", f"{put.uri}/q/a?2.png"]
