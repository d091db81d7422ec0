"""The front door with a small stand-in for the network, and once with a real small Detic."""

import logging
import pickle

import numpy as np
import pytest
import torch
from small_detector import RECIPE, build_small_detic

from ovsam.errors import CheckpointError, ConfigError, DownloadError
from ovsam.text.vocabulary_files import load_vocabulary, parse_vocabulary
from ovsam_pipeline.detectors import identity, random_weights
from ovsam_pipeline.detectors.base import Detector, DetectorImage
from ovsam_pipeline.detectors.box_rules import clean
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.detectors.identity import DetectorIdentity
from ovsam_pipeline.detectors.official import detector as official
from ovsam_pipeline.detectors.official import weights as official_weights
from ovsam_pipeline.detectors.official.detector import OfficialDetector, guess_detector
from ovsam_pipeline.detectors.official.rcnn.structures import DetectedBoxes
from ovsam_pipeline.detectors.random_weights import make_tensor
from ovsam_pipeline.detectors.settings import DetectorSettings

TEXTS = parse_vocabulary("mug,red backpack,sparrow")


class FakeNetwork(torch.nn.Module):
    """Finds one box an image: its brightest grey value / 255 is the score, class 1."""

    def __init__(self, memory=99):
        super().__init__()
        self.recipe = RECIPE
        self.backbone = torch.nn.Identity()
        self.memory = memory
        self.calls = []

    def detect(self, batch, resized_sizes, original_sizes, mode):
        self.calls.append((tuple(batch.shape), mode))
        if len(batch) > self.memory:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [self.find(pixels, size) for pixels, size in zip(batch, original_sizes, strict=True)]

    def find(self, pixels, size_hw):
        score = pixels.max()[None] / 255
        box = torch.tensor([[0.0, 0.0, size_hw[1], size_hw[0]]])
        return DetectedBoxes(box, score, torch.ones(1, dtype=torch.int64), score)


def make_image(height, width, grey=255):
    return DetectorImage(None, np.full((height, width, 3), grey, np.uint8))


def make_detector(mode="detections", memory=99, **settings):
    chosen = DetectorSettings(spec="detic", **settings)
    names = TEXTS.names if mode == "detections" else None
    return OfficialDetector(
        FakeNetwork(memory), TEXTS, mode, chosen, DetectorIdentity("detic", "f" * 32, names)
    )


def test_front_door_is_a_detector_with_class_names():
    detector = make_detector()
    assert isinstance(detector, Detector)
    assert detector.class_names == TEXTS.names
    (found,) = detector.detect([make_image(20, 40)])
    assert found.category_names == ("red backpack",)
    assert found.category_ids.tolist() == [2]
    np.testing.assert_array_equal(found.boxes_xyxy, [[0, 0, 40, 20]])


@pytest.mark.parametrize("mode", ["refined", "proposals"])
def test_boxes_without_classes_have_no_names(mode):
    detector = make_detector(mode)
    assert detector.class_names is None
    (found,) = detector.detect([make_image(20, 40)])
    assert found.category_names is None
    assert detector.network.calls[0][1] == mode


def test_images_of_one_padded_size_run_together_and_come_back_in_order():
    images = [make_image(32, 50), make_image(64, 32), make_image(32, 60), make_image(40, 40, 128)]
    detector = make_detector(conf=0.1)
    found = detector.detect(images)
    shapes = [shape for shape, _ in detector.network.calls]
    assert shapes == [(2, 3, 32, 64), (1, 3, 64, 32), (1, 3, 32, 32)]
    assert [item.boxes_xyxy[0, 2:].tolist() for item in found] == [
        [50, 32],
        [32, 64],
        [60, 32],
        [40, 40],
    ]


def test_no_images_give_no_detections():
    assert make_detector().detect([]) == []


def test_score_of_the_threshold_stays_and_less_goes():
    grey = 128
    (found,) = make_detector().detect([make_image(9, 9, grey)])
    assert len(clean(found, (9, 9), conf=grey / 255)[0]) == 1
    assert len(clean(found, (9, 9), conf=grey / 255 + 1e-4)[0]) == 0


