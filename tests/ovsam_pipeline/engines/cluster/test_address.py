import socket

import pytest

from ovsam.errors import ConfigError
from ovsam_pipeline.engines.cluster.address import (
    check_address,
    explain_cluster,
    reach_address,
)

_OTHER_VERSIONS = """Version mismatch: The cluster was started with:
    Ray: 2.40.0
    Python: 3.12.1
This process on node 192.0.2.7 was started with:
    Ray: 2.60.0
    Python: 3.11.9
"""


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://head:8265", "takes jobs: `ray job submit --address http://head:8265 -- ovsam"),
        ("ray://head:10001", "expected --address as auto or HEAD:6379, got ray://head:10001"),
    ],
)
def test_other_doors_of_a_cluster_are_refused(address, words):
    with pytest.raises(ConfigError, match=words):
        check_address(address)
    check_address("head:6379")


def test_address_where_nobody_listens_is_said_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"no Ray cluster answers at 127.0.0.1:{port}; start"):
            reach_address(f"127.0.0.1:{port}")
        with pytest.raises(ConfigError) as said:
            reach_address(f"127.0.0.1:{port}")
        assert str(explain_cluster(said.value, "127.0.0.1")).count("no Ray cluster") == 1
        taken.listen()
        reach_address(f"127.0.0.1:{port}")
    reach_address("auto")


@pytest.mark.parametrize(
    ("error", "address", "sentence"),
    [
        (ConnectionError("Could not find any running Ray instance"), "auto",
         "no Ray cluster answers at auto; start one"),
        (RuntimeError("Authentication token is missing"), "head:6379",
         "the Ray cluster at head:6379 refuses the token of this machine; set RAY_AUTH_MODE"),
        (ConnectionError("Failed to connect to Ray cluster at head:6379"), "head:6379",
         "the Ray cluster at head:6379 answers but refuses this machine, probably because of its"),
        (RuntimeError(_OTHER_VERSIONS), "head:6379",
         "the Ray cluster at head:6379 has Ray 2.40.0 and Python 3.12.1, this machine Ray 2.60.0"),
        (OSError("no space"), None, "Ray cannot be started on this machine: no space"),
    ],
)  # fmt: skip
def test_cluster_that_cannot_be_used_is_one_sentence(error, address, sentence):
    assert str(explain_cluster(error, address)).startswith(sentence)


def test_token_that_ray_refuses_deep_inside_is_said():
    try:
        try:
            raise RuntimeError("AuthenticationError: invalid token")
        except RuntimeError as reason:
            raise ConnectionError("Failed to connect to the head") from reason
    except ConnectionError as error:
        sentence = str(explain_cluster(error, "head:6379"))
    assert "refuses the token of this machine; set RAY_AUTH_MODE=token" in sentence
