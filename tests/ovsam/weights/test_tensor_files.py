import collections
import contextlib
import os
import pickle
import sys
import types
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ovsam.errors import CheckpointError
from ovsam.weights.metadata import read_metadata
from ovsam.weights.tensor_files import read_tensors

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}


class RunsCode:
    """A pickle that would create a file when opened blindly."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize(
    "wrap", [lambda t: t, lambda t: {"state_dict": t, "meta": {"epoch": 3}}, lambda t: {"model": t}]
)
def test_pytorch_files_are_read_wherever_the_tensors_are(tmp_path, wrap) -> None:
    torch.save(wrap(TENSORS), tmp_path / "w.pth")
    read = read_tensors(tmp_path / "w.pth")
    assert read.keys() == TENSORS.keys()
    assert torch.equal(read["a.weight"], TENSORS["a.weight"])


def test_distributed_prefix_is_removed(tmp_path) -> None:
    torch.save({f"module.{k}": v for k, v in TENSORS.items()}, tmp_path / "w.pth")
    assert read_tensors(tmp_path / "w.pth").keys() == TENSORS.keys()


def test_mmengine_file_is_read_without_mmengine(tmp_path, monkeypatch) -> None:
    module = types.ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def __init__(self) -> None:
            self.log_history = np.arange(3.0)
            self.counts = np.ones(3, np.int64)
            self.ordered = collections.OrderedDict(a=1)

    HistoryBuffer.__module__ = module.__name__
    HistoryBuffer.__qualname__ = "HistoryBuffer"
    module.HistoryBuffer = HistoryBuffer
    for name in ("mmengine", "mmengine.logging", module.__name__):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    content = {
        "meta": {"epoch": 12, "cfg": "model = dict()", "seed": np.float64(3)},
        "state_dict": collections.OrderedDict(TENSORS),
        "message_hub": {"log_scalars": {"loss": HistoryBuffer()}},
    }
    torch.save(content, tmp_path / "mm.pth")
    for name in ("mmengine", "mmengine.logging", module.__name__):
        monkeypatch.delitem(sys.modules, name)
    assert read_tensors(tmp_path / "mm.pth").keys() == TENSORS.keys()


def test_a_file_that_runs_code_is_refused_and_runs_nothing(tmp_path) -> None:
    target = tmp_path / "ran"
    torch.save({"state_dict": TENSORS, "extra": RunsCode(str(target))}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match=r"would run code when opened; refused.*system"):
        read_tensors(tmp_path / "evil.pth")
    (tmp_path / "raw.pkl").write_bytes(pickle.dumps(RunsCode(str(target))))
    with pytest.raises(CheckpointError):
        read_tensors(tmp_path / "raw.pkl")
    assert not target.exists()


def test_safetensors_metadata_is_read(tmp_path) -> None:
    save_file(TENSORS, tmp_path / "w.safetensors", metadata={"licence": "MIT"})
    assert read_metadata(tmp_path / "w.safetensors") == {"licence": "MIT"}
    assert read_tensors(tmp_path / "w.safetensors").keys() == TENSORS.keys()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_truncated_files_are_named(tmp_path, suffix, keep) -> None:
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(TENSORS, path)
    else:
        save_file(TENSORS, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(CheckpointError, match=f"w{suffix} is .*download it again"):
        read_tensors(path)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_files_with_changed_bytes_are_read_or_refused(tmp_path, is_zip) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": TENSORS}, path, _use_new_zipfile_serialization=is_zip)
    content, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(content)
        changed[random.integers(min(len(content), 600))] = random.integers(256)
        path.write_bytes(changed)
        with contextlib.suppress(CheckpointError):
            read_tensors(path)


def _save_torchscript(path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have nobody make them any more
        torch.jit.script(torch.nn.ReLU()).save(str(path))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.mkdir(), "got the folder"),
        (lambda p: None, "no weight file at"),
        (lambda p: p.write_text("<html>not found</html>"), "not a PyTorch file"),
        (lambda p: torch.save({"epoch": 3}, p), "holds no named tensors"),
        (lambda p: torch.save([1, 2], p), "holds no named tensors"),
        (lambda p: _save_torchscript(p), r"a TorchScript archive .* open_clip's file"),
    ],
    ids=["folder", "missing", "web page", "no tensors", "list", "TorchScript"],
)
def test_what_is_no_weight_file_is_refused(tmp_path, make, message) -> None:
    make(tmp_path / "w.pth")
    with pytest.raises(CheckpointError, match=message):
        read_tensors(tmp_path / "w.pth")


def test_metadata_of_a_damaged_file_is_an_error(tmp_path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"xx")
    with pytest.raises(CheckpointError, match="not a readable safetensors"):
        read_metadata(tmp_path / "w.safetensors")
