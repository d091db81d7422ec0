"""`ovsam review` from question to answer, with every format, on an output without a model."""

import csv
import io
import json
from dataclasses import replace

import pytest
from PIL import Image
from reviewed_rows import HEIGHT, WIDTH, answer, draw_mask, make_labelled, make_row, write_output
from typer.testing import CliRunner

from ovsam.errors import ConfigError
from ovsam_pipeline.commands.contents import app
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.output.parts import write_part
from ovsam_pipeline.output.reviews import append_answers, read_answers
from ovsam_pipeline.records import Origin

BOXES = [(left, 4, 8, 8) for left in range(2, 50, 10)]
EDITORS = ("label-studio", "cvat", "fiftyone", "coco")


@pytest.fixture
def output(tmp_path):
    """Two images with their pictures, and an output of them."""
    pictures = tmp_path / "pictures"
    (pictures / "b").mkdir(parents=True)
    rows = []
    for number, (name, count) in enumerate({"a.jpg": 5, "b/=1.png": 2}.items()):
        Image.new("RGB", (WIDTH, HEIGHT), "white").save(pictures / name)
        objects = [make_labelled(box, risk=0.5 - 0.1 * number) for box in BOXES[:count]]
        row = make_row(name, *objects, image_id=number)
        rows.append(replace(row, origin=Origin(str(pictures), str(pictures))))
    folder = write_output(tmp_path / "labels", fingerprint="f")
    write_part(folder / "parts", rows, "f")
    return folder


def run(*arguments):
    result = CliRunner().invoke(app, ["review", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def ask(output, *arguments, count=7):
    result = run(output, "--queue", count, "--json", *arguments)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    return output.parent / found["folder"]


@pytest.mark.parametrize("editor", EDITORS)
def test_what_nobody_changed_is_accepted_where_the_editor_cannot_say_more(output, editor) -> None:
    folder = ask(output, "--export", editor)
    file = folder / "tasks.json" if editor == "label-studio" else folder
    result = run(output, "--import", file, "--by", "ann", "--json")
    found = json.loads(result.stdout)
    # Label Studio says which tasks were submitted: none.
    expected = {} if editor == "label-studio" else {"accepted": 7}
    assert found["verdicts"] == expected
    assert found["new"] == found["answers"] == sum(expected.values())
    again = json.loads(run(output, "--import", file, "--by", "ann", "--json").stdout)
    assert again["new"] == 0


def fill(folder, *answers):
    """Fill in a sheet as a spreadsheet that writes semicolons does."""
    path = folder / "answers.csv"
    text = path.read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text), delimiter=";" if ";" in text else ","))
    for row, said in zip(rows, answers, strict=True):
        row.update(said)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys(), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_sheet(output) -> None:
    folder = ask(output, "--export", "csv")
    with (folder / "answers.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["file_name"] for row in rows] == ["a.jpg"] * 5 + ["b/=1.png"] * 2
    assert rows[0]["category"] == "cat"
    for row in rows:
        with Image.open(folder / row["picture"]) as picture:
            assert min(picture.size) > 100
    said = [{"answer": "y"}, {"answer": " N "}, {"true_name": "'=cup"}, {}, {}, {}, {"answer": "Y"}]
    fill(folder, *said)
    result = run(output, "--import", folder, "--by", "ann")
    assert result.exit_code == 0
    assert "4 new answers of 4" in result.stdout
    verdicts = {(one.file_name, one.verdict, one.category) for one in read_answers(output)}
    assert verdicts == {
        ("a.jpg", "accepted", "cat"),
        ("a.jpg", "rejected", None),
        ("a.jpg", "renamed", "=cup"),
        ("b/=1.png", "accepted", "cat"),
    }
    # The same sheet, filled in further.
    path = fill(folder, *said[:3], {"answer": "y"}, *said[4:])
    assert "1 new answer of 5" in run(output, "--import", path, "--by", "ann").stdout


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"answer": "maybe"}, "expected y or n as the answer in line 2"),
        ({"answer": "y", "true_name": "cup"}, "line 2 of .* says that 'cat' is right"),
    ],
)
def test_a_line_that_says_two_things_is_refused(output, said, sentence) -> None:
    folder = ask(output, "--export", "csv")
    path = fill(folder, said, *[{}] * 6)
    with pytest.raises(DatasetError, match=sentence):
        run(output, "--import", path)
    assert not read_answers(output)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a,b\n1,2\n", "expected the columns of ovsam review --export csv"),
        (b"answer,true_name,file_name,key,category\n\xff\xfe\n", "expected UTF-8"),
        (b"", "expected the columns"),
    ],
)
def test_another_table_is_a_sentence(output, tmp_path, content, sentence) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=sentence):
        run(output, "--import", path)


