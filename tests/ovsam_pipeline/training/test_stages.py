"""`ovsam train`'s stages on two drawn scenes: they run, resume and refuse what cannot work."""

import dataclasses
import json
from pathlib import Path

import cv2
import locations
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ovsam.build import build_model
from ovsam.errors import CheckpointError, ConfigError
from ovsam.load import load_model
from ovsam.model import OVSAM
from ovsam.text.embedding import embed_vocabulary
from ovsam.text.text_tower import build_text_tower
from ovsam.text.vocabulary_files import load_vocabulary
from ovsam.training.scenes.pool import create_pool, fill_pool
from ovsam.training.scenes.scene import SceneSettings
from ovsam.training.scenes.sprites import NanoClass, SpriteAtlas
from ovsam.training.stages.nano import merge_stages
from ovsam.training.stages.stage_files import save_stage
from ovsam.training.steps.model_parts import switch_label_head
from ovsam.weights.checkpoint import load_checkpoint
from ovsam_pipeline.training.request import DataLimits, StageRequest
from ovsam_pipeline.training.stages import run_stage

LOOP = "loop: {steps: 1, log_every: 1, schedule: {warmup_steps: 0}}\n"
TEACHER_SIZE = "size: {width: 16, depth: 1, heads: 2}\n"
CONFIGS = locations.CONFIGS / "training"
STEP = "step: {train_parts: [%s], images_per_step: 1, proposals: 2, mask_points: 64}\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    disc = np.zeros((60, 60, 4), np.uint8)
    cv2.circle(disc, (30, 30), 29, (200, 30, 30, 255), -1)
    atlas = SpriteAtlas((NanoClass("disc", (), (0,), "shape", "base"),), ((disc,),))
    for name in ("train", "test"):
        create_pool(folder / name, 1, 320)
        settings = SceneSettings(min_objects=2, max_objects=2)
        fill_pool(folder / name, atlas, (1, 0), settings, range(1))
    return folder