def test_box_that_is_not_a_number_is_dropped():
    detector = make_detector()
    nan = torch.full((1, 4), torch.nan)
    detector.network.find = lambda pixels, size: DetectedBoxes(
        nan, torch.ones(1), torch.zeros(1, dtype=torch.int64), torch.ones(1)
    )
    assert len(detector.detect([make_image(9, 9)])[0]) == 0


def test_batch_is_halved_when_memory_is_short_told_once_and_stays_halved(caplog):
    detector = make_detector(memory=2)
    with caplog.at_level(logging.WARNING):
        assert len(detector.detect([make_image(32, 32)] * 8)) == 8
        assert len(detector.detect([make_image(32, 32)] * 3)) == 3
    sizes = [shape[0] for shape, _ in detector.network.calls]
    assert sizes == [8, 4, 2, 2, 2, 2, 2, 1]
    told = [record.getMessage() for record in caplog.records]
    assert told == ["detic runs out of memory with 8 images together; from here on it takes 2"]


def test_memory_too_short_for_one_image_is_the_callers_to_handle():
    with pytest.raises(torch.OutOfMemoryError):
        make_detector(memory=0).detect([make_image(32, 32)] * 2)


def test_other_errors_are_not_taken_for_short_memory():
    detector = make_detector()
    detector.network.find = lambda *_: [][0]
    with pytest.raises(IndexError):
        detector.detect([make_image(9, 9)] * 2)


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Networks by name are a small Detic, its texts are embedded without a tower."""
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "detectron2"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(random_weights, "_warned", False)
    monkeypatch.setattr(official, "_embed", lambda vocabulary, *_: embed(vocabulary.names))
    monkeypatch.setattr(official, "_build_network", lambda known: build_small_detic())


def embed(names):
    return torch.stack([make_tensor(name, (1, 512), 0)[0] for name in names])


@pytest.fixture
def random_tiny(tiny, monkeypatch):
    monkeypatch.setenv("OVSAM_WEIGHTS", "random:0")


def test_detic_finds_any_names_without_a_file_and_says_it_is_meaningless(random_tiny, caplog):
    detector = build_detector("detic", vocabulary=TEXTS, conf=0.3)
    assert detector.name == "detic"
    assert detector.class_names == TEXTS.names
    found = detector.detect([make_image(60, 90, 80), make_image(60, 90, 200)])
    assert sum(map(len, found)) > 0
    assert all(name in TEXTS.names for item in found for name in item.category_names)
    assert all((item.scores >= 0.3).all() for item in found)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == [
        "OVSAM_WEIGHTS=random:0: detic has made-up weights; its boxes and names are meaningless"
    ]


def test_images_in_a_batch_give_the_boxes_they_give_alone(random_tiny):
    detector = build_detector("detic#refined", vocabulary=TEXTS, conf=0.1)
    generator = np.random.default_rng(0)
    images = [
        DetectorImage(None, generator.integers(0, 255, (60, width, 3), np.uint8))
        for width in (80, 82, 60)
    ]
    together = detector.detect(images)
    for image, found in zip(images, together, strict=True):
        (alone,) = detector.detect([image])
        np.testing.assert_allclose(alone.boxes_xyxy, found.boxes_xyxy, atol=1e-2)
        np.testing.assert_allclose(alone.scores, found.scores, atol=1e-4)


def test_fingerprint_changes_with_whatever_changes_boxes(random_tiny, monkeypatch):
    def fingerprint(spec="detic", **settings):
        return build_detector(spec, **{"vocabulary": TEXTS, **settings}).fingerprint

    first = fingerprint()
    assert first == fingerprint(device="cpu")
    others = {
        fingerprint(conf=0.3),
        fingerprint(max_det=7),
        fingerprint(dtype="bf16"),
        fingerprint(vocabulary=parse_vocabulary("mug,sparrow")),
        fingerprint("detic#refined"),
        fingerprint("detic#proposals"),
        fingerprint("detic-lbase"),
    }
    monkeypatch.setenv("OVSAM_WEIGHTS", "random:1")
    others.add(fingerprint())
    assert len(others | {first}) == 9


def test_proposals_need_no_text_and_no_vocabulary(random_tiny, monkeypatch):
    monkeypatch.setattr(official, "_embed", None)
    with_texts = build_detector("detic#proposals", vocabulary=TEXTS)
    assert with_texts.fingerprint == build_detector("detic#proposals").fingerprint


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_half_precision_body_gives_float32_boxes(random_tiny, dtype):
    detector = build_detector("detic", vocabulary=TEXTS, conf=0.1, dtype=dtype)
    (found,) = detector.detect([make_image(60, 90, 80)])
    assert found.boxes_xyxy.dtype == np.float32


def test_body_is_compiled_on_request_only(random_tiny, monkeypatch):
    compiled, compile_module = [], torch.nn.Module.compile

    def trace(module, **options):
        compiled.append(module)
        compile_module(module, backend="eager", **options)

    monkeypatch.setattr(torch.nn.Module, "compile", trace)
    plain = build_detector("detic#proposals", conf=0.1)
    assert compiled == []
    detector = build_detector("detic#proposals", conf=0.1, is_compiled=True)
    assert compiled == [detector.network.backbone]
    images = [make_image(60, 90, 80), make_image(60, 60, 200)]
    for expected, found in zip(plain.detect(images), detector.detect(images), strict=True):
        np.testing.assert_allclose(found.boxes_xyxy, expected.boxes_xyxy, atol=1e-3)


def test_without_weights_the_command_is_named(tiny):
    with pytest.raises(DownloadError, match="fetch them once with `ovsam models fetch detic`"):
        build_detector("detic")


def test_weights_from_a_file_are_those_that_were_saved(tiny, tmp_path, monkeypatch):
    network = build_small_detic()
    random_weights.fill_randomly(network, 5)
    state = {"model": network.state_dict(), "iteration": 90_000}
    torch.save(state, tmp_path / "mine.pth")
    detector = build_detector(f"detic:{tmp_path / 'mine.pth'}#proposals", conf=0.1)
    assert detector.name == f"detic:{tmp_path / 'mine.pth'}#proposals"
    expected = network.state_dict()["proposal_generator.centernet_head.agn_hm.weight"]
    own = detector.network.state_dict()["proposal_generator.centernet_head.agn_hm.weight"]
    assert torch.equal(own, expected)
    with pytest.raises(DownloadError, match="detic needs the text tower of CLIP ViT-B/32"):
        build_detector(f"detic:{tmp_path / 'mine.pth'}")


def test_terms_of_the_official_files_go_into_the_run(tiny, tmp_path, monkeypatch):
    torch.save({"model": build_small_detic().state_dict()}, tmp_path / "a.pth")
    monkeypatch.setattr(identity, "require_weights", lambda known: tmp_path / "a.pth")
    monkeypatch.setattr(identity, "require_clip_text", lambda name: tmp_path / "a.pth")
    assert build_detector("detic").licence == "Apache-2.0, MIT"
    assert build_detector("detic").class_names == load_vocabulary("lvis").names
    assert build_detector("faster-rcnn").licence == "CC BY-SA 3.0"
    assert build_detector(f"detic:{tmp_path / 'a.pth'}").licence == ""


def test_made_up_texts_go_with_weights_of_a_file(random_tiny, tmp_path, caplog):
    torch.save({"model": build_small_detic().state_dict()}, tmp_path / "a.pth")
    detector = build_detector(f"detic:{tmp_path / 'a.pth'}", vocabulary=TEXTS)
    assert detector.detect([make_image(60, 90, 80)])[0].category_names is not None
    assert "made-up weights" in caplog.text


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("detic#boxes", r"expected #detections, #refined, #proposals or nothing .*got '#boxes'"),
        ("vitdet:gone.pkl", "expected a file of weights .*got gone.pkl, which is not there"),
        ("vitdet:#refin", "got '#refin'"),
    ],
)
def test_wrong_argument_is_a_configuration_error(spec, reason):
    with pytest.raises(ConfigError, match=reason):
        build_detector(spec)


def save_pickle(path, tensors):
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "test"}, 2))
    return path


def small_state():
    """A few tensors under a Faster R-CNN's names."""
    return {
        "backbone.bottom_up.stem.conv1.weight": torch.zeros(64, 3, 7, 7),
        "roi_heads.box_predictor.cls_score.bias": torch.zeros(81),
    }


