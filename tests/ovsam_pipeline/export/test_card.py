"""The dataset card: what it tells, and that text of others stays text."""

from dataclasses import replace

import pytest
import yaml
from reviewed_rows import answer, draw_mask, make_labelled, make_row, write_output

from ovsam_pipeline.export.card import escape, write_card
from ovsam_pipeline.export.labels import LabelChoice
from ovsam_pipeline.output.checked_labels import (
    Calibration,
    Certificate,
    ClassCertificate,
    FittedMap,
    Precision,
    write_calibration,
)
from ovsam_pipeline.output.reviews import append_answers
from ovsam_pipeline.records import LabelRecord

BOXES = [(left, 0, 8, 8) for left in range(0, 50, 10)]
RUN = {
    "fingerprint": "f",
    "model": {"name": "rn50x16", "licence": "S-Lab License 1.0"},
    "detector": {"name": "detic", "licence": "Apache-2.0"},
    "vocabulary": {"name": "lvis", "classes": 1203},
    "depends_on": {"conf": 0.25, "model_hash": "0123", "labels_version": 2},
}
CERTIFICATE = Certificate(
    0.9, 0.95, 0.2531, 612, 1074, 3, 112, 4, 200, 0, 150, 1,
    (ClassCertificate("cup", 0.5, 80, 90, 40, 0),), ("ann",), "f", "2026-11-29T10:00",
)  # fmt: skip
FITTED = FittedMap(
    2.0, 1.5, 60, 50, 0.25, 0.04, ((0.3, 0.6, 30), (0.7, 0.9, 30)), ((0.8, 0.8, 60),)
)


@pytest.fixture
def output(tmp_path):
    rows = [
        make_row("a.jpg", *(make_labelled(box, risk=0.2) for box in BOXES)),
        make_row("b.jpg", make_labelled(BOXES[0], "dog", score=0.3, risk=0.8), image_id=2),
        make_row("c.jpg", image_id=3),
        LabelRecord(4, "d.jpg", None, None, "failed", "file is empty", identity="d|1"),
    ]
    return write_output(tmp_path / "labels", *rows, **RUN)


def write(output, tmp_path, choice=None, **values):
    folder = tmp_path / "export"
    folder.mkdir(exist_ok=True)
    write_card(output, folder, choice or LabelChoice(), **values)
    return (folder / "README.md").read_text()


def test_card_says_what_there_is_and_what_made_it(output, tmp_path):
    text = write(output, tmp_path)
    assert "3 images (1 without an object), 6 objects with masks, 2 classes." in text
    assert "| model | rn50x16, licence of the weights: S-Lab License 1.0 |" in text
    assert "| detector | detic, licence of the weights: Apache-2.0 |" in text
    assert "| vocabulary | lvis, 1203 names |" in text
    assert "| conf | 0.25 |" in text
    assert "hash" not in text
    assert "Nobody has measured it" in text
    assert "Nobody has reviewed these labels." in text


def test_card_says_what_failed_and_what_is_doubtful(output, tmp_path):
    text = write(output, tmp_path)
    assert "- 1 image is left out, as they could not be labelled:" in text
    assert "| 1 | file is empty | d.jpg |" in text
    assert "- 1 of 6 objects that nobody reviewed (16.7 %) have a risk of 0.5 or more." in text


def test_front_matter_is_yaml_of_the_hub(output, tmp_path):
    _, front, _ = write(output, tmp_path).split("---\n", 2)
    found = yaml.safe_load(front)
    assert found["pretty_name"] == "labels"
    assert found["license"] == "unknown"
    assert found["task_categories"] == ["image-segmentation", "object-detection"]
    assert found["size_categories"] == ["n<1K"]
    assert found["annotations_creators"] == ["machine-generated"]


def test_card_tells_what_was_measured_and_certified(output, tmp_path):
    write_calibration(output, Calibration(FITTED, None, 80, ("ann",), "f", "2026-11-29T10:00"))
    measured = Precision(200, 176, 4, 0.81, 0.92)
    text = write(output, tmp_path, precision=measured, certificate=CERTIFICATE)
    assert "**88 %** (81 % to 92 % with 95 % confidence), by 200 checks of 204 objects" in text
    assert "of the 612 objects (57 %) with `risk` ≤ 0.2531 at least **90 %** are right" in text
    assert "of class cup 80 of 90 with `risk` ≤ 0.5 (0 of 40 checks wrong)" in text
    assert "3 objects are newer than the sample and not covered" in text
    assert "off by 0.250; calibrated (sigmoid(2.000 · logit(1 - risk) + 1.500)) by 0.040" in text
    assert "![Scores against the share of right labels](card_reliability.svg)" in text


@pytest.mark.parametrize(
    ("choice", "is_whole"),
    [
        ({}, True),
        ({"max_risk": 0.2531}, True),
        ({"max_risk": 0.3}, True),
        ({"max_risk": 0.2}, False),
        ({"classes": ("cat",)}, False),
        ({"min_score": 0.4}, False),
        ({"reviewed_only": True}, False),
    ],
)
def test_a_part_of_what_is_certified_is_promised_nothing(output, tmp_path, choice, is_whole):
    text = write(output, tmp_path, LabelChoice(**choice), certificate=CERTIFICATE)
    assert ("of those alone nothing is promised" not in text) == is_whole


