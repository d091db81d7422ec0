import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from bad_images import encode, make_picture
from PIL import Image

from ovsam.errors import ImageError
from ovsam_pipeline.errors import SourceError
from ovsam_pipeline.sources.listing import list_images
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.sources.tar import parse_tar_header

PICTURE = make_picture()
PNG = encode(Image.fromarray(PICTURE), "PNG")


def write_tar(path: Path, files: dict[str, bytes], kind: int = tarfile.PAX_FORMAT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=kind) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def get_names(*sources: object) -> list[str]:
    return [record.file_name for record in list_images(sources)]


def test_members_are_listed_without_their_neighbours_and_decode(tmp_path):
    files = {"0001.png": PNG, "0001.json": b"{}", "0001.cls": b"7", "./deep/0002.png": PNG}
    listing = list_images([write_tar(tmp_path / "train-000.tar", files)])
    records = list(listing)
    assert [r.file_name for r in records] == [
        "train-000.tar/0001.png",
        "train-000.tar/deep/0002.png",
    ]
    assert [r.size_bytes for r in records] == [len(PNG)] * 2
    assert listing.left_out.files == {".json": 1, ".cls": 1}
    for record in pickle.loads(pickle.dumps(records)):  # noqa: S301  our own
        assert (decode_image(record) == PICTURE).all()


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_gives_what_pythons_own_reader_gives(tmp_path, kind):
    rng = np.random.default_rng(3)
    names = ["a.jpg", "d" * 90 + "/" + "e" * 60 + ".jpg", "empty.jpg", "x" * 99 + "/b.jpg"]
    if kind != tarfile.USTAR_FORMAT:
        names += ["n" * 300 + ".jpg", "ö/" + "ü" * 120 + ".jpg"]
    files = {name: rng.bytes(int(rng.integers(0, 3000))) for name in names}
    files["empty.jpg"] = b""
    path = write_tar(tmp_path / "x.tar", files, kind)
    records = list(list_images([path]))
    with tarfile.open(path) as archive:
        expected = [(f"x.tar/{m.name}", m.offset_data, m.size) for m in archive]
    found = [(r.file_name, r.path.offset, r.size_bytes) for r in records]
    assert found == expected
    assert [r.path.read_bytes() for r in records] == list(files.values())


