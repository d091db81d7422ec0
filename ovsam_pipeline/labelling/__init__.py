"""Images → rows: boxes of a detector become objects with masks and labels.

In: settings (`build.py` makes a `Labeller` of them) and `ImageRecord`s. Out: one `LabelRecord` per
image, in order. Begin with `label_images.py` (decode, find boxes, build objects; a failure
becomes a row), then `modes.py`: the three things that are made of boxes (label, detect, relabel).
"""
