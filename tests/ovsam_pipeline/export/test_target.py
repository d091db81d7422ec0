"""The folder of an export: whole or absent, and nobody's files are replaced."""

from pathlib import Path

import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.export.target import EXPORT_FILE, check_folder, name_beside, replace_folder


def write_export(target, text="1"):
    with replace_folder(target, {"format": "yolo"}) as staging:
        (staging / "data.yaml").write_text(text)


def test_export_is_whole_or_absent(tmp_path):
    target = tmp_path / "e"

    def fail():
        with replace_folder(target, {}) as staging:
            (staging / "half").write_text("x")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert list(tmp_path.iterdir()) == []
    write_export(target)
    assert {path.name for path in target.iterdir()} == {"data.yaml", EXPORT_FILE}
    assert list(tmp_path.iterdir()) == [target]


def test_earlier_export_is_replaced_on_request_only(tmp_path):
    target = tmp_path / "e"
    write_export(target)
    with pytest.raises(ConfigError, match="--overwrite to replace it"):
        check_folder(target, overwrite=False)
    check_folder(target, overwrite=True)
    write_export(target, "2")
    assert (target / "data.yaml").read_text() == "2"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("overwrite", [False, True])
def test_folder_with_other_files_is_never_replaced(tmp_path, overwrite):
    target = tmp_path / "e"
    write_export(target)
    (target / "weights.pt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds 'weights.pt', which no export wrote"):
        check_folder(target, overwrite=overwrite)
    with pytest.raises(ConfigError, match="which no export wrote"):
        check_folder(tmp_path, overwrite=overwrite)


def test_files_links_and_missing_places_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for name in ("file", "link"):
        with pytest.raises(ConfigError, match="got the file or link"):
            check_folder(tmp_path / name, overwrite=True)
    with pytest.raises(ConfigError, match="in a folder that exists"):
        check_folder(tmp_path / "nowhere" / "e", overwrite=True)
    check_folder(tmp_path / "folder", overwrite=False)


def test_damaged_record_protects_what_is_there(tmp_path):
    write_export(tmp_path / "e")
    (tmp_path / "e" / EXPORT_FILE).write_text('{"entries": ["data.yaml"')
    with pytest.raises(ConfigError, match="which no export wrote"):
        check_folder(tmp_path / "e", overwrite=True)


def test_place_beside_is_named_as_the_output_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert name_beside(Path("a/labels"), "_yolo") == Path("a/labels_yolo")
    assert name_beside(Path(), "_yolo") == tmp_path.with_name(f"{tmp_path.name}_yolo")


def test_messages_name_the_flag_that_was_typed(tmp_path):
    write_export(tmp_path / "refs")
    with pytest.raises(ConfigError, match="give another place as -o, or --overwrite"):
        check_folder(tmp_path / "refs", overwrite=False, flag="-o")