def test_links_folders_and_hidden_members_are_no_images(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind in [("f.jpg", tarfile.DIRTYPE), ("s.jpg", tarfile.SYMTYPE)]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "k" * 200
            archive.addfile(member)
        for name in ("._a.jpg", "a.jpg"):
            archive.addfile(tarfile.TarInfo(name))
    assert get_names(path) == ["x.tar/a.jpg"]


def test_braces_and_globs_name_shards(tmp_path):
    for index in (8, 9, 10):
        write_tar(tmp_path / f"shards/train-{index:03d}.tar", {f"{index}.jpg": b"x"})
    expected = ["train-008.tar/8.jpg", "train-009.tar/9.jpg", "train-010.tar/10.jpg"]
    assert get_names(f"{tmp_path}/shards/train-{{008..010}}.tar") == expected
    assert get_names(f"{tmp_path}/shards/train-{{008,009}}.tar") == expected[:2]
    assert get_names(f"{tmp_path}/shards/*.tar") == expected
    with pytest.raises(SourceError, match=r"got .*train-011\.tar, which is not there"):
        get_names(f"{tmp_path}/shards/train-{{008..011}}.tar")
    assert get_names(f"{tmp_path}/{{shards/train-008.tar,shards}}") == [
        "train-008.tar/8.jpg",
        *expected[1:],
    ]


def test_folder_gives_archives_only_where_it_holds_no_image(tmp_path):
    write_tar(tmp_path / "in/sub/x.tar", {"a.jpg": b"x", "note.txt": b""})
    write_tar(tmp_path / "in/y.tar", {"b.jpg": b"x"})
    (tmp_path / "in/README.md").write_text("")
    listing = list_images([tmp_path / "in"])
    assert [r.file_name for r in listing] == ["sub/x.tar/a.jpg", "y.tar/b.jpg"]
    assert listing.left_out.files == {".md": 1, ".txt": 1}
    (tmp_path / "in/photo.jpg").write_bytes(b"x")
    assert [r.file_name for r in listing] == ["photo.jpg"]
    assert listing.describe_left_out() == [
        "3 files skipped that are not images (2 .tar, 1 .md); images in .tar files are read where "
        "these are named"
    ]


def test_list_file_may_name_archives(tmp_path):
    write_tar(tmp_path / "x.tar", {"a.jpg": b"x"})
    (tmp_path / "b.jpg").write_bytes(b"x")
    (tmp_path / "list.txt").write_text("b.jpg\nx.tar\nx.tar\n")
    listing = list_images([tmp_path / "list.txt"])
    assert [r.file_name for r in listing] == ["b.jpg", "x.tar/a.jpg"]
    assert listing.num_duplicates == 1


def test_of_two_members_with_one_name_the_first_is_taken(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for content in (b"1", b"22"):
            member = tarfile.TarInfo("a.jpg")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    listing = list_images([path])
    assert [r.size_bytes for r in listing] == [1]
    assert listing.num_duplicates == 1


def test_identity_follows_the_archive(tmp_path):
    path = write_tar(tmp_path / "x.tar", {"a.jpg": b"1", "b.jpg": b"2"})
    before = [r.identity for r in list_images([path])]
    assert [r.identity for r in list_images([path])] == before
    assert len(set(before)) == 2
    write_tar(path, {"a.jpg": b"1", "b.jpg": b"2", "c.jpg": b"3"})
    assert not {r.identity for r in list_images([path])} & set(before)


@pytest.mark.parametrize("name", ["x.tar.gz", "x.tgz", "x.tar.zst", "x.tar.bz2"])
def test_compressed_archives_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SourceError, match=r"expected a plain \.tar, got .*decompress it first"):
        list_images([tmp_path / name])


def test_cut_off_archive_is_refused_where_it_ends(tmp_path):
    path = write_tar(tmp_path / "x.tar", {"a.jpg": b"1" * 700, "b.jpg": b"2" * 700})
    whole = path.read_bytes()
    for length, reason in [
        (100, "expected a tar header"),
        (512 + 300, r"expected 700 bytes of 'a\.jpg', got the end at byte 512 of .*copy it again"),
        (1536 + 512 + 699, r"expected 700 bytes of 'b\.jpg'"),
        (2 * 1536, "expected a member or the end mark, got the end at byte 3072"),
        (1536 + 80, "expected a member or the end mark, got the end at byte 1536"),
    ]:
        path.write_bytes(whole[:length])
        with pytest.raises(SourceError, match=reason):
            get_names(path)


def test_damaged_header_and_other_files_are_refused(tmp_path):
    path = write_tar(tmp_path / "x.tar", {"a.jpg": b"1", "b.jpg": b"2"})
    data = bytearray(path.read_bytes())
    data[1024 + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        SourceError, match=r"expected a tar header, got b'b\.j.*at byte 1024 of .*x\.tar"
    ):
        get_names(path)
    path.write_bytes(b"")
    with pytest.raises(SourceError, match="expected a tar header, got b''"):
        get_names(path)


def test_archive_that_changes_or_goes_gives_failed_images(tmp_path):
    path = write_tar(tmp_path / "x.tar", {"a.png": PNG, "b.png": PNG})
    first, second = list_images([path])
    whole = path.read_bytes()
    path.write_bytes(whole[: second.path.offset + 20])
    with pytest.raises(ImageError, match="ends in the middle of this image"):
        decode_image(second)
    path.write_bytes(b"\0" * len(whole))
    with pytest.raises(ImageError, match="changed since it was listed"):
        decode_image(first)
    path.unlink()
    with pytest.raises(ImageError, match="file not found"):
        decode_image(first)


def test_large_and_signed_numbers_of_headers_are_read():
    block = bytearray(512)
    block[:5] = b"a.jpg"
    block[124:136] = b"\x80" + (10 << 30).to_bytes(11, "big")
    block[148:156] = b"%06o\0 " % (sum(block) + 8 * 32)
    assert parse_tar_header(bytes(block)).size == 10 << 30
    block[0] = 0xE9
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % np.frombuffer(bytes(block), np.int8).sum(dtype=int)
    assert parse_tar_header(bytes(block)) is not None
    block[10] = 1
    assert parse_tar_header(bytes(block)) is None
    assert parse_tar_header(b"") is None
