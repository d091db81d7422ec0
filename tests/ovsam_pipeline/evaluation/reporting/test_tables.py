import io

from rich.console import Console

from ovsam_pipeline.evaluation.reporting.tables import build_tables, find_paper_rows, format_percent

COUNTS = {
    "images": 2, "images_answered": 2, "images_without_annotations": 0, "annotations": 3,
    "crowds": 0, "predictions": 3,
}  # fmt: skip
INSTANCES = {
    "iou": 0.7712, "iou_base": 0.8, "iou_novel": None, "accuracy": 0.5, "accuracy_base": 0.5,
    "accuracy_novel": None, "instances": 3,
}  # fmt: skip
AP = {
    "AP": 0.347, "AP50": 1.0, "AP75": 0.366, "APs": -1.0, "APm": 0.395, "APl": 0.38,
    "AP_base": 0.324, "AP_novel": 0.391, "AR@1": 0.455, "AR@10": 0.522, "AR@100": 0.522,
    "ARs": -1.0, "ARm": 0.518, "ARl": 0.518,
}  # fmt: skip


def make(metrics, *, table=None, style="coco", name="scenes", problems=()):
    return {
        "dataset": {"name": name, "style": style}, "counts": COUNTS, "metrics": metrics,
        "problems": list(problems), "paper": {"table": table} if table else None,
    }  # fmt: skip


def show(metrics, width=80) -> list[str]:
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    for table in build_tables(metrics):
        console.print(table)
    return stream.getvalue().splitlines()


def cells_of(lines, start) -> list[str]:
    return next(line for line in lines if line.strip().startswith(start)).split()


def test_fractions_are_shown_in_percent_and_undefined_ones_as_a_dash() -> None:
    assert [format_percent(v) for v in (0.0, 0.1234, 1.0)] == ["0.0", "12.3", "100.0"]
    assert {format_percent(None), format_percent(-1.0)} == {"\N{EN DASH}"}


def test_instances_are_in_the_order_of_the_paper() -> None:
    lines = show(make({"instances": INSTANCES}))
    assert lines[0].strip() == "scenes: 3 instances, percent"
    assert cells_of(lines, "80.0") == ["80.0", "–", "77.1", "50.0", "–", "50.0"]  # noqa: RUF001 - as shown


def test_rows_of_the_paper_are_below_ours_in_the_same_columns() -> None:
    lines = show(make({"instances": INSTANCES}, table="1"))
    header = next(line for line in lines if "novel" in line)
    ours = next(line for line in lines if "this run" in line)
    theirs = next(line for line in lines if line.strip().startswith("OV-SAM"))
    assert lines.index(ours) < lines.index(theirs)
    assert cells_of(lines, "OV-SAM") == ["OV-SAM", "81.5", "84.0", "84.3"]
    assert theirs.index("84.0") + 4 == header.index("novel") + 5
    assert any(line.strip() == "paper, COCO:" for line in lines)


def test_numbers_of_lvis_are_shown_with_lvis_only() -> None:
    lines = show(make({"instances": INSTANCES}, table="1", style="lvis"))
    assert cells_of(lines, "OV-SAM") == ["OV-SAM", "80.4", "83.1", "66.6"]
    assert any(line.strip() == "paper, LVIS:" for line in lines)


def test_a_table_whose_numbers_are_not_known_says_so() -> None:
    note = "note: no rows of the paper's Table 4: ovsam does not have its numbers"
    assert note in show(make({"instances": INSTANCES}, table="4"))
    assert not [line for line in show(make({"instances": INSTANCES}, table="1")) if "note" in line]
    assert note not in show(make({"instances": INSTANCES}))


def test_boxes_are_shown_with_boxes_of_the_paper_and_masks_with_masks() -> None:
    lines = show(make({"segm": AP, "bbox": AP}, table="8"))
    text = "\n".join(lines)
    masks, boxes = text.split("boxes, percent")
    assert "Detic Swin-B + OV-SAM" in masks
    assert "+ OV-SAM" not in boxes
    assert "42.2" in boxes


def test_tables_fit_80_columns_without_colour_codes() -> None:
    for number in ("1", "3", "8"):
        lines = show(make({"instances": INSTANCES, "segm": AP, "bbox": AP}, table=number))
        assert max(map(len, lines)) <= 80
        assert not any("\x1b" in line or "…" in line for line in lines)


def test_names_in_brackets_are_shown_as_they_are() -> None:
    text = "\n".join(
        show(make({"instances": INSTANCES}, name="[red]x[/y]", problems=["1 is odd: [/a] [b]"]))
    )
    assert "[red]x[/y]: 3 instances" in text
    assert "note: 1 is odd: [/a] [b]" in text


def test_annotations_left_out_are_counted() -> None:
    lines = show(make({"instances": {**INSTANCES, "instances_unanswered": 7}}))
    assert any(line.startswith("note: 7 annotations are left out") for line in lines)
    assert not any("left out" in line for line in show(make({"instances": INSTANCES})))


def test_table_1_has_the_paper_s_rows_in_its_order() -> None:
    rows = find_paper_rows("1", "coco")
    assert len(rows) == 7
    assert (rows[0].method, rows[-1].method) == ("Image-crop", "OV-SAM")
    assert {row.group for row in rows} == {"instances"}
    assert rows[-1].values == {
        "iou_base": 81.5, "iou_novel": 84.0, "accuracy": 84.3, "gmacs": 1180, "parameters_m": 304,
    }  # fmt: skip


def test_table_8_tells_prompt_boxes_and_masks_apart() -> None:
    rows = find_paper_rows("8", "lvis")
    assert [row.group for row in rows] == ["segm"] * 4 + ["bbox"] * 2
    assert rows[-1].values == {"APr": 39.1, "APc": 51.3, "APf": 57.2, "AP": 51.5}


def test_tables_without_known_rows_are_empty() -> None:
    assert find_paper_rows("2", "coco") == []
    assert find_paper_rows("9", "lvis") == []


def test_every_percentage_is_one() -> None:
    tables = ("1", "1-points", "3", "5", "7", "8", "9", "10")
    for table in tables:
        assert find_paper_rows(table, "coco")
        for row in [*find_paper_rows(table, "coco"), *find_paper_rows(table, "lvis")]:
            costs = {"gmacs", "parameters_m"}
            assert all(0 < row.values[name] < 100 for name in row.values.keys() - costs)
