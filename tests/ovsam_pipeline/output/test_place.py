from pathlib import Path

import pytest

from ovsam_pipeline.output.place import choose_output


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("in/photos/", "in/photos_ovsam"),
        ("in/photos/*.jpg", "in/photos_ovsam"),
        ("in/shards/x-{0..9}.tar", "in/shards_ovsam"),
        ("in/set.json", "in/set_ovsam"),
        ("s3://bucket/photos/", "photos_ovsam"),
        ("s3://bucket/photos/2024-*/x.jpg", "photos_ovsam"),
        ("s3://bucket?endpoint_override=h:1", "bucket_ovsam"),
        ("hf://datasets/user/name", "name_ovsam"),
        ("https://h.org/a/list.txt", "list_ovsam"),
    ],
)
def test_output_lies_beside_a_folder_and_here_for_an_address(
    tmp_path, monkeypatch, source, expected
):
    monkeypatch.chdir(tmp_path)
    assert choose_output([source], None, "_ovsam") == Path(tmp_path).resolve() / expected