def test_file_of_another_detector_is_refused_and_recognised(tiny, tmp_path):
    path = save_pickle(tmp_path / "other.pkl", small_state())
    expected = r"other.pkl: .*missing.*unexpected.*these look like weights of faster-rcnn"
    with pytest.raises(CheckpointError, match=expected):
        build_detector(f"detic:{path}#proposals")


def test_damaged_file_of_the_right_detector_is_not_guessed_at(tiny, tmp_path):
    path = save_pickle(tmp_path / "half.pkl", small_state())
    with pytest.raises(CheckpointError, match=r"half.pkl: .*missing") as caught:
        build_detector(f"faster-rcnn:{path}")
    assert "look like" not in str(caught.value)


def test_file_of_weights_is_looked_at_before_a_text_tower_is_asked_for(tiny, tmp_path):
    path = save_pickle(tmp_path / "other.pkl", small_state())
    with pytest.raises(CheckpointError, match="these look like weights of faster-rcnn"):
        build_detector(f"detic:{path}")
    torch.save({"model": build_small_detic().state_dict()}, tmp_path / "right.pth")
    with pytest.raises(DownloadError, match="needs the text tower of CLIP"):
        build_detector(f"detic:{tmp_path / 'right.pth'}")


def test_tensor_of_another_shape_is_named(tiny, tmp_path):
    tensors = build_small_detic().state_dict()
    name = "proposal_generator.centernet_head.agn_hm.weight"
    tensors[name] = tensors[name][:, :3]
    torch.save({"model": tensors}, tmp_path / "narrow.pth")
    with pytest.raises(CheckpointError, match=rf"narrow.pth: .*{name}: expected .*got"):
        build_detector(f"detic:{tmp_path / 'narrow.pth'}#proposals")


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_truncated_file_is_one_sentence(tiny, tmp_path, suffix):
    path = save_pickle(tmp_path / "whole.pkl", small_state())
    if suffix == ".pth":
        torch.save(small_state(), path)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(CheckpointError, match=rf"cut{suffix} is truncated"):
        build_detector(f"detic:{cut}#proposals")


