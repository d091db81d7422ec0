from ovsam_pipeline.terminal.tables import format_table


def test_columns_are_aligned_and_lines_not_padded():
    table = format_table(
        ("name", "size", "what"), [["a", "10", ""], ["long", "7", "x"]], right=" r"
    )
    assert table.splitlines() == ["name  size  what", "a       10", "long     7  x"]
