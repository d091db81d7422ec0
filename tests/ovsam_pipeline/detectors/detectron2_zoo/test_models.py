"""`detectron2:` with small random models; run by `-m detectron2` where it is installed."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("detectron2", reason="detectron2 is not installed")

import tiny_detectron2 as tiny
from PIL import Image

from ovsam.errors import CheckpointError, ConfigError, DownloadError
from ovsam_pipeline.detectors.base import Detector, DetectorImage
from ovsam_pipeline.detectors.box_rules import clean
from ovsam_pipeline.detectors.build import build_detector
from ovsam_pipeline.detectors.detectron2_zoo.config import build_zoo_model
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.runs.api import label

pytestmark = [
    pytest.mark.detectron2,
    # detectron2 of 2026-06 with torch 2.14: torch.jit.script, and setuptools' pkg_resources.
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
COCO = "coco_2017_val"


def make_images(*sizes):
    rng = np.random.default_rng(0)
    return [
        DetectorImage(
            ImageRecord(index, f"{index}.jpg", Path(f"{index}.jpg")),
            rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        )
        for index, (height, width) in enumerate(sizes)
    ]


def build(argument, conf=0.0, max_det=50):
    return build_detector(f"detectron2:{argument}", conf=conf, max_det=max_det)


@pytest.fixture
def yacs(tmp_path):
    """A trained Mask R-CNN: config.yaml and, beside it, model_final.pth."""
    path = tmp_path / "config.yaml"
    path.write_text(tiny.YACS.replace("DATA_SET", COCO))
    tiny.save_weights(build_zoo_model(path, "cpu").network, tmp_path / "model_final.pth")
    return path


@pytest.fixture
def lazy(tmp_path):
    """A RetinaNet by LazyConfig, its weights as a zoo's .pkl."""
    path = tmp_path / "mine.py"
    path.write_text(tiny.make_lazy())
    tiny.save_weights(build_zoo_model(path, "cpu").network, tmp_path / "mine.pkl")
    return f"{path},{tmp_path / 'mine.pkl'}"


@pytest.mark.parametrize("kind", ["yacs", "lazy"])
def test_boxes_do_not_depend_on_the_batch(request, kind):
    detector = build(request.getfixturevalue(kind))
    images = make_images((60, 90), (90, 60), (60, 90), (40, 80))
    together = detector.detect(images)
    assert isinstance(detector, Detector)
    assert detector.detect([]) == []
    assert detector.class_names == ("class 0", "class 1", "class 2")
    assert len(together[0]) > 0
    for image, found in zip(images, together, strict=True):
        (alone,) = detector.detect([image])
        assert alone.category_names == found.category_names
        np.testing.assert_allclose(alone.boxes_xyxy, found.boxes_xyxy, atol=1e-3)
        height, width = image.rgb.shape[:2]
        assert (found.boxes_xyxy <= [width, height, width, height]).all()