@pytest.mark.parametrize("change", [{"stale": True}, {"revised": True}, {"threshold": None}])
def test_certificate_that_counts_no_more_is_not_told(output, tmp_path, change):
    assert "Certified" not in write(output, tmp_path, certificate=replace(CERTIFICATE, **change))


def test_stale_calibration_is_not_told(output, tmp_path):
    write_calibration(output, Calibration(FITTED, None, 80, ("ann",), "old", "2026-11-29T10:00"))
    text = write(output, tmp_path)
    assert "logit" not in text
    assert "reliability" not in text
    assert "Nobody has measured it" in text


def test_people_and_what_they_changed_are_told(output, tmp_path):
    append_answers(output, [answer("a.jpg", "dog", reviewed=draw_mask(*BOXES[0]))])
    append_answers(output, [answer("a.jpg", None, reviewed=draw_mask(*BOXES[1]), by="<b>")])
    text = write(output, tmp_path)
    assert "2 answers on 1 image: 1 renamed, 1 rejected. By ann (1), &lt;b&gt; (1)." in text
    assert "5 objects with masks" in text
    assert "1 object is as accepted or drawn by a person" in text


def test_choice_of_objects_is_told(output, tmp_path):
    text = write(output, tmp_path, LabelChoice(min_score=0.5, classes=("cat", "dog")))
    assert (
        "Only objects with a score of at least 0.5, of the classes cat, dog are here. Neither"
        in text
    )


def test_plots_are_pictures_that_no_loader_takes_for_data(output, tmp_path):
    write(output, tmp_path)
    assert {path.name for path in (tmp_path / "export").iterdir()} == {
        "README.md",
        "card_classes.svg",
        "card_scores.svg",
    }
    assert "cat" in (tmp_path / "export" / "card_classes.svg").read_text()


def test_same_labels_give_the_same_card(output, tmp_path):
    write(output, tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "export").iterdir()}
    for path in (tmp_path / "export").iterdir():
        path.unlink()
    write(output, tmp_path)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "export").iterdir()}


def test_output_without_objects_has_a_card_without_plots(tmp_path):
    output = write_output(tmp_path / "labels", make_row("c.jpg"), **RUN)
    text = write(output, tmp_path)
    assert "1 image (1 without an object), 0 objects" in text
    assert "![" not in text


def test_edited_card_of_the_export_before_is_kept(output, tmp_path):
    write(output, tmp_path)
    (tmp_path / "export" / "README.md").write_text("# Mine\n")
    new = tmp_path / "new"
    new.mkdir()
    write_card(output, new, LabelChoice(), before=tmp_path / "export")
    assert (new / "README.md").read_text() == "# Mine\n"
    assert "# labels" in (new / "README.ovsam.md").read_text()


def test_card_that_nobody_edited_is_replaced(output, tmp_path):
    write(output, tmp_path)
    new = tmp_path / "new"
    new.mkdir()
    write_card(output, new, LabelChoice(), before=tmp_path / "export")
    assert not (new / "README.ovsam.md").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<img src=x onerror=y>", r"&lt;img src\=x onerror\=y&gt;"),
        ("[x](http://evil)", r"\[x\]\(http:&#47;&#47;evil\)"),
        ("www.evil.org", "www&#46;evil.org"),
        ("two\nlines\x1b[31m", r"two lines \[31m"),
        ("x" * 90, "x" * 79 + "…"),
        ("犬 & 猫", "犬 &amp; 猫"),
    ],
    ids=["table", "html", "link", "www", "controls", "long", "scripts"],
)
def test_text_of_others_stays_text(text, shown):
    assert escape(text) == shown


def test_hostile_names_break_no_plot(tmp_path):
    names = ["$\\frac{", "<script>", "犬", "a\nb", "\U0001f600" * 50]
    categories = [{"id": 1, "name": name} for name in names]
    rows = [
        make_row(f"{number}.jpg", make_labelled(BOXES[0]), image_id=number) for number in range(5)
    ]
    output = write_output(tmp_path / "labels", *rows, categories=categories)
    mask = draw_mask(*BOXES[0])
    append_answers(
        output, [answer(f"{n}.jpg", name, reviewed=mask) for n, name in enumerate(names)]
    )
    text = write(output, tmp_path)
    assert r"| &lt;script&gt; | 1 |" in text
    assert "<script>" not in (tmp_path / "export" / "card_classes.svg").read_text()


def test_images_that_are_gone_are_not_counted(output, tmp_path):
    text = write(output, tmp_path, gone={1})
    assert "2 images (1 without an object), 1 object with masks" in text
    assert "- 1 image is left out, as the picture was not there any more." in text


def test_damaged_calibration_costs_no_card(output, tmp_path, caplog):
    (output / "calibration.json").write_text("{")
    assert "# labels" in write(output, tmp_path)
    assert "calibration.json" in caplog.text


def test_numbers_of_others_break_no_card(output, tmp_path):
    odd = FittedMap(1e308, float("nan"), 10**400, -1, 1e308, 0.0, (), ((1e308, -1e308, 5),))
    write_calibration(output, Calibration(odd, None, 80, (), "f", "now"))
    odd_one = replace(CERTIFICATE, at="<script>", threshold=1e18, accepted=-1)
    assert "<script>" not in write(output, tmp_path, certificate=odd_one)
