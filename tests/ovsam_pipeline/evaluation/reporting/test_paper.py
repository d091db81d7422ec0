from ovsam_pipeline.evaluation.reporting.paper import find_paper_rows


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
