"""Sources of boxes: one file a detector family, behind the protocol of `base.py`."""
