import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.detectors.base import Detector
from ovsam_pipeline.detectors.build import build_detector

CODE = """
from dataclasses import dataclass
from ovsam_pipeline.detectors.base import Detections


@dataclass
class Nothing:
    device: str
    name: str = "nothing"
    fingerprint: str = "0"
    class_names: tuple[str, ...] | None = None

    def detect(self, images):
        return [Detections.empty() for _ in images]


def build_detector(settings):
    return Nothing(settings.device)
"""


def test_function_of_the_file_is_given_the_settings(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CODE)
    detector = build_detector(f"python:{path}", device="cuda:1")
    assert (detector.name, detector.device) == ("nothing", "cuda:1")
    assert isinstance(detector, Detector)
    assert [len(found) for found in detector.detect([None, None])] == [0, 0]
    assert detector.licence == ""


def test_a_detector_may_state_its_licence_or_derive_from_the_base(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CODE.replace('"0"', '"0"\n    licence: str = "MIT"'))
    assert build_detector(f"python:{path}").licence == "MIT"
    derived = CODE.replace("class Nothing:", "class Nothing(Detector):")
    path.write_text(derived.replace("import Detections", "import Detections, Detector"))
    assert type(build_detector(f"python:{path}")).__name__ == "Nothing"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "got '', which is not a .py file"),
        ("missing.py", "missing.py', which does not exist"),
        ("text.txt", "which is not a .py file"),
    ],
)
def test_what_is_no_python_file_is_explained(tmp_path, name, reason):
    (tmp_path / "text.txt").write_text("")
    argument = str(tmp_path / name) if name else ""
    with pytest.raises(ConfigError, match=rf"Python file after --detector python:, .*{reason}"):
        build_detector(f"python:{argument}")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = 1", r"expected a function build_detector\(settings\) in .*mine.py"),
        (
            "def build_detector(settings):\n    return 3",
            "got int without name, fingerprint, class_names, device, detect",
        ),
    ],
)
def test_file_without_a_detector_is_explained(tmp_path, code, reason):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(ConfigError, match=reason):
        build_detector(f"python:{tmp_path / 'mine.py'}")


def test_errors_of_the_file_stay_what_they_are(tmp_path):
    (tmp_path / "mine.py").write_text("1 / 0")
    with pytest.raises(ZeroDivisionError):
        build_detector(f"python:{tmp_path / 'mine.py'}")
