"""Detectors of an installed detectron2: `--detector detectron2:CONFIG`.

In: pixels, a model-zoo name or a config file. Out: raw `Detections`. Begin with `detector.py`;
`config.py` reads both generations of configs.
"""
