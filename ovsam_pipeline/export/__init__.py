"""The rows of an output folder → files for people and other programs.

`coco` streams the parts into annotations.json, with the help of `row_counts` and `json_text`;
`preview` chooses images and draws them with `drawing/`, as whatever else draws does. A new format
is one more file next to `coco`. Begin with `coco`.
"""