@pytest.fixture(scope="module")
def start(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    torch.manual_seed(0)
    save_stage(_build_nano(), folder, "random")
    return folder


def _build_nano() -> OVSAM:
    model = build_model("nano")
    model.attach_namer(build_text_tower(model.config.clip))
    return model


def _request(stage, tmp_path, text, **changes) -> StageRequest:
    tmp_path.mkdir(exist_ok=True)
    config = tmp_path / f"{stage}.yaml"
    config.write_text(text)
    return StageRequest(stage=stage, config=config, out=tmp_path / stage, **changes)


@pytest.mark.parametrize(("stage", "part"), [("masks", "mask_decoder"), ("labels", "clip2sam")])
def test_stage_changes_its_part_and_no_other(data, start, tmp_path, stage, part):
    text = LOOP + STEP % part
    run_stage(_request(stage, tmp_path, text, data=data, init=(start,)))
    before = load_checkpoint(start / "model.safetensors").state_dict()
    after = load_checkpoint(tmp_path / stage / "model.safetensors").state_dict()
    changed = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
    assert changed == {part}
    log = (tmp_path / stage / "log.jsonl").read_text().splitlines()
    assert "evaluation" in json.loads(log[-1])


def test_clip_stage_goes_on_from_a_trained_nano(data, tmp_path):
    """More drawings of the same names: the tower learns, what its text tower says stays."""
    run_stage(_request("clip", tmp_path, LOOP, data=data, init=(Path("nano"),)))
    before, after = load_model("nano"), load_checkpoint(tmp_path / "clip" / "model.safetensors")
    changed = {
        name.split(".")[0]
        for name, tensor in after.state_dict().items()
        if not torch.equal(tensor, before.state_dict()[name].float())
    }
    assert changed == {"image_encoder"}
    names = embed_vocabulary(load_vocabulary("nano"), after.text_tower).embeddings[:, 0]
    prototypes = load_file(tmp_path / "clip" / "prototypes.safetensors")["prototypes"]
    assert torch.allclose(names, prototypes, atol=1e-5)


def test_text_stage_fits_a_tower_to_the_prototypes(tmp_path):
    folder = tmp_path / "clip"
    save_stage(build_model("nano"), folder, "clip")
    prototypes = torch.nn.functional.normalize(torch.randn(260, 256), dim=1)
    save_file({"prototypes": prototypes}, str(folder / "prototypes.safetensors"))
    text = LOOP.replace("steps: 1", "steps: 3") + "texts_per_step: 4\n"
    run_stage(_request("text", tmp_path, text, init=(folder,)))
    log = [json.loads(row) for row in (tmp_path / "text" / "log.jsonl").read_text().splitlines()]
    assert "mean_cosine" in log[-1]["final"]
    assert load_checkpoint(tmp_path / "text" / "model.safetensors").has_namer


def test_joint_stage_trains_on_coco_files(start, tmp_path):
    scenes = CONFIGS.parents[1] / "examples" / "scenes"
    text = LOOP + STEP % "mask_decoder, clip2sam"
    request = _request(
        "joint", tmp_path, text, data=scenes / "annotations.json", images=scenes, init=(start,)
    )
    run_stage(request)
    line = json.loads((request.out / "log.jsonl").read_text().splitlines()[0])
    assert line["bce"] > 0
    assert line["label"] > 0


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run")
    run_stage(_request("teacher", out, LOOP + TEACHER_SIZE + STEP % "mask_decoder", data=data))
    return out / "teacher"


def test_student_starts_with_clip_and_the_teacher_s_decoder(start, teacher, tmp_path):
    clip = start / "model.safetensors"
    run_stage(_request("start", tmp_path, "model: nano\nseed: 5\n", init=(clip, teacher)))
    made, given = load_checkpoint(tmp_path / "start" / "model.safetensors"), load_checkpoint(clip)
    sam = load_file(teacher / "teacher.safetensors")
    for name, tensor in given.image_encoder.state_dict().items():
        assert torch.equal(made.image_encoder.state_dict()[name], tensor), name
    own = made.state_dict()
    assert torch.equal(
        own["mask_decoder.mask_tokens.weight"], sam["mask_decoder.mask_tokens.weight"][:1]
    )
    hyper = "mask_decoder.output_hypernetworks_mlps.0.layers.0.weight"
    assert torch.equal(own[hyper], sam[hyper])
    points = "prompt_encoder.point_embeddings.1.weight"
    assert torch.equal(own[points], sam[points])
    assert not torch.equal(own["neck.level_encoding.weight"], given.neck.level_encoding.weight)
    assert made.has_namer


def test_distillation_from_stored_features_is_as_from_the_teacher(data, start, teacher, tmp_path):
    distil = LOOP + TEACHER_SIZE + "images_per_step: 2\n"
    features = tmp_path / "cache-teacher"
    run_stage(_request("cache-teacher", tmp_path, distil, data=data, init=(teacher,)))
    necks = []
    for number, source in enumerate((teacher, features)):
        request = _request(
            "distil", tmp_path / str(number), distil, data=data, init=(source, start)
        )
        run_stage(request)
        necks.append(load_checkpoint(request.out / "model.safetensors").neck.state_dict())
    before = load_checkpoint(start / "model.safetensors").neck
    assert not torch.equal(necks[0]["pos_embed"], before.pos_embed)
    for name, tensor in necks[0].items():
        assert torch.allclose(tensor, necks[1][name], atol=1e-4), name


def test_teacher_of_another_size_is_refused(data, start, teacher, tmp_path):
    request = _request(
        "distil", tmp_path, LOOP + TEACHER_SIZE, data=data, init=(tmp_path / "sam", start)
    )
    wrong = {"num_images": 1, "channels": 256, "grid": 64, "input_size": 1024, "teacher": "t"}
    (tmp_path / "sam").mkdir()
    (tmp_path / "sam" / "features.json").write_text(json.dumps(wrong))
    (tmp_path / "sam" / "keys.txt").write_text("a\n")
    (tmp_path / "sam" / "features-00000.npy").touch()
    with pytest.raises(
        ConfigError, match=r"128 channels at 320 pixels, the teacher's .* 256 at 1024"
    ):
        run_stage(request)


def test_coco_file_without_its_folder_is_refused(start, tmp_path):
    scenes = CONFIGS.parents[1] / "examples" / "scenes" / "annotations.json"
    request = _request("joint", tmp_path, LOOP, data=scenes, init=(start,))
    with pytest.raises(ConfigError, match="give --images"):
        run_stage(request)


def test_merged_file_has_masks_of_one_run_and_the_head_of_the_other(start, tmp_path):
    masks, labels = _build_nano(), _build_nano()
    tower = load_checkpoint(start / "model.safetensors").image_encoder.state_dict()
    for model, name in ((masks, "masks"), (labels, "labels")):
        model.image_encoder.load_state_dict(tower)
        save_stage(model, tmp_path / name, name)
    merge_stages(tmp_path / "masks", tmp_path / "labels", tmp_path / "nano.safetensors", "test")
    merged = load_checkpoint(tmp_path / "nano.safetensors")
    kept, wanted = (one.text_tower.transformer.text_projection for one in (merged, labels))
    assert torch.equal(kept, wanted.half().float())
    for name, part in (("neck", masks), ("clip2sam", labels)):
        for key, value in getattr(merged, name).state_dict().items():
            assert torch.equal(value, getattr(part, name).state_dict()[key].half().float()), key


def test_runs_of_two_towers_cannot_be_merged(tmp_path):
    for name in ("masks", "labels"):
        save_stage(build_model("nano"), tmp_path / name, name)
    with pytest.raises(ConfigError, match="one image tower"):
        merge_stages(tmp_path / "masks", tmp_path / "labels", tmp_path / "out", "test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": None}, "needs --config"),
        ({"data": None}, "needs --data"),
        ({"init": ()}, "needs --init once, got 0"),
    ],
)
def test_missing_option_is_named(data, start, tmp_path, changes, message):
    values = {"config": tmp_path / "c.yaml", "data": data, "init": (start,)} | changes
    (tmp_path / "c.yaml").write_text(LOOP)
    with pytest.raises(ConfigError, match=message):
        run_stage(StageRequest(stage="labels", out=tmp_path / "out", **values))


