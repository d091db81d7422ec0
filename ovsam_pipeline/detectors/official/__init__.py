"""Detic, ViTDet and Faster R-CNN with their official weight files.

In: pixels, class names, files of `ovsam models fetch` or a path. Out: raw `Detections`. Begin with
`detector.py`; the networks are in `rcnn/`, reading of files in `weights.py` and `array_pickle.py`.
"""
