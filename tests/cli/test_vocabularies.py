import json

from PIL import Image


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


def test_vocabularies_counts_the_examples_of_a_class(run_ovsam, tmp_path):
    for name, count in {"cup": 2, "pen": 1}.items():
        (tmp_path / "crops" / name).mkdir(parents=True)
        for number in range(count):
            colours = "red", "blue"
            picture = Image.new("RGB", (40, 40), colours[number])
            picture.save(tmp_path / "crops" / name / f"{number}.png")
    lines = run_ovsam("vocabularies", f"examples:{tmp_path / 'crops'}").out.splitlines()
    assert "examples" in lines[0]
    assert lines[1].split()[:2] == ["1", "cup"]
    assert lines[1].split()[-1] == "2"
    assert lines[2].split()[-1] == "1"
