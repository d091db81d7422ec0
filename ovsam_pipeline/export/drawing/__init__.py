"""Whatever the pipeline draws, in one style: previews, cases of eval and audit, crops, plots.

`colours` is the one palette, `text` the one font, `shapes` draws masks and boxes, `placement` finds
room for labels, `labels` draws them, `charts` sets up plots. Pictures are (H, W, 3) uint8 RGB
arrays, changed in place; boxes are left, top, right, bottom in whole pixels.
"""
