"""`photo`: the embedded detector for photographs, of two small public networks.

In: pixels. Out: `Detections` with COCO's classes, and without a class for what stands out but is
none of them. Begin with `detector.py`; `nanodet.py` and `u2netp.py` are the networks, `saliency.py`
turns the second one's map into boxes.
"""