def test_torch_file_that_wants_to_run_code_is_refused(tiny, tmp_path):
    torch.save({"model": {"a": torch.zeros(1)}, "hook": print}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="would run code when opened; refused"):
        build_detector(f"detic:{tmp_path / 'evil.pth'}#proposals")


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("backbone.bottom_up.patch_embed.proj.weight", (128, 3, 4, 4), "detic"),
        ("backbone.bottom_up.base.conv1.weight", (64, 3, 7, 7), "detic-r50"),
        ("backbone.bottom_up.stem.conv1.weight", (64, 3, 7, 7), "faster-rcnn"),
        ("backbone.net.pos_embed", (1, 197, 1280), "vitdet-h"),
        ("image_encoder.pos_embed", (1, 64, 64, 768), None),
    ],
)
def test_detector_of_a_file_is_guessed_by_its_tensors(name, shape, expected):
    assert guess_detector({name: torch.zeros(shape)}) == expected


def test_lvis_file_of_vitdet_is_guessed_by_its_classes():
    tensors = {
        "backbone.net.pos_embed": torch.zeros(1, 197, 768),
        "roi_heads.box_predictor.0.cls_score.bias": torch.zeros(1204),
    }
    assert guess_detector(tensors) == "vitdet-b-lvis"


def test_classes_of_the_networks_are_in_the_order_of_their_ids():
    for dataset, name in {"coco": "coco-80", "lvis": "lvis"}.items():
        ids = load_vocabulary(name).category_ids
        assert list(ids) == sorted(ids)
        assert len(ids) == official._NUM_CLASSES[dataset]


def test_every_name_builds_its_network_with_the_counted_parameters():
    with torch.device("meta"):
        for known in official_weights.OFFICIAL_DETECTORS:
            network = official._build_network(known)
            count = sum(
                parameter.numel()
                for name, parameter in network.named_parameters()
                if "zs_weight" not in name
            )
            assert count / 1e6 == pytest.approx(known.parameters_m, abs=0.06), known.name


def test_pickle_of_detectron2_is_loaded_as_it_is(tiny, tmp_path):
    network = build_small_detic()
    random_weights.fill_randomly(network, 3)
    path = save_pickle(tmp_path / "mine.pkl", network.state_dict())
    detector = build_detector(f"faster-rcnn:{path}")
    assert detector.class_names[:2] == ("person", "bicycle")
    for name, tensor in detector.network.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]) or "zs_weight" in name, name
