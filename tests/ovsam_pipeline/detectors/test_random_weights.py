import logging

import pytest
import torch

import ovsam
from ovsam.errors import ConfigError
from ovsam.model_facts import ModelFacts
from ovsam.text.vocabulary_files import parse_vocabulary
from ovsam_pipeline.detectors import random_weights
from ovsam_pipeline.detectors.random_weights import (
    fill_randomly,
    make_tensor,
    read_random_seed,
    warn_meaningless,
)
from ovsam_pipeline.labelling.provenance import choose_namer, find_text_seed

EXPECTED = [-0.187071546, 0.243044972, -0.231071278]


@pytest.mark.parametrize(("text", "seed"), [("", None), ("random:0", 0), ("random:17", 17)])
def test_seed_is_read_from_the_environment(monkeypatch, text, seed):
    monkeypatch.setenv("OVSAM_WEIGHTS", text)
    assert read_random_seed() == seed


@pytest.mark.parametrize("text", ["random", "random:x", "random:-1", "file.pth"])
def test_other_values_are_refused_with_an_example(monkeypatch, text):
    monkeypatch.setenv("OVSAM_WEIGHTS", text)
    with pytest.raises(ConfigError, match=r"OVSAM_WEIGHTS as random:SEED, e.g. random:0, got"):
        read_random_seed()


def test_values_hang_on_seed_name_and_shape_alone():
    first = make_tensor("fc.weight", (3, 5), 0)
    assert torch.equal(first, make_tensor("fc.weight", (3, 5), 0))
    assert not torch.equal(first, make_tensor("fc.weight", (3, 5), 1))
    assert not torch.equal(first, make_tensor("fd.weight", (3, 5), 0))
    # Written down once: other machines and later versions give the same values.
    assert first[0, :3].tolist() == pytest.approx(EXPECTED, abs=1e-6)


def test_variances_are_positive_and_gains_near_one():
    assert (make_tensor("norm.running_var", (1000,), 0) >= 1).all()
    gains = make_tensor("norm.weight", (1000,), 0)
    assert gains.mean() == pytest.approx(1, abs=0.02)
    assert make_tensor("a.weight", (50, 400), 0).std() == pytest.approx(0.05, abs=0.002)


def test_module_is_filled_in_place_but_for_its_integers():
    norm = torch.nn.BatchNorm2d(4)
    fill_randomly(norm, 0)
    assert torch.equal(norm.running_mean, make_tensor("running_mean", (4,), 0))
    assert norm.num_batches_tracked == 0


def test_warning_comes_once(monkeypatch, caplog):
    monkeypatch.setattr(random_weights, "_warned", False)
    with caplog.at_level(logging.WARNING):
        warn_meaningless("detic")
        warn_meaningless("vitdet")
    assert len(caplog.records) == 1


@pytest.fixture
def nano():
    return ovsam.load_model("nano")


def test_nano_takes_names_it_does_not_know_with_made_up_weights_only(nano, monkeypatch):
    mug = parse_vocabulary("mug,red backpack")
    monkeypatch.delenv("OVSAM_WEIGHTS", raising=False)
    assert choose_namer(nano, mug) is nano.namer
    monkeypatch.setenv("OVSAM_WEIGHTS", "random:0")
    tower = choose_namer(nano, mug)
    assert tower.known_texts is None
    assert tower.encode(["mug"]).shape == (1, nano.config.clip.embed_dim)


def test_names_that_nano_knows_and_other_models_keep_their_tower(nano, monkeypatch):
    monkeypatch.setenv("OVSAM_WEIGHTS", "random:0")
    known = parse_vocabulary(nano.namer.known_texts[0])
    assert choose_namer(nano, known) is nano.namer
    other = ModelFacts("rn50x16", identity="", namer="clip")
    assert find_text_seed(other, parse_vocabulary("mug")) is None
