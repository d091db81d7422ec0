from dataclasses import replace

import numpy as np
from row_objects import make_object

from ovsam_pipeline.export.labels import LabelChoice
from ovsam_pipeline.export.options import ExportOptions
from ovsam_pipeline.export.splits import assign_splits
from ovsam_pipeline.output.parts import write_part
from ovsam_pipeline.records import LabelRecord, compute_image_id
from ovsam_pipeline.sources.perceptual_hash import compute_phash


def draw(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)


def make_row(name: str, look: int) -> LabelRecord:
    found = compute_phash(draw(look))
    row = LabelRecord(compute_image_id(name), name, 9, 8, "labelled", objects=(make_object(),))
    return replace(row, identity=name, phash=found.bits, phash_detail=found.detail)


def test_near_duplicates_are_in_one_split(tmp_path):
    (tmp_path / "parts").mkdir()
    rows = [make_row(f"{look}_{copy}.jpg", look) for look in range(12) for copy in range(3)]
    write_part(tmp_path / "parts", rows, "f")
    (tmp_path / "run.json").write_text(
        '{"categories": [{"id": 5, "name": "cat"}], "fingerprint": "f"}'
    )
    options = ExportOptions(choice=LabelChoice(), split=(0.5, 0.25, 0.25))
    splits = assign_splits(tmp_path, options)
    found = [{splits.find(f"{look}_{copy}.jpg") for copy in range(3)} for look in range(12)]
    assert {len(names) for names in found} == {1}
    assert set.union(*found) == {"train", "val", "test"}
