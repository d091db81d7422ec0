"""Objects of rows, for tests that do not care for all of their fields."""

from ovsam_pipeline.records import BoxRecord, ObjectRecord

PROMPT = BoxRecord((1.0, 2.0, 4.0, 6.0), 0.625)


def make_object(prompt: BoxRecord = PROMPT, **values) -> ObjectRecord:
    """Build an object; all numbers are exact in float32."""
    plain = {
        "bbox": (1.0, 2.0, 3.0, 4.0),
        "category_id": 5,
        "category": "cat",
        "score": 0.5,
        "margin": 0.125,
        "mask_score": 0.75,
        "area": 12,
        "segmentation": {"size": [9, 8], "counts": "abc"},
        "model_category": "cat",
        "model_score": 0.5,
    }
    return ObjectRecord(prompt, **plain | values)
