"""A stage is measured by `ovsam eval`'s own code while it trains."""

import json
from pathlib import Path

import pytest
from locations import SCENES

from ovsam.text.vocabulary_files import load_vocabulary
from ovsam_pipeline.evaluation.run import evaluate
from ovsam_pipeline.training.request import StageRequest
from ovsam_pipeline.training.stages import run_stage

CONFIG = """
vocabulary: nano
loop: {{steps: 2, evaluate_every_s: 1.0e-9, optimiser: {{learning_rate: 1.0e-12}}}}
step: {{train_parts: [clip2sam], images_per_step: 1, proposals: 2}}
validation: {{dataset: {dataset}, image_root: {root}, limit: 2, vocabulary: "{vocabulary}"}}
"""


@pytest.mark.parametrize("vocabulary", ["nano", ""])
def test_log_has_what_ovsam_eval_says(tmp_path, vocabulary):
    annotations = SCENES / "annotations.json"
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(dataset=annotations, root=SCENES, vocabulary=vocabulary))
    out = tmp_path / "out"
    run_stage(
        StageRequest(
            stage="labels",
            config=config,
            data=annotations,
            images=SCENES,
            init=(Path("nano"),),
            out=out,
        )
    )
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    found = [line["evaluation"] for line in lines if "evaluation" in line]
    result = evaluate(
        annotations,
        image_root=SCENES,
        limit=2,
        vocabulary="nano",
        model=out / "model.safetensors",
        output=tmp_path / "eval",
        device="cpu",
        plots=False,
        worst=0,
    )
    wanted = result.metrics["metrics"]["instances"]
    assert len(found) == 2
    assert found[-1]["iou"] == pytest.approx(wanted["iou"], abs=5e-5)
    if vocabulary:
        assert found[-1]["accuracy"] == pytest.approx(wanted["accuracy"], abs=5e-5)
    assert not list(out.glob("validation-*"))


def test_own_classes_are_validated_and_left_as_learned_ones(tmp_path):
    """The classes of the user's file: one of them is kept out of the training, and stays novel."""
    content = json.loads((SCENES / "annotations.json").read_text())
    kept_out = content["categories"][0]["name"]
    for category in content["categories"]:
        category["split"] = "novel" if category["name"] == kept_out else "base"
    annotations = tmp_path / "mine.json"
    annotations.write_text(json.dumps(content))
    config = tmp_path / "config.yaml"
    text = CONFIG.format(dataset=annotations, root=SCENES, vocabulary="")
    config.write_text(text.replace("vocabulary: nano\n", "vocabulary: data\n"))
    out = tmp_path / "out"
    init = (Path("nano"),)
    run_stage(
        StageRequest(
            stage="labels", config=config, data=annotations, images=SCENES, init=init, out=out
        )
    )
    saved = load_vocabulary(out / "vocabulary.safetensors")
    assert [saved.names[index] for index in saved.novel] == [kept_out]
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    logged = [line["evaluation"] for line in lines if "evaluation" in line][-1]
    result = evaluate(
        annotations,
        image_root=SCENES,
        limit=2,
        vocabulary=out / "vocabulary.safetensors",
        model=out / "model.safetensors",
        output=tmp_path / "eval",
        device="cpu",
        plots=False,
        worst=0,
    )
    wanted = result.metrics["metrics"]["instances"]
    assert logged["accuracy"] == pytest.approx(wanted["accuracy"], abs=5e-5)
