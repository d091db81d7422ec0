"""Where boxes come from: `--detector NAME` and images in, `Detections` in original pixels out.

`build.py` turns a name into a `Detector` (`base.py`). A detector gives boxes as it finds them;
`box_rules.py` cleans them by one rule for all, and `class_match.py` finds a detector's class in a
vocabulary. One file or folder per family: `official/` (Detic, ViTDet, Faster R-CNN as our own
networks), `huggingface/`, `detectron2_zoo/`, `torchvision_zoo.py`, `nano.py`, `photo/`, `stored/`
(boxes of a file) and `python_file.py` (a user's own). Begin with `base.py`.
"""
