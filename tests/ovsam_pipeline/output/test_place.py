from pathlib import Path

import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.output.place import choose_output


def choose(*sources: str) -> Path:
    return choose_output(sources, None, "_ovsam")


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["in/photos/"], "in/photos_ovsam"),
        (["in/photos/*.jpg"], "in/photos_ovsam"),
        (["in/shards/x-{0..9}.tar"], "in/shards_ovsam"),
        (["in/set.json"], "in/set.json_ovsam"),
        (["in/photos.tar"], "in/photos.tar_ovsam"),
        (["in/photos.txt"], "in/photos.txt_ovsam"),
        (["in/v1.0"], "in/v1.0_ovsam"),
        (["in/photos/a.jpg"], "in/photos_ovsam"),
        (["in/photos/a.jpg", "in/photos/b.jpg"], "in/photos_ovsam"),
        (["in/photos/deep", "in/photos/b.jpg"], "in/photos_ovsam"),
        (["in/photos", "in/other"], "in_ovsam"),
        (["in/photos/a.jpg", "s3://bucket/more/"], "in/photos_ovsam"),
        (["-"], "stdin_ovsam"),
        (["s3://bucket/photos/"], "photos_ovsam"),
        (["s3://bucket/photos/2024-*/x.jpg"], "photos_ovsam"),
        (["s3://bucket/photos/x.jpg"], "photos_ovsam"),
        (["s3://bucket/photos/a/", "s3://bucket/photos/b/"], "photos_ovsam"),
        (["s3://bucket?endpoint_override=h:1"], "bucket_ovsam"),
        (["hf://datasets/user/name"], "name_ovsam"),
        (["https://h.org/a/list.txt"], "list.txt_ovsam"),
    ],
)
def test_output_lies_beside_the_folder_of_the_images(tmp_path, monkeypatch, sources, expected):
    monkeypatch.chdir(tmp_path)
    for folder in ("in/photos/deep", "in/other", "in/v1.0"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "in/photos" / name).touch()
    assert choose(*sources) == tmp_path / expected


def test_files_that_are_added_do_not_change_the_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("b.jpg", "a.jpg", "sub/c.jpg")
    for count in range(1, 4):
        for name in names[:count]:
            (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "p" / name).touch()
        shell_glob = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "p").iterdir())
        assert choose(*shell_glob) == tmp_path / "p_ovsam"


@pytest.mark.parametrize("name", ["my photos [1]", "trip {2024}", "trip {a,b}", "q?x", "all *"])
def test_a_folder_that_exists_is_no_pattern(tmp_path, name):
    (tmp_path / name).mkdir()
    assert choose(str(tmp_path / name)) == tmp_path / f"{name}_ovsam"
    assert choose(f"{tmp_path}/{name}/*.jpg") == tmp_path / f"{name}_ovsam"


def test_the_output_is_beside_a_link_and_not_where_it_leads(tmp_path):
    (tmp_path / "far/photos").mkdir(parents=True)
    (tmp_path / "images").symlink_to(tmp_path / "far/photos")
    assert choose(f"{tmp_path}/images/") == tmp_path / "images_ovsam"
    (tmp_path / "circle").symlink_to("circle")
    assert choose(f"{tmp_path}/circle") == tmp_path / "circle_ovsam"


def test_sources_with_nothing_in_common_need_an_output(tmp_path):
    with pytest.raises(ConfigError, match="no folder in common: name one for the output, as -o"):
        choose("/etc", str(tmp_path))
    with pytest.raises(ConfigError, match="no folder in common"):
        choose("s3://one/a/", "s3://two/b/")