def test_a_missing_file_is_a_sentence(output, tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"cannot read .*: No such file"):
        run(output, "--import", tmp_path / "none.csv")


def test_pictures_that_are_gone(output, tmp_path) -> None:
    (tmp_path / "pictures" / "a.jpg").unlink()
    pictures = tmp_path / "pictures"
    result = run(output, "--queue", 7, "--export", "csv", "--source", pictures)
    assert result.exit_code == 3
    assert "1 picture is gone" in result.stdout
    assert "a.jpg: " in result.stdout
    assert "7 objects in 2 images to look at" in result.stdout


def test_the_sample_measures(output) -> None:
    result = run(output, "--sample", 6, "--export", "csv", "--to", output.parent / "sheet")
    assert result.exit_code == 0
    fill(output.parent / "sheet", {"answer": "y"}, {"answer": "y"}, {"answer": "n"}, {}, {}, {})
    run(output, "--import", output.parent / "sheet")
    found = json.loads(run(output, "--json").stdout)["sample"]
    assert (found["objects"], found["population"], found["checked"], found["right"]) == (6, 7, 3, 2)
    text = run(output).stdout
    assert "sample of 6 of 7 objects: 3 answered, 2 right" in text
    assert "precision of all labels: 66.7 % (" in text
    assert "next: answer the other 3 objects of the sample" in text


def test_a_look_at_the_queue_records_nothing(output) -> None:
    text = run(output, "--queue", 1).stdout
    assert text.startswith("queue of 5 objects in 1 image\n")
    assert not (output / "review-batches.jsonl").exists()
    append_answers(output, [answer(reviewed=draw_mask(*box)) for box in BOXES])
    assert run(output, "--queue", 1).stdout.startswith("queue of 2 objects in 1 image\n")
    found = json.loads(run(output, "--json").stdout)
    assert (found["labels_judged"], found["labels_right"]) == (5, 5)
    assert found["verdicts"] == {"accepted": 5}


def test_images_that_changed_or_are_gone_are_told(output) -> None:
    other = draw_mask(0, 0, 8, 8, size=(2 * HEIGHT, 2 * WIDTH))
    append_answers(output, [answer("a.jpg", reviewed=other), answer("old.jpg", reviewed=other)])
    text = run(output).stdout
    assert "1 reviewed image is not in this output" in text
    assert "1 reviewed image is another picture or size by now" in text
    found = json.loads(run(output, "--json").stdout)
    assert (found["images_gone"], found["images_changed"], found["labels_judged"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--queue", 1, "--sample", 1), "expected one of --queue, --sample, --import, --certify"),
        (("--certify", 0.9, "--calibrate"), "got --certify and --calibrate"),
        (("--confidence", 0.9), "--confidence is that of --certify X"),
        (("--export", "csv"), "--export needs what to ask about"),
        (("--queue", 1, "--export", "x"), "expected --export as one of label-studio, cvat"),
        (("--queue", 1, "--export", "csv", "--images", "x"), "expected --images as copy"),
        (("--queue", 1, "--export", "csv", "--to", "s3://b/x"), "expected --to as a folder of"),
        (("--import", "x.csv", "--format", "x"), "expected --format as one of label-studio"),
    ],
)
def test_options_that_cannot_work(output, arguments, sentence) -> None:
    with pytest.raises(ValueError, match=sentence):
        run(output, *arguments)


