"""Boxes that are in a file already: `boxes:FILE` and `gt:FILE`.

`boxes_file.py` and `ground_truth.py` build the detector of an argument: `coco_boxes.py` or
`parquet_boxes.py` reads the file into a table by image, and the `TableDetector` of `box_table.py`
hands its boxes out. Begin with `box_table.py`.
"""