def test_unknown_setting_is_refused_before_anything_is_written(data, start, tmp_path):
    request = _request("labels", tmp_path, "lop: {}", data=data, init=(start,))
    with pytest.raises(ConfigError, match="did you mean 'loop'"):
        run_stage(request)
    assert not request.out.exists()


@pytest.mark.parametrize("name", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_config_fits_its_stage(name):
    import yaml

    from ovsam.strict import build_strict
    from ovsam.training.stages import (
        baseline as baseline_stages,
    )
    from ovsam.training.stages import (
        distil as distil_stages,
    )
    from ovsam.training.stages import (
        label as label_stage,
    )
    from ovsam.training.stages import (
        nano as nano_stages,
    )
    from ovsam.training.stages.start import StartSettings
    from ovsam_pipeline.training import stages as training_stages

    kinds = {
        "pool": training_stages.PoolSettings,
        "clip": nano_stages.ClipStageSettings,
        "text": nano_stages.TextStageSettings,
        "teacher": distil_stages.TeacherStageSettings,
        "distil": distil_stages.DistilStageSettings,
        "detector": training_stages.DetectorStageSettings,
        "sam2clip": distil_stages.DistilStageSettings,
    }
    stage = name.stem.removeprefix("nano-").removesuffix("-styles")
    kind = kinds.get(stage, label_stage.LabelStageSettings)
    if name.stem.startswith("start-"):
        kind = StartSettings
    elif name.stem.startswith("baseline-"):
        kind = baseline_stages.CombineSettings
    elif name.stem.startswith(("coop-", "adapter-", "sam-finetune-")):
        kind = baseline_stages.BaselineStageSettings
    assert isinstance(build_strict(kind, yaml.safe_load(name.read_text()), name.name), kind)


def test_a_run_goes_on_with_its_own_weights_and_data_alone(data, start, teacher, tmp_path):
    text = LOOP + STEP % "clip2sam"
    request = _request("labels", tmp_path, text, data=data, init=(start,))
    run_stage(request)
    before = (request.out / "model.safetensors").read_bytes()
    other = tmp_path / "other"
    save_stage(_build_nano(), other, "other")
    with pytest.raises(CheckpointError, match=r"expected --init '[\w.]+' as in .* another --out"):
        run_stage(dataclasses.replace(request, init=(other,)))
    scenes = CONFIGS.parents[1] / "examples" / "scenes"
    coco = {"data": scenes / "annotations.json", "images": scenes}
    with pytest.raises(CheckpointError, match=r"expected --data \['pool of 1 images'\] as in"):
        run_stage(dataclasses.replace(request, **coco))
    assert (request.out / "model.safetensors").read_bytes() == before

    text = LOOP + TEACHER_SIZE + "images_per_step: 2\n"
    request = _request("distil", tmp_path, text, data=data, init=(teacher, start))
    run_stage(request)
    with pytest.raises(CheckpointError, match="expected --init"):
        run_stage(dataclasses.replace(request, init=(teacher, other)))


def test_features_of_other_images_are_refused_before_the_first_step(data, start, teacher, tmp_path):
    text = LOOP + TEACHER_SIZE + "images_per_step: 2\n"
    run_stage(_request("cache-teacher", tmp_path, text, data=data, init=(teacher,)))
    scenes = CONFIGS.parents[1] / "examples" / "scenes"
    init = (tmp_path / "cache-teacher", start)
    with pytest.raises(CheckpointError, match="lack 24 of 24 images, such as 'scene_"):
        run_stage(_request("distil", tmp_path, text, data=scenes, init=init))
    assert not (tmp_path / "distil").exists()


@pytest.mark.parametrize("stage", ["start", "labels", "combine", "merge"])
def test_init_is_a_folder_a_file_or_a_name(data, start, teacher, tmp_path, stage):
    text = {"start": "model: nano\n", "combine": "baseline: {name: b}\n"}.get(stage, LOOP)
    init = {"start": ("nano0", teacher), "combine": (teacher, "nano0"), "labels": ("nano0",)}
    wrong = tuple(Path(one) for one in init.get(stage, ("nano", "nano0")))
    with pytest.raises(ConfigError, match=r"no folder or file at nano0; .*did you mean 'nano'"):
        run_stage(_request(stage, tmp_path, text, data=data, init=wrong))


def test_a_folder_of_another_stage_is_refused(data, start, tmp_path):
    with pytest.raises(ConfigError, match="the folder of `ovsam train clip`"):
        run_stage(_request("text", tmp_path, LOOP, init=(start,)))
    with pytest.raises(CheckpointError, match=r"no weight file at .*teacher.safetensors"):
        run_stage(_request("distil", tmp_path, LOOP, data=data, init=(start, start)))


def test_embedded_model_starts_a_student_whose_head_is_new(teacher, tmp_path):
    request = _request("start", tmp_path, "model: nano\n", init=(Path("nano"), teacher))
    run_stage(request)
    assert load_checkpoint(request.out / "model.safetensors").config.trained_on is None


def test_head_of_another_decoder_is_not_merged(start, tmp_path):
    model = load_checkpoint(start / "model.safetensors")
    switch_label_head(model, "label-token", 0)
    save_stage(model, tmp_path / "labels", "labels")
    with pytest.raises(ConfigError, match=r"heads of kind fpn .* got fpn and label-token"):
        merge_stages(start, tmp_path / "labels", tmp_path / "out", "test")
    merge_stages(start, start, tmp_path / "out", "test")
    assert load_checkpoint(tmp_path / "out" / "model.safetensors").config.trained_on == "nano"


def test_flags_of_labelled_data_are_refused_elsewhere(data, start, teacher, tmp_path):
    limits = DataLimits(max_bad=1.0)
    text = LOOP + TEACHER_SIZE
    request = _request("distil", tmp_path, text, data=data, init=(teacher, start), limits=limits)
    with pytest.raises(ConfigError, match=r"are for the stages .* `distil` takes none"):
        run_stage(request)


def test_baseline_heeds_the_flags_of_bad_data(start, tmp_path):
    scenes = CONFIGS.parents[1] / "examples" / "scenes"
    text = LOOP + "baseline: {name: b}\n" + STEP % "mask_decoder, context"
    coco = {"data": scenes / "annotations.json", "images": scenes}
    limits = DataLimits(vocabulary="coco")
    request = _request("baseline", tmp_path, text, init=(start,), limits=limits, **coco)
    with pytest.raises(ConfigError, match="have a category that is not a class of the vocabulary"):
        run_stage(request)


def test_validation_that_cannot_be_done_is_refused_at_the_start(data, start, tmp_path):
    text = LOOP + STEP % "clip2sam" + "validation: {dataset: nope.json}\n"
    request = _request("labels", tmp_path, text, data=data, init=(start,))
    with pytest.raises(ConfigError, match=r"got 'nope.json' .* validation.dataset"):
        run_stage(request)
    assert not request.out.exists()
