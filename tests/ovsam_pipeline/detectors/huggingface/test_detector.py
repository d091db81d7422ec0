"""Sentences of `hf:`; they hold with and without transformers."""

import sys
from types import SimpleNamespace

import pytest

from ovsam.errors import ConfigError, MissingDependencyError
from ovsam.text.vocabulary_files import parse_vocabulary
from ovsam_pipeline.detectors.huggingface import detector as huggingface
from ovsam_pipeline.detectors.huggingface.detector import build_hf_detector
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.errors import DetectorError


def build(argument, **settings):
    return build_hf_detector(DetectorSettings(spec=f"hf:{argument}", argument=argument, **settings))


class FakeTransformers:
    """Stands where transformers would: names a model type, or fails."""

    def __init__(self, model_type="", failure=None):
        self.AutoConfig = self
        self.logging = SimpleNamespace(
            get_verbosity=int,
            set_verbosity=lambda level: None,
            set_verbosity_error=lambda: None,
            is_progress_bar_enabled=bool,
            disable_progress_bar=lambda: None,
        )
        self.model_type, self.failure = model_type, failure

    def from_pretrained(self, source, **options):
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(model_type=self.model_type)


def test_missing_transformers_is_an_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ovsam\[hf\]'"):
        build("a/b")


@pytest.fixture
def fake(monkeypatch):
    def install(**options):
        monkeypatch.setitem(sys.modules, "transformers", FakeTransformers(**options))

    install()
    return install


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("", "expected a model behind --detector hf:.* got nothing"),
        ("{folder}", "expected a folder .* with a config.json .* without one"),
        ("{folder}/no/such", "got '.*/no/such', which is no folder here"),
        ("./missing", "which is no folder here"),
        ("{folder}/weights.bin", "which is a file"),
    ],
)
def test_wrong_argument_is_explained(tmp_path, fake, argument, reason):
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(ConfigError, match=reason):
        build(argument.format(folder=tmp_path))


def test_model_that_is_no_detector_is_explained(fake):
    fake(model_type="bert")
    with pytest.raises(ConfigError, match=r"'a/b', which is of type bert; known are .*owlv2"):
        build("a/b")


@pytest.mark.parametrize("model_type", ["owlv2", "grounding-dino"])
def test_open_vocabulary_model_needs_a_vocabulary(fake, model_type):
    fake(model_type=model_type)
    with pytest.raises(ConfigError, match=rf"hf:a/b \({model_type}\) .* with --vocabulary"):
        build("a/b")


def test_model_that_cannot_be_fetched_is_explained(fake):
    fake(failure=OSError("We couldn't connect\nto the hub"))
    reason = r"cannot get a/b .*couldn't connect to the hub\): .*`hf download a/b --local-dir"
    with pytest.raises(DetectorError, match=reason):
        build("a/b", vocabulary=parse_vocabulary("cat"))


def test_package_that_a_model_needs_is_named(fake):
    fake(failure=ImportError("requires the timm library"))
    with pytest.raises(MissingDependencyError, match=r"hf:a/b needs a package .* timm library"):
        build("a/b")


def test_incomplete_weights_are_refused():
    report = {"missing_keys": {"b", "a", "c", "d"}, "mismatched_keys": {("e", (1,), (2,))}}
    with pytest.raises(DetectorError, match=r"without 5 of them.*: a, b, c, \.\.\."):
        huggingface._check_weights("x", report)
    huggingface._check_weights("x", {"missing_keys": set(), "mismatched_keys": set()})