def test_nothing_left_to_ask(output) -> None:
    append_answers(output, [answer(reviewed=draw_mask(*box)) for box in BOXES])
    append_answers(output, [answer("b/=1.png", reviewed=draw_mask(*box)) for box in BOXES[:2]])
    with pytest.raises(ValueError, match="has no object that nobody has reviewed"):
        run(output, "--queue", 1)
    with pytest.raises(ValueError, match="all 7 objects of this sample are answered already"):
        run(output, "--sample", 7, "--export", "csv")


def sample_all(output) -> None:
    """Draw all seven objects as a sample, and accept them."""
    folder = json.loads(run(output, "--sample", 7, "--export", "coco", "--json").stdout)["folder"]
    assert run(output, "--import", output.parent / folder, "--by", "ann").exit_code == 0


def test_what_is_certified_is_told_again(output) -> None:
    sample_all(output)
    result = run(output, "--certify", "0.9")
    assert result.exit_code == 0
    (sentence, *_) = result.stdout.splitlines()
    assert sentence.startswith(
        "certified: of the 7 objects (100 % of 7) with a risk of at most 0.5"
    )
    assert sentence in run(output).stdout
    assert json.loads(run(output, "--json").stdout)["certified"]["accepted"] == 7
    assert json.loads((output / "run.json").read_text())["certified"]["threshold"] == 0.5


def test_calibration_of_few_answers_says_how_many_are_missing(output) -> None:
    sample_all(output)
    with pytest.raises(ValueError, match="got 7: 43 answers missing"):
        run(output, "--calibrate")


def test_an_image_that_cannot_be_read_is_left_out_and_said_to_be(output) -> None:
    folder = ask(output, "--export", "coco")
    file = next(path for path in folder.rglob("*.json") if path.name != "export.json")
    data = json.loads(file.read_text())
    data["annotations"][0]["category_id"] = 99
    file.write_text(json.dumps(data))
    result = run(output, "--import", file)
    assert result.exit_code == 3
    assert "no answers taken: its category_id 99 is none of the categories" in result.stdout
    told = json.loads(run(output, "--import", file, "--json").stdout)
    assert list(told["left_out"].values()) == [1]


def test_names_that_are_no_class_are_told_at_the_import(output) -> None:
    folder = ask(output, "--export", "csv", count=1)
    path = fill(folder, {"true_name": "catt"})
    result = run(output, "--import", path)
    assert result.exit_code == 0
    assert "1 new class, by a name that was none: 'catt'" in result.stdout
    assert json.loads(run(output, "--import", path, "--json").stdout)["new_names"] == []


def test_the_command_to_ask_has_the_number_that_was_typed(output) -> None:
    """Whole images hold more objects than were asked for: typed again, it would grow."""
    lines = run(output, "--queue", 6).stdout.splitlines()
    assert lines[0] == "queue of 7 objects in 2 images"
    assert f"ovsam review {output} --queue 6 --export" in lines[-1]


def test_an_answered_sample_is_told_before_its_folder(output) -> None:
    folder = (
        output.parent
        / json.loads(run(output, "--sample", 7, "--export", "csv", "--json").stdout)["folder"]
    )
    file = fill(folder, *({"answer": "y"} for _ in range(7)))
    run(output, "--import", file)
    with pytest.raises(ConfigError, match="all 7 objects of this sample are answered already"):
        run(output, "--sample", 7, "--export", "csv")


def test_two_lines_of_one_object_that_differ_are_refused(output) -> None:
    path = fill(ask(output, "--export", "csv"), {"answer": "y"}, *[{}] * 6)
    first = path.read_text().splitlines()[1]
    path.write_text(path.read_text() + first + "\n")
    assert "1 new answer of 2" in run(output, "--import", path).stdout
    path.write_text(path.read_text() + first.replace(";y;", ";n;") + "\n")
    with pytest.raises(DatasetError, match=r"lines 2 and 10 of .* say two things"):
        run(output, "--import", path)
