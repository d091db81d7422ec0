"""Detectors of the transformers library: `--detector hf:MODEL`.

In: pixels, a model's folder or hub name, class names for open-vocabulary ones. Out: raw
`Detections`. Begin with `detector.py`; one file per family (DETR, OWL, grounding) finds the boxes.
"""

NO_TRANSFORMERS = "--detector hf:MODEL needs the package transformers; pip install transformers"
