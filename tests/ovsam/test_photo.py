"""The embedded photo model: its outputs beside the original files', and its names.

`photo_outputs.npz` holds what the ONNX files and the original classifier gave for drawn inputs
(scripts/photo/record.py). The embedded weights are int8: tolerances are a few times the
differences seen.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

import ovsam
from ovsam.baselines.model import Baseline
from ovsam.classifier import EXCLUDED
from ovsam.decode import decode_file
from ovsam.efficientnet import pad_like_tensorflow
from ovsam.errors import VocabularyError
from ovsam.preprocess import PIXEL_MEAN, PIXEL_STD
from ovsam.text.name_table import NameTable, load_known_names, share_out
from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import load_vocabulary

PHOTOS = Path(__file__).parents[2] / "examples" / "photos"
BOXES = torch.tensor([[100.0, 200, 500, 700], [300, 50, 900, 400]])


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "photo_outputs.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def photo() -> Baseline:
    model = ovsam.load_model("photo")
    assert isinstance(model, Baseline)
    return model.prepare_for_inference()


def _draw_pixels(side: int) -> torch.Tensor:
    ramp = np.linspace(0, 1, side, dtype=np.float32)
    waves = [np.sin(2 * np.pi * (3 + c) * ramp)[:, None] * np.cos(9 * ramp + c) for c in range(3)]
    return torch.from_numpy(np.stack(waves)[None].astype(np.float32))


@torch.inference_mode()
def test_masks_are_those_of_the_original_files(photo, recorded) -> None:
    embedding = photo.sam.image_encoder(_draw_pixels(1024))
    sampled = embedding[0, ::16, ::4, ::4].numpy()
    spread = recorded["embedding"].std()
    assert np.abs(sampled - recorded["embedding"]).mean() < 0.05 * spread

    four = photo.sam.decode(embedding, BOXES)[0][:, :, ::8, ::8].numpy()
    for masks, wanted in zip(four, recorded["logits"], strict=True):
        # The export gives the mask of the best predicted IoU, which is one of the four.
        agreement = max(((mask > 0) == (wanted > 0)).mean() for mask in masks)
        assert agreement > 0.97


@torch.inference_mode()
def test_features_are_those_of_the_original_classifier(photo, recorded) -> None:
    mean, std = (torch.tensor(row)[:, None, None] for row in (PIXEL_MEAN, PIXEL_STD))
    pixels = (_draw_pixels(260) * 128 + 127 - mean) / std
    features = photo.image_encoder.embed_maps(photo.image_encoder(pixels)[3])[0].numpy()
    wanted = recorded["features"]
    cosine = features @ wanted / np.linalg.norm(features) / np.linalg.norm(wanted)
    assert cosine > 0.99


@torch.inference_mode()
def test_bands_of_rows_change_nothing(photo) -> None:
    block = photo.sam.image_encoder.layers[0].blocks[0]
    x = torch.randn(1, 64, 70, 12, generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.gelu(block.conv2(torch.nn.functional.gelu(block.conv1(x))))
    whole = torch.nn.functional.gelu(block.conv3(wide) + x)
    torch.testing.assert_close(block(x), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padded"),
    [(260, 3, 2, 261), (130, 5, 2, 133), (65, 5, 2, 69), (33, 5, 1, 37)],
)
def test_padding_is_tensorflows(size: int, kernel: int, stride: int, padded: int) -> None:
    x = pad_like_tensorflow(torch.ones(1, 1, size, size), kernel, stride)
    assert x.shape[2:] == (padded, padded)
    before = (padded - size) // 2
    assert x[0, 0, before, before] == 1
    assert before == 0 or x[0, 0, before - 1, before] == 0


def test_a_cat_is_named_and_cut_out(photo) -> None:
    predictor = ovsam.Predictor(photo, load_vocabulary("everyday"))
    predictor.set_image(decode_file(PHOTOS / "chelsea.png"))
    prediction = predictor.predict(boxes_xyxy=[[0, 0, 451, 300]])
    assert predictor.vocabulary.names[prediction.labels[0]] == "cat"
    assert prediction.scores[0] > 0.8
    assert 0.5 < prediction.areas[0] / (451 * 300) < 0.95


def test_the_most_specific_name_has_a_leaf() -> None:
    known = load_known_names()
    bird, duck, drake = (
        known.find_leaves(Vocabulary([name]).classes[0]) for name in ("bird", "duck", "drake")
    )
    assert drake < duck < bird
    owners = {leaf: owner for owner, leaf in share_out([bird, duck])}
    assert {owners[leaf] for leaf in duck} == {1}
    assert {owners[leaf] for leaf in bird - duck} == {0}


@pytest.mark.parametrize("form", ["sports car", "Sports_Car", "sports cars", "car_(automobile)"])
def test_other_spellings_of_a_name_lead_to_the_same_leaves(form: str) -> None:
    assert load_known_names().find_leaves(Vocabulary([form]).classes[0])


def test_unknown_names_are_refused_with_near_ones() -> None:
    with pytest.raises(VocabularyError, match=r"not 'flurble', 'rockett' \(near: rocket"):
        NameTable(8).embed(Vocabulary(["cat", "flurble", "rockett"]))


def test_every_class_of_coco_is_accepted_and_a_person_is_the_detectors(photo) -> None:
    vocabulary = photo.namer.embed(load_vocabulary("coco-80"))
    rows, owners = vocabulary.prototypes
    assert rows.shape[1] == 1280
    assert 0 not in owners  # person
    predictor = ovsam.Predictor(photo, vocabulary)
    predictor.set_image(decode_file(PHOTOS / "grace_hopper.jpg"))
    prediction = predictor.predict(boxes_xyxy=[[30, 20, 480, 600]])
    assert prediction.fused_logits[0, 0] <= EXCLUDED
    assert vocabulary.names[prediction.labels[0]] != "person"


def test_vocabulary_photo_has_every_name_and_everyday_is_flat() -> None:
    known = load_known_names()
    texts = {text for item in load_vocabulary("photo").classes for text in item.aliases}
    missing = [
        name for name in known.of_name if not set(name.replace("/", ",").split(", ")) & texts
    ]
    assert not missing

    classes = load_vocabulary("everyday").classes
    owners: dict[int, list[int]] = {}
    for owner, leaf in share_out([known.find_leaves(item) for item in classes]):
        owners.setdefault(leaf, []).append(owner)
    shared = [leaf for leaf, found in owners.items() if len(found) > 1]
    assert len(shared) <= 10
