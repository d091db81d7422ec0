"""`ovsam audit` as a user types it."""

import json

from audit_example import write_asked, write_data, write_found


def test_the_summary_names_piles_and_the_worst(run_ovsam, tmp_path) -> None:
    data, found, asked = write_data(tmp_path), write_found(tmp_path), write_asked(tmp_path)
    out = tmp_path / "audit"
    done = run_ovsam("audit", data, "--predictions", found, "--asked", asked, "-o", out)
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0] == "7 annotations of 3 images compared with 7 objects of ours: 6 findings"
    assert [line.split() for line in lines[1:7]] == [
        ["pile", "kind", "findings", "above", ".5"],
        ["more", "missing", "1", "1"],
        ["fewer", "unsupported", "1", "1"],
        ["different", "box", "1", "1"],
        ["names", "name", "1", "1"],
        ["names", "swapped", "2", "2"],
    ]
    assert lines[7] == "the most suspicious:"
    assert "exchanged?" in lines[8]
    assert f"results: {out}" in lines


def test_json_is_one_object_and_not_asking_is_told(run_ovsam, tmp_path) -> None:
    data, found = write_data(tmp_path), write_found(tmp_path)
    given = ("audit", data, "--predictions", found, "-o", tmp_path / "audit")
    told = json.loads(run_ovsam(*given, "--json").out)
    assert (told["annotations"], told["annotations_asked"], told["exit_code"]) == (7, 0, 0)
    assert "the model was not asked about the annotated boxes" in run_ovsam(*given).out


def test_wrong_data_sets_are_one_sentence(run_ovsam, tmp_path) -> None:
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "cut.json").write_text('{"images": [')
    for arguments, sentence in (
        (("a.json", "b.json"), "expected one DATASET"),
        ((tmp_path / "no.json",), "expected a data set's name or a COCO file"),
        ((tmp_path / "list.json",), "got a list"),
        ((tmp_path / "cut.json",), "the file ends in the middle"),
    ):
        done = run_ovsam("audit", *arguments, "-o", tmp_path / "audit")
        assert done.code == 2
        assert sentence in done.err
        assert "Traceback" not in done.err
