"""The tables of `structures.py` → numbers: average precision, and IoU and accuracy of instances.

Begin with `average_precision.py` (matches → curves → AP and AR; `matching.py` and `overlaps.py`
decide who found what) and `instances.py` (each prediction against the annotation that prompted it).
The numbers are those of pycocotools and lvis-api, which `reference_engines.py` runs as a check.
"""
