"""Every family of `hf:` with a tiny random model, loaded from a folder as a user's own is."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install transformers"
)

import tiny_huggingface as tiny
import torch
from PIL import Image

from ovsam.errors import VocabularyError
from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import parse_vocabulary
from ovsam_pipeline.detectors.base import Detector, DetectorImage
from ovsam_pipeline.detectors.box_rules import clean
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.detectors.huggingface import owl as huggingface_owl
from ovsam_pipeline.detectors.huggingface.grounding import build_captions
from ovsam_pipeline.errors import DetectorError
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.runs.api import label as label_images

WORDS = parse_vocabulary("mug,red backpack,sparrow,st. bernard")
OPEN = {
    "owlv2": (tiny.make_owlv2, tiny.save_clip_tokenizer),
    "owlvit": (tiny.make_owlvit, tiny.save_clip_tokenizer),
    "grounding": (tiny.make_grounding_dino, tiny.save_bert_tokenizer),
    "mm-grounding": (tiny.make_mm_grounding_dino, tiny.save_bert_tokenizer),
}
FAMILIES = {name: (make, None) for name, make in tiny.CLOSED.items()} | OPEN


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Name of a family → the folder of its tiny model, made once."""
    made: dict[str, Path] = {}

    def get(name):
        if name not in made:
            make, save_tokenizer = FAMILIES[name]
            folder = tmp_path_factory.mktemp(name)
            made[name] = tiny.save_tiny_model(folder, make, save_tokenizer)
        return made[name]

    return get


def make_images(*sizes):
    rng = np.random.default_rng(0)
    return [
        DetectorImage(
            ImageRecord(index, f"{index}.jpg", Path(f"{index}.jpg")),
            rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        )
        for index, (height, width) in enumerate(sizes)
    ]


def build(folder, conf=0.0, vocabulary=WORDS, **options):
    return build_detector(f"hf:{folder}", conf=conf, vocabulary=vocabulary, **options)


@pytest.mark.parametrize("family", FAMILIES)
def test_boxes_do_not_depend_on_the_batch(folders, family):
    detector = build(folders(family))
    images = make_images((60, 90), (90, 60), (60, 90), (40, 80))
    together = detector.detect(images)
    assert isinstance(detector, Detector)
    assert detector.detect([]) == []
    assert len(together[0]) > 0
    for image, found in zip(images, together, strict=True):
        (alone,) = detector.detect([image])
        assert alone.category_names == found.category_names
        np.testing.assert_allclose(alone.boxes_xyxy, found.boxes_xyxy, atol=1e-3)
        assert set(found.category_names) <= set(detector.class_names)


