import numpy as np
import pytest
import torch
from tiny_sam import TINY_SAM, put_tiny_sam, write_tiny_sam

import ovsam
from ovsam.errors import CheckpointError, VocabularyError
from ovsam.labelling_model import LabellingModel
from ovsam.model_facts import is_sam_name, read_trained_on
from ovsam.plain_sam import PlainSam
from ovsam.preprocess import to_network_input
from ovsam.sam import build_sam
from ovsam.structures import Prompts

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)
BOXES = [[5, 5, 30, 40], [20, 2, 58, 30]]


@pytest.fixture
def weights(tmp_path, monkeypatch):
    return put_tiny_sam(tmp_path / "cache", monkeypatch)


def test_sam_loads_by_name_and_by_path_and_names_nothing(weights) -> None:
    by_name, by_path = ovsam.load_model("sam-b"), ovsam.load_model(weights)
    assert isinstance(by_name, PlainSam)
    assert not isinstance(by_name, LabellingModel)
    assert by_name.identity == by_path.identity != ""
    assert by_path.config == TINY_SAM
    assert not by_name.training
    assert is_sam_name("sam-b")
    assert not is_sam_name("nano")
    assert read_trained_on("sam-b") is read_trained_on(weights) is None


def test_predictor_without_a_vocabulary_gives_sams_single_masks(weights) -> None:
    model = ovsam.load_model("sam-b").prepare_for_inference()
    predictor = ovsam.Predictor(model)
    predictor.set_image(IMAGE)
    found = predictor.predict(BOXES)
    assert len(found) == 2
    assert not found.is_named
    assert found.masks.shape == (2, 48, 64)
    assert [len(x) for x in (found.labels, found.scores, found.margins)] == [0, 0, 0]
    assert found.fused_logits.shape == found.head_logits.shape == (2, 0)
    # SAM by hand: the image has the size of the network input, and padding below.
    sam = build_sam(TINY_SAM)
    sam.load_state_dict(torch.load(weights))
    pixels = to_network_input([ovsam.prepare_image(IMAGE, 64)], torch.device("cpu"), torch.float32)
    with torch.no_grad():
        logits, _ = sam.decode(sam.image_encoder(pixels), torch.tensor(BOXES).float())
    torch.testing.assert_close(torch.from_numpy(found.low_res_logits), logits[:, 0])


def test_points_and_an_image_without_prompts_work_too(weights) -> None:
    predictor = ovsam.Predictor(ovsam.load_model("sam-b"))
    (encoded,) = predictor.encode([ovsam.prepare_image(IMAGE, 64)])
    assert len(predictor.segment(encoded, Prompts(points_xy=[[9, 9]]))) == 1
    empty = predictor.segment(encoded, Prompts(np.zeros((0, 4), np.float32)))
    assert (len(empty), empty.rles) == (0, [])


def test_half_precision_keeps_the_prompt_encoder_exact(weights) -> None:
    model = ovsam.load_model("sam-b").prepare_for_inference(torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert next(model.sam.prompt_encoder.parameters()).dtype == torch.float32
    predictor = ovsam.Predictor(model)
    predictor.set_image(IMAGE)
    assert predictor.predict(BOXES).low_res_logits.dtype == np.float32


def test_vocabulary_for_a_sam_is_refused_and_none_is_missed_clearly(weights) -> None:
    model = ovsam.load_model("sam-b")
    with pytest.raises(VocabularyError, match="sam-b segments and does not name objects"):
        ovsam.Predictor(model, ovsam.load_vocabulary("nano"))
    with pytest.raises(VocabularyError, match=r"made without a vocabulary; give one"):
        _ = ovsam.Predictor(model).vocabulary


def test_model_that_can_name_also_segments_alone(tiny_model) -> None:
    predictor = ovsam.Predictor(tiny_model)
    predictor.set_image(IMAGE)
    assert not predictor.predict(BOXES).is_named


def test_sam_of_another_size_is_one_clear_sentence(tmp_path) -> None:
    path = write_tiny_sam(tmp_path / "sam.pth")
    expected = r"width 16 and 2 blocks, expected one of sam-b \(768, 12\), sam-l \(1024, 24\)"
    with pytest.raises(CheckpointError, match=expected):
        ovsam.load_model(path)


def test_file_that_is_no_sam_is_refused_as_before(tmp_path) -> None:
    torch.save({"visual.proj": torch.zeros(2)}, tmp_path / "clip.pt")
    with pytest.raises(CheckpointError, match=r"expected a \.safetensors file of ovsam's own"):
        ovsam.load_model(tmp_path / "clip.pt")
