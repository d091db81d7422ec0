import pytest

from ovsam.errors import DownloadError
from ovsam.weights import hub
from ovsam_pipeline.detectors.official import weights as official_weights
from ovsam_pipeline.detectors.official.weights import (
    CLIP_TEXT_FILE,
    OFFICIAL_DETECTORS,
    find_fetchable,
    find_known_detector,
    list_detector_names,
    locate_detector,
    require_clip_text,
    require_weights,
)


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("OVSAM_CACHE", str(tmp_path / "ovsam"))
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "detectron2"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def test_every_detector_has_files_terms_and_a_source():
    assert len({d.name for d in OFFICIAL_DETECTORS}) == len(OFFICIAL_DETECTORS) == 10
    for detector in OFFICIAL_DETECTORS:
        assert detector.weights.url.startswith("https://dl.fbaipublicfiles.com/det")
        assert detector.weights.licence.title in ("CC BY-SA 3.0", "Apache-2.0")
        assert detector.source.startswith("https://github.com/facebookresearch/")
        assert (CLIP_TEXT_FILE in detector.files) == (detector.family == "detic")
        # Single precision, the mask head and training's buffers beside what is used.
        assert detector.weights.size_bytes > 4e6 * detector.parameters_m * 0.99


def test_addresses_are_those_of_the_publishers():
    urls = {d.name: d.weights.url for d in OFFICIAL_DETECTORS}
    base = "https://dl.fbaipublicfiles.com/"
    assert urls["faster-rcnn"] == (
        f"{base}detectron2/COCO-Detection/faster_rcnn_R_50_FPN_3x/137849458/model_final_280758.pkl"
    )
    vitdet = f"{base}detectron2/ViTDet/LVIS/cascade_mask_rcnn_vitdet_h"
    assert urls["vitdet-h-lvis"] == f"{vitdet}/332552778/model_final_11bbb7.pkl"
    assert urls["detic-lbase"] == f"{base}detic/Detic_LbaseI_CLIP_SwinB_896b32_4x_ft4x_max-size.pth"


def test_short_names_mean_the_smallest():
    assert find_known_detector("vitdet").name == "vitdet-b"
    assert find_known_detector("vitdet-lvis").name == "vitdet-b-lvis"
    assert find_known_detector("detik") is None
    assert {"vitdet", "detic-r50"} <= set(list_detector_names())


def test_names_that_can_be_fetched():
    assert find_fetchable("clip-vit-b32") == (CLIP_TEXT_FILE,)
    assert find_fetchable("vitdet") == find_known_detector("vitdet-b").files
    assert find_fetchable("rn50x16-lvis") is None


def test_file_in_our_cache_is_found(tmp_path):
    detector = find_known_detector("faster-rcnn")
    assert locate_detector(detector) is None
    path = tmp_path / "ovsam/weights" / detector.weights.names[0]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert locate_detector(detector) == (path,)
    assert require_weights(detector) == path


def test_file_in_detectron2s_cache_is_found(tmp_path):
    detector = find_known_detector("vitdet-b")
    path = tmp_path / "detectron2" / detector.weights.url.removeprefix(official_weights._META)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert require_weights(detector) == path


def test_detic_is_here_when_its_text_tower_is_too(tmp_path, monkeypatch):
    detector = find_known_detector("detic")
    monkeypatch.setattr(
        official_weights, "find_file", lambda file: tmp_path if file is detector.weights else None
    )
    assert locate_detector(detector) is None
    assert require_weights(detector) == tmp_path
    with pytest.raises(DownloadError, match=r"detic needs .*`ovsam models fetch clip-vit-b32`"):
        require_clip_text("detic")


def test_missing_weights_name_the_command():
    with pytest.raises(DownloadError, match=r"models fetch detic` \(1.3 GB\).*detic:FILE"):
        require_weights(find_known_detector("detic"))


def test_share_alike_terms_are_accepted_once(monkeypatch):
    detector = find_known_detector("faster-rcnn")
    (licence,) = hub.unaccepted_licences(file.licence for file in detector.files)
    with pytest.raises(DownloadError, match=r"CC BY-SA 3.0: .*under the same terms"):
        hub.fetch_files("faster-rcnn", detector.files)
    monkeypatch.setattr(hub, "_fetch_file", lambda file, progress: file)
    hub.fetch_files("faster-rcnn", detector.files, accept_licence=True)
    assert hub.unaccepted_licences([licence]) == ()
