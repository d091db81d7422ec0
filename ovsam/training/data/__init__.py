"""Training sets of six kinds, mixed by ratio and checked before they are trained on.

In: COCO or LVIS files, folders, WebDataset tars, SA-1B, pools. Out: `TrainingSample`s with labels
of one vocabulary. Begin with `mixed.py`; `sample_source.py` is what a set must do.
"""