@pytest.mark.parametrize("family", FAMILIES)
def test_threshold_is_inclusive_and_scores_fall(folders, family):
    image = make_images((60, 90))
    (every,) = build(folders(family)).detect(image)
    middle = float(every.scores[len(every) // 2])
    some, _ = clean(every, (60, 90), conf=middle)
    assert some.scores.tolist() == every.scores[every.scores >= np.float32(middle)].tolist()
    assert (np.diff(every.scores) <= 0).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_changes_scores_little_and_keeps_boxes_in_float32(folders, family):
    (exact,) = build(folders(family)).detect(make_images((60, 90)))
    detector = build(folders(family), dtype="bf16")
    (coarse,) = detector.detect(make_images((60, 90)))
    assert coarse.scores[0] == pytest.approx(exact.scores[0], abs=0.05)
    found = detector._find(detector._prepare(make_images((60, 90))[0]))
    assert found.boxes.dtype == torch.float32
    assert (found.boxes != found.boxes.bfloat16().float()).any()


@pytest.mark.parametrize("family", ["detr", "yolos", "owlvit"])
def test_bfloat16_finds_nearly_the_same_boxes(folders, family):
    """Where no choice between near ties decides which boxes are looked at."""
    image = make_images((60, 90))
    (exact,) = build(folders(family)).detect(image)
    (coarse,) = build(folders(family), dtype="bf16").detect(image)
    assert np.abs(coarse.boxes_xyxy - exact.boxes_xyxy[0]).max(axis=1).min() < 1


# Against the library's own path from image to boxes


@pytest.mark.parametrize("family", tiny.CLOSED)
def test_closed_models_agree_with_the_library(folders, family):
    import transformers as hf

    folder = folders(family)
    (image,) = make_images((60, 90))
    found, _ = clean(*build(folder).detect([image]), (60, 90))
    processor = hf.AutoImageProcessor.from_pretrained(folder)
    model = hf.AutoModelForObjectDetection.from_pretrained(folder).eval()
    inputs = processor(images=[image.rgb], return_tensors="pt")
    with torch.inference_mode():
        output = model(pixel_values=inputs["pixel_values"])
    (theirs,) = processor.post_process_object_detection(output, 0.0, [(60, 90)])
    num_boxes = output.pred_boxes.shape[1]
    labels, scores, boxes = (
        theirs[key][:num_boxes].numpy() for key in ("labels", "scores", "boxes")
    )
    boxes = np.clip(boxes, 0, np.array([90, 60, 90, 60]))
    assert len(found) == len(labels) > 0
    for label, score, box in zip(labels.tolist(), scores, boxes, strict=True):
        same = [
            index
            for index, name in enumerate(found.category_names)
            if name == tiny.NAMES[label] and abs(found.scores[index] - score) < 1e-4
        ]
        assert np.abs(found.boxes_xyxy[same] - box).max(axis=1).min() < 1e-2


@pytest.mark.parametrize("family", ["owlv2", "owlvit"])
def test_owl_agrees_with_the_library(folders, family):
    import transformers as hf

    folder = folders(family)
    (image,) = make_images((60, 90))
    detector = build(folder, vocabulary=Vocabulary(["cat", "dog"]))
    found, _ = clean(*detector.detect([image]), (60, 90))
    processor = hf.AutoImageProcessor.from_pretrained(folder)
    tokens = hf.AutoTokenizer.from_pretrained(folder)(
        ["a photo of a cat", "a photo of a dog"],
        padding="max_length",
        return_tensors="pt",
        truncation=True,
    )
    model = hf.AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    pixels = processor(images=[image.rgb], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        output = model(pixel_values=pixels, **tokens)
    (theirs,) = processor.post_process_object_detection(output, 0.0, [(60, 90)])
    order = theirs["scores"].argsort(descending=True)
    boxes = np.clip(theirs["boxes"][order].numpy(), 0, np.array([90, 60, 90, 60]))
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    np.testing.assert_allclose(found.boxes_xyxy, boxes[has_area], atol=1e-2)
    np.testing.assert_allclose(found.scores, theirs["scores"][order][has_area], atol=1e-5)
    labels = theirs["labels"][order][has_area].tolist()
    assert found.category_names == tuple(("cat", "dog")[label] for label in labels)


@pytest.mark.parametrize("make", [tiny.make_detr, tiny.make_rt_detr])
def test_slots_without_a_class_are_no_classes(tmp_path, make):
    names = {0: "N/A", 1: "cat", 2: "background", 3: "traffic light"}
    folder = tiny.save_tiny_model(tmp_path, partial(make, names=names))
    detector = build(folder)
    assert detector.class_names == ("cat", "traffic light")
    (found,) = detector.detect(make_images((60, 90)))
    assert set(found.category_names) <= {"cat", "traffic light"}
    assert len(found) == 12 or make is tiny.make_detr


@pytest.mark.parametrize("family", ["rt_detr", "owlv2", "grounding"])
def test_an_image_is_labelled_end_to_end(folders, tmp_path, family):
    (tmp_path / "images").mkdir()
    Image.fromarray(make_images((60, 90))[0].rgb).save(tmp_path / "images/a.png")
    settings = {"model": "nano", "vocabulary": "nano", "conf": 0.0, "max_det": 5}
    output = tmp_path / "out"
    detector = f"hf:{folders(family)}"
    label_images(tmp_path / "images", output=output, detector=detector, **settings)
    run = json.loads((output / "run.json").read_text())
    assert run["detector"]["name"] == detector
    assert json.loads((output / "annotations.json").read_text())["annotations"]


# Vocabularies


def test_owl_texts_are_embedded_once(folders, monkeypatch):
    detector = build(folders("owlv2"))
    passes = []
    tower = detector.finder.network.owlv2.text_model
    tower.register_forward_hook(lambda *_: passes.append(1))
    detector.detect(make_images((60, 90), (90, 60)))
    detector.detect(make_images((60, 90)))
    assert len(passes) == 1


def test_owl_chunks_change_nothing(folders, monkeypatch):
    image = make_images((60, 90))
    vocabulary = Vocabulary(["mug", "cat", "dog", "bird"], aliases=[["mug", "cup"], [], [], []])
    (whole,) = build(folders("owlv2"), vocabulary=vocabulary).detect(image)
    monkeypatch.setattr(huggingface_owl, "_TEXTS_A_PASS", 2)
    monkeypatch.setattr(huggingface_owl, "_QUERIES_A_PASS", 2)
    (parts,) = build(folders("owlv2"), vocabulary=vocabulary).detect(image)
    assert parts.category_names == whole.category_names
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-6)


def test_order_of_the_vocabulary_does_not_matter_to_owl(folders):
    image = make_images((60, 90))
    (one,) = build(folders("owlv2"), vocabulary=Vocabulary(["mug", "cat", "dog"])).detect(image)
    (two,) = build(folders("owlv2"), vocabulary=Vocabulary(["dog", "mug", "cat"])).detect(image)
    names = [
        dict(zip(map(tuple, found.boxes_xyxy.tolist()), found.category_names, strict=True))
        for found in (one, two)
    ]
    assert names[0] == names[1]
    assert len(names[0]) == len(one)


@pytest.fixture
def bert(folders):
    import transformers as hf

    return hf.AutoTokenizer.from_pretrained(folders("grounding"))


def test_caption_is_names_and_full_stops(bert):
    (caption,) = build_captions(WORDS, bert, 256)
    text = "[CLS] mug. red backpack. sparrow. st bernard. [SEP]"
    assert list(caption.token_ids) == bert(text, add_special_tokens=False)["input_ids"]
    assert caption.spans == ((1, 2), (3, 6), (7, 8), (9, 11))


def test_captions_are_as_full_as_they_can_be(bert):
    captions = build_captions(WORDS, bert, 9)
    assert [len(caption.token_ids) for caption in captions] == [8, 7]
    assert [caption.first_label for caption in captions] == [0, 2]
    assert captions[1].spans == ((1, 2), (3, 5))


@pytest.mark.parametrize(("name", "tokens"), [("...", 0), ("mug " * 7, 7)])
def test_name_without_tokens_or_with_too_many_is_explained(bert, name, tokens):
    with pytest.raises(VocabularyError, match=f"of 1 to 6 tokens .* got {tokens} tokens of"):
        build_captions(Vocabulary([name]), bert, 9)


def test_grounding_scores_a_class_by_its_own_tokens(tmp_path, folders):
    """The logits are replaced: token 3, 4, 5 ("red", "back", "##pack") of box 2."""
    detector = build(folders("grounding"))
    logits = torch.full((1, 12, 256), -torch.inf)
    logits[0, 2, 3:6] = torch.tensor([2.0, 0.0, -2.0])

    def replace_logits(network, arguments, output):
        output.logits = logits
        return output

    detector.finder.network.register_forward_hook(replace_logits)
    (found,) = detector.detect(make_images((60, 90)))
    assert found.category_names[0] == "red backpack"
    assert found.scores[0] == pytest.approx(0.5)
    assert found.scores[1:].tolist() == pytest.approx([0] * (len(found) - 1))


def test_grounding_runs_its_image_body_once_for_many_captions(tmp_path):
    make = partial(tiny.make_grounding_dino, max_text_len=9)
    detector = build(tiny.save_tiny_model(tmp_path, make, tiny.save_bert_tokenizer))
    passes = []
    body = detector.finder.network.model.backbone.conv_encoder.body
    body.register_forward_hook(lambda *_: passes.append(1))
    (found,) = detector.detect(make_images((60, 90)))
    assert len(passes) == 1
    assert len(found) > 12
    assert set(found.category_ids.tolist()) & {2, 3}


# Fingerprints


def test_fingerprint_follows_weights_settings_and_vocabulary(folders, tmp_path):
    other = tiny.save_tiny_model(tmp_path, tiny.make_owlv2, tiny.save_clip_tokenizer, seed=1)
    base = build(folders("owlv2")).fingerprint
    assert build(folders("owlv2")).fingerprint == base
    changed = [
        build(other),
        build(folders("owlv2"), conf=0.1),
        build(folders("owlv2"), dtype="bf16"),
        build(folders("owlv2"), vocabulary=parse_vocabulary("cat")),
    ]
    assert len({base, *(detector.fingerprint for detector in changed)}) == 5


# Bad input


def test_pickled_weights_are_refused(tmp_path):
    folder = tiny.save_tiny_model(tmp_path, tiny.make_yolos)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DetectorError, match=r"safetensors files in .* got one that does not load"):
        build(folder)


def test_truncated_weights_are_explained(tmp_path):
    folder = tiny.save_tiny_model(tmp_path, tiny.make_yolos)
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:1000])
    with pytest.raises(DetectorError, match="got one that does not load"):
        build(folder)


def test_weights_of_another_size_are_refused(tmp_path):
    folder = tiny.save_tiny_model(tmp_path, tiny.make_yolos)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.raises(DetectorError, match=r"without \d+ of them, or in other shapes: vit\."):
        build(folder)


def test_code_beside_a_model_is_not_run(tmp_path):
    folder = tiny.save_tiny_model(tmp_path, tiny.make_yolos)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('code ran')")
    with pytest.raises(DetectorError, match="got one that does not load"):
        build(folder)


def test_model_that_is_not_here_is_explained_offline(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DetectorError, match=r"cannot get nobody/nothing from the Hugging Face hub"):
        build("nobody/nothing")


def test_image_that_the_model_cannot_resize_is_named(folders):
    detector = build(folders("yolos"))
    with pytest.raises(DetectorError, match=r"got 0.jpg of 200 x 10 pixels"):
        detector.detect(make_images((10, 200)))