@pytest.mark.parametrize("kind", ["yacs", "lazy"])
def test_thresholds_reach_the_network(request, kind):
    image = make_images((60, 90))
    (every,) = build(request.getfixturevalue(kind)).detect(image)
    middle = float(every.scores[len(every) // 2])
    (raw,) = build(request.getfixturevalue(kind), conf=middle).detect(image)
    some, _ = clean(raw, (60, 90), conf=middle)
    assert 0 < len(some) <= len(every)
    assert some.scores.min() >= np.float32(middle)
    (few,) = build(request.getfixturevalue(kind), max_det=3).detect(image)
    np.testing.assert_allclose(few.boxes_xyxy, every.boxes_xyxy[:3], atol=1e-4)


def test_yaml_models_agree_with_the_predictor_of_detectron2(yacs):
    """Colour order, resizing, boxes in original pixels: against detectron2's own front door."""
    from detectron2.config import get_cfg
    from detectron2.engine import DefaultPredictor

    config = get_cfg()
    config.merge_from_file(str(yacs))
    config.MODEL.DEVICE = "cpu"
    config.MODEL.WEIGHTS = str(yacs.with_name("model_final.pth"))
    config.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    (image,) = make_images((75, 90))
    theirs = DefaultPredictor(config)(image.rgb[:, :, ::-1])["instances"]
    (found,) = build(yacs, max_det=100).detect([image])
    assert len(found) == len(theirs) > 0
    np.testing.assert_allclose(found.boxes_xyxy, theirs.pred_boxes.tensor, atol=1e-3)
    np.testing.assert_allclose(found.scores, theirs.scores, atol=1e-5)
    assert found.category_ids.tolist() == theirs.pred_classes.tolist()


def test_class_names_come_from_the_data_set_where_counts_agree(tmp_path):
    path = tmp_path / "config.yaml"
    text = tiny.YACS.replace("DATA_SET", COCO)
    path.write_text(text.replace("NUM_CLASSES: 3", "NUM_CLASSES: 80"))
    assert build_zoo_model(path, "cpu").class_names[:2] == ("person", "bicycle")
    path.write_text(text)
    assert build_zoo_model(path, "cpu").class_names is None


def test_every_zoo_detector_of_a_kind_can_be_built():
    folder = Path(__import__("detectron2").__file__).parent / "model_zoo/configs"
    for name in ("COCO-Detection/retinanet_R_50_FPN_3x.yaml", "COCO-Detection/fcos_R_50_FPN_1x.py"):
        model = build_zoo_model(folder / name, "cpu", is_zoo=True)
        assert model.num_classes == 80
        assert model.class_names[0] == "person"
        assert model.is_bgr


def test_an_image_is_labelled_end_to_end(yacs, tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(make_images((90, 120))[0].rgb).save(tmp_path / "images/a.png")
    label(
        str(tmp_path / "images"),
        output=str(tmp_path / "out"),
        model="nano",
        detector=f"detectron2:{yacs}",
        conf=0.0,
        max_det=5,
    )
    found = json.loads((tmp_path / "out/annotations.json").read_text())
    assert 0 < len(found["annotations"]) <= 5


def test_name_on_the_command_line_reaches_the_family(yacs):
    detector = build_detector(f"detectron2:{yacs}", conf=0.2, max_det=7)
    assert detector.name == f"detectron2:{yacs}"
    (found,) = detector.detect(make_images((60, 90)))
    assert len(found) <= 7
    assert (found.scores > 0.19).all()


def test_fingerprint_follows_weights_settings_and_configuration(yacs):
    base = build(yacs).fingerprint
    assert build(yacs).fingerprint == base
    other = tiny.save_weights(build(yacs).model.network, yacs.with_name("b.pth"), seed=1)
    changed = {build(yacs, conf=0.1).fingerprint, build(f"{yacs},{other}").fingerprint}
    yacs.write_text(yacs.read_text().replace("MIN_SIZE_TEST: 64", "MIN_SIZE_TEST: 80"))
    changed.add(build(yacs).fingerprint)
    assert len(changed | {base}) == 4


# Bad input


class _RunsCode:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize("suffix", [".pth", ".pkl"])
def test_weights_that_run_code_are_refused(yacs, suffix, capsys):
    import pickle

    import torch

    path = yacs.with_name(f"bad{suffix}")
    content = {"model": {"a": _RunsCode()}, "__author__": "x"}
    if suffix == ".pth":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(CheckpointError, match="would run code when opened; refused"):
        build(f"{yacs},{path}")
    assert "code ran" not in capsys.readouterr().out


def test_yaml_that_runs_code_is_refused(yacs):
    yacs.write_text("A: !!python/object/apply:print ['code ran']\n" + yacs.read_text())
    with pytest.raises(ConfigError, match="got Python in yaml"):
        build(yacs)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("MODEL: {META_ARCHITECTURE: Mine}\nVERSION: 2\n", r"KeyError: .*Mine.*needs a LazyConfig"),
        ("MINE: 3\nVERSION: 2\n", "Non-existent config key: MINE"),
        ("{{{", "ParserError"),
    ],
)
def test_configuration_that_cannot_be_built_is_explained(yacs, text, reason):
    yacs.write_text(text)
    with pytest.raises(ConfigError, match=f"expected a configuration that .*{reason}"):
        build(yacs)


def test_lazy_configuration_without_resizing_is_explained(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(tiny.make_lazy().split("dataloader")[0])
    with pytest.raises(ConfigError, match=r"expected dataloader\.test\.mapper\.augmentations in"):
        build_zoo_model(path, "cpu")
    path.write_text("x = dict(a=1)")
    with pytest.raises(ConfigError, match="expected a 'model' in the configuration"):
        build_zoo_model(path, "cpu")


def test_zoo_weights_that_nobody_publishes_are_explained():
    with pytest.raises(ConfigError, match=r"behind a comma .* publishes none for it"):
        build("COCO-Detection/fcos_R_50_FPN_1x.py")


def test_zoo_weights_are_fetched_into_the_cache(tmp_path, monkeypatch):
    from ovsam_pipeline.detectors.detectron2_zoo import detector as detectron2_zoo

    asked = []

    def refuse(url, path):
        asked.append((url, path))
        raise DownloadError("no route")

    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path))
    monkeypatch.setattr(detectron2_zoo, "download", refuse)
    with pytest.raises(DownloadError, match="no route"):
        build("COCO-Detection/retinanet_R_50_FPN_3x")
    ((url, path),) = asked
    assert url.endswith("COCO-Detection/retinanet_R_50_FPN_3x/190397829/model_final_5bd44e.pkl")
    assert path.is_relative_to(tmp_path / "detectron2/COCO-Detection/retinanet_R_50_FPN_3x")
