import json


def test_vocabularies_lists_sizes_and_splits(run_ovsam):
    result = run_ovsam("vocabularies")
    assert result.code == 0
    rows = {line.split()[0]: line.split()[1:] for line in result.out.splitlines()}
    assert rows["coco"] == ["80", "48", "17", "173"]
    assert rows["lvis+imagenet21k"][0] == "22,047"
    assert rows["objects365"][1:3] == ["-", "-"]


def test_vocabularies_shows_how_a_file_reads(run_ovsam, tmp_path):
    (tmp_path / "pets.txt").write_text("cat, kitty\ndog\n")
    result = run_ovsam("vocabularies", tmp_path / "pets.txt", "--json")
    classes = json.loads(result.out)["classes"]
    assert [(item["id"], item["name"], item["texts"]) for item in classes] == [
        (1, "cat", ["cat", "kitty"]),
        (2, "dog", ["dog"]),
    ]


def test_vocabularies_prints_one_line_a_class(run_ovsam):
    lines = run_ovsam("vocabularies", "coco").out.splitlines()
    assert len(lines) == 81
    assert lines[1].split()[:4] == ["1", "person", "base", "person"]


def test_unknown_vocabulary_is_a_usage_error(run_ovsam):
    result = run_ovsam("vocabularies", "cocoo")
    assert result.code == 2
    assert "did you mean 'coco'" in result.err
