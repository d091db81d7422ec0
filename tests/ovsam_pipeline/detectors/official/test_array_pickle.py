import collections
import io
import os
import pickle

import numpy as np
import pytest
import torch

from ovsam.errors import CheckpointError
from ovsam_pipeline.detectors.official.array_pickle import read_array_pickle

ARRAYS = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "turned": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "half": np.ones((1, 4), np.float16),
    "index": np.arange(3),
    "single": np.float32(2.5),
    "flag": np.array(True),
    "none": np.zeros((0, 4), np.float32),
    "big endian": np.arange(4, dtype=">f4"),
}


def write(path, content, protocol=2):
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_every_protocol_are_read_as_they_are(tmp_path, protocol):
    content = {"model": ARRAYS, "__author__": "somebody"}
    tensors = read_array_pickle(write(tmp_path / "a.pkl", content, protocol))
    assert tensors.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(tensors[name].numpy(), array)
    assert tensors["half"].dtype == torch.float16
    assert tensors["weight"].is_contiguous()


def test_names_of_both_numpy_generations_are_known(tmp_path):
    data = pickle.dumps({"model": {"a": np.ones(2, np.float32)}}, 2)
    assert b"numpy._core" in data
    (tmp_path / "old.pkl").write_bytes(data.replace(b"numpy._core", b"numpy.core"))
    assert read_array_pickle(tmp_path / "old.pkl")["a"].tolist() == [1, 1]


def test_file_of_python_2_is_read(tmp_path):
    """Python 2 wrote the bytes of an array as a text: here byte by byte, as its pickler did."""
    raw = np.array([1.5, -2.0], "<f4").tobytes()
    text = b"".join(b"\\x%02x" % byte for byte in raw)
    data = (
        b"(dS'model'\n(dS'a'\ncnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I2\ntcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nS'"
        + text
        + b"'\ntbss."
    )
    (tmp_path / "two.pkl").write_bytes(data)
    assert read_array_pickle(tmp_path / "two.pkl")["a"].tolist() == [1.5, -2.0]


def test_ordered_and_plain_mappings_are_read(tmp_path):
    content = collections.OrderedDict(a=np.ones(1, np.float32))
    assert list(read_array_pickle(write(tmp_path / "a.pkl", content))) == ["a"]


class _Runs:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {}",), r"(posix|nt)\.system"),
        (eval, ("1",), r"eval"),
        (getattr, (1, "real"), r"getattr"),
        (np.load, ("x",), "numpy.load"),
    ],
    ids=["system", "eval", "getattr", "numpy.load"],
)
def test_file_that_wants_to_run_code_is_refused_before_it_does(tmp_path, function, arguments, name):
    mark = tmp_path / "was_here"
    call = _Runs(function, *(str(a).format(mark) for a in arguments))
    path = write(tmp_path / "evil.pkl", {"model": {"a": call}})
    with pytest.raises(CheckpointError, match=rf"would run code when opened; refused.*{name}"):
        read_array_pickle(path)
    assert not mark.exists()


def test_array_of_objects_is_refused(tmp_path):
    content = {"model": {"a": np.array([{}, []], object)}}
    with pytest.raises(CheckpointError, match=r"arrays of numbers in .*a.pkl, got an array of"):
        read_array_pickle(write(tmp_path / "a.pkl", content))


def test_reference_to_the_outside_is_refused(tmp_path):
    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            return "elsewhere" if value == "x" else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump({"model": {"a": "x"}})
    (tmp_path / "a.pkl").write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match="a reference to something outside the file"):
        read_array_pickle(tmp_path / "a.pkl")


def test_truncated_file_is_one_sentence_wherever_it_ends(tmp_path):
    data = pickle.dumps({"model": ARRAYS}, 2)
    path = tmp_path / "cut.pkl"
    for size in range(0, len(data), 7):
        path.write_bytes(data[:size])
        with pytest.raises(CheckpointError, match="truncated or no pickle of arrays"):
            read_array_pickle(path)


def test_changed_bytes_never_raise_anything_else(tmp_path):
    data = bytearray(pickle.dumps({"model": ARRAYS}, 2))
    path = tmp_path / "changed.pkl"
    generator = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(data)
        damaged[generator.integers(len(data))] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            read_array_pickle(path)
        except CheckpointError as error:
            assert str(path) in str(error)  # noqa: PT017 - most damage is found, some cannot be


def test_array_whose_bytes_do_not_fill_its_shape_is_named(tmp_path):
    data = pickle.dumps({"model": {"odd": np.zeros(300, np.uint8)}}, 2)
    (tmp_path / "a.pkl").write_bytes(data.replace(b"M,\x01", b"M,\x02"))
    with pytest.raises(CheckpointError, match="the array 'odd' does not fit its shape"):
        read_array_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize("content", [{"model": {}}, ["a"], {"epoch": 3}], ids=str)
def test_file_without_arrays_is_refused(tmp_path, content):
    with pytest.raises(CheckpointError, match="holds no named arrays"):
        read_array_pickle(write(tmp_path / "a.pkl", content))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"no weight file at .*gone.pkl"):
        read_array_pickle(tmp_path / "gone.pkl")


def test_folder_and_unreadable_file_are_one_sentence(tmp_path):
    with pytest.raises(CheckpointError, match="no weight file at"):
        read_array_pickle(tmp_path)
