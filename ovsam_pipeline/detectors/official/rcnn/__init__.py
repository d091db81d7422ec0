"""Faster R-CNN, ViTDet and Detic: our own modules, with the official files' parameter names.

What the rest of the package calls:

    network = build_faster_rcnn(num_classes=80)                 # faster_rcnn.py
    network = build_vitdet("b" | "l" | "h", num_classes=80)     # vitdet.py; 1203 classes: LVIS form
    network = build_detic("swinb" | "r50")                      # detic.py
    load_official_state(network, state)                         # official_names.py
    network.set_vocabulary(embeddings)                          # Detic only: (K, 512), any norm
    network.cast_body(torch.bfloat16)                           # optional; boxes stay float32
    network.recipe = dataclasses.replace(network.recipe, proposals=300, score_threshold=0.25)

    prepared = [prepare(rgb, network.recipe) for rgb in images]             # resize.py
    batch = build_batch([p.pixels for p in prepared], network.recipe)       # resize.py
    found = network.detect(
        batch, [p.resized_hw for p in prepared], [p.original_hw for p in prepared], mode="classes"
    )                                                           # one DetectedBoxes per image

Modes of `detect`: "classes" (the official detections), "refined" (one box per proposal with its
best class, classes do not matter in NMS), "proposals" (first stage only, no classes). The steps
inside are `encode`, `propose` and `classify`. Same-size images give the same boxes in a batch as
alone; Faster R-CNN and Detic images of other sizes do not (padding changes them), ViTDet's do.
Reading files is `official_names.py`'s caller's job; nothing here touches the disk.
"""
