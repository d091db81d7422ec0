"""Every recorded stage of the released OV-SAM, case by case.

The weights are a gigabyte made from names, so the models are built once a case and the default run
of the tests leaves them to `-m parity`.
"""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from deterministic_weights import make_image, make_state_dict

from ovsam.build import build_model, get_config
from ovsam.predictor import Predictor
from ovsam.preprocess import prepare_image, to_network_input
from ovsam.text.vocabulary import Vocabulary
from ovsam.weights.checkpoint import load_released_checkpoint

GOLDEN = Path(os.environ.get("OVSAM_GOLDEN", Path(__file__).parent / "golden"))
CASES = json.loads((GOLDEN / "cases.json").read_text())
RUNS = [(case, run) for case, values in CASES.items() for run in values["runs"]]
FEATURE_TOLERANCE = 2e-3
MASK_IOU = 0.999

pytestmark = [pytest.mark.parity, pytest.mark.timeout(900)]


class Case:
    """One recorded case, computed once: stages, and predictions for each run."""

    def __init__(self, name: str) -> None:
        values = CASES[name]
        self.recorded = dict(np.load(GOLDEN / f"{name}.npz"))
        salt = values["salt"]
        config = dataclasses.replace(get_config(values["model"]), roi_size=values["roi_size"])
        shapes = json.loads((GOLDEN / values["keys"]).read_text())
        model = build_model(config, "meta")
        load_released_checkpoint(model, make_state_dict(shapes, salt)).prepare_for_inference()
        self.image = make_image(*values["image_hw"], salt)
        self.predictor = Predictor(model, self._vocabulary())
        self.stages = self._encode_stages()
        self.predictor.set_image(self.image)
        self.predictions = {run: self._predict(run) for run in values["runs"]}

    def _vocabulary(self) -> Vocabulary:
        embeddings = torch.from_numpy(self.recorded["class_embed"])
        names = [f"class {index}" for index in range(len(embeddings))]
        base, novel = self.recorded["base"].tolist(), self.recorded["novel"].tolist()
        return Vocabulary(names, embeddings, base=base, novel=novel)

    @torch.inference_mode()
    def _encode_stages(self) -> dict[str, np.ndarray]:
        model = self.predictor.model
        prepared = prepare_image(self.image, model.config.input_size)
        pixels = to_network_input([prepared])
        stages = model.image_encoder(pixels)
        named = {"input": pixels, "neck": model.neck(stages)}
        named |= {f"backbone{index}": stage for index, stage in enumerate(stages)}
        levels = model.clip2sam.build_levels(stages)
        named |= {f"fpn{index}": level for index, level in enumerate(levels)}
        return {name: value.contiguous().flatten().numpy() for name, value in named.items()}

    def _predict(self, run):
        boxes = self.recorded["boxes"]
        if run == "box":
            return self.predictor.predict(boxes_xyxy=boxes)
        points = self.recorded["points"]
        # The released evaluation gives frozen CLIP the ground-truth boxes.
        return self.predictor.predict(points_xy=points, clip_boxes_xyxy=boxes[: len(points)])


@pytest.fixture(scope="module", params=list(CASES))
def case(request):
    return request.param, Case(request.param)


def assert_close(actual: np.ndarray, expected: np.ndarray, name: str, extra: float = 0.0) -> None:
    difference = np.abs(actual - expected).max()
    limit = FEATURE_TOLERANCE * expected.std() + extra
    assert difference <= limit, f"{name}: max difference {difference:.3e} > {limit:.3e}"


def test_stages_equal_the_recorded_ones(case) -> None:
    name, computed = case
    for run in CASES[name]["runs"]:
        recorded = [k for k in computed.recorded if k.startswith(run) and k.endswith("_idx")]
        assert len(recorded) == 10
        for key in recorded:
            stage = key.removeprefix(f"{run}_").removesuffix("_idx")
            values = computed.stages[stage][computed.recorded[key]]
            assert_close(values, computed.recorded[f"{run}_{stage}_val"], f"{run} {stage}")


def test_predictions_equal_the_recorded_ones(case) -> None:
    name, computed = case
    for run in CASES[name]["runs"]:
        recorded = {
            k: computed.recorded[f"{run}_{k}"] for k in ("head_logits", "clip_logits", "fused")
        }
        prediction = computed.predictions[run]
        low_res = computed.recorded[f"{run}_low_res_logits"][:, 0].astype(np.float32)
        float16_rounding = np.abs(low_res).max() * 2**-11
        assert_close(prediction.low_res_logits, low_res, "low_res_logits", float16_rounding)
        assert_close(prediction.head_logits, recorded["head_logits"][:, 0], "head_logits")
        assert_close(prediction.clip_logits, recorded["clip_logits"][:, 0], "clip_logits")
        assert_close(prediction.fused_logits, recorded["fused"][:, 0], "fused")
        assert prediction.labels.tolist() == computed.recorded[f"{run}_labels"].tolist()


def test_masks_equal_the_recorded_ones(case) -> None:
    name, computed = case
    height, width = computed.image.shape[:2]
    for run in CASES[name]["runs"]:
        packed = computed.recorded[f"{run}_masks_packed"]
        expected = (
            np.unpackbits(packed, axis=-1, count=height * width).reshape(-1, height, width) > 0
        )
        masks = computed.predictions[run].masks
        union = (masks | expected).sum(axis=(1, 2))
        iou = (masks & expected).sum(axis=(1, 2)) / np.maximum(union, 1)
        assert (iou >= MASK_IOU).all(), f"{run}: IoU {iou.tolist()}"
