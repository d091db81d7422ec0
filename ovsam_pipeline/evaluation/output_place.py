"""Where an evaluation writes, and where the labels lie that it measures."""

from __future__ import annotations

from pathlib import Path

from ovsam.errors import ConfigError
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.evaluation.config import EvalConfig
from ovsam_pipeline.evaluation.datasets import Dataset
from ovsam_pipeline.output.place import check_store, parse_output
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath


def choose_output(config: EvalConfig, dataset: Dataset) -> Path:
    """Return the folder of metrics and plots, which is made.

    Raises:
        ConfigError: it cannot be used, or the predictions cannot.
        OutputError: it cannot be made, or the store of the predictions cannot be reached.
    """
    path = parse_output(config.output or f"eval_{Path(dataset.name).name}")
    if isinstance(path, RemotePath):
        raise ConfigError(
            f"expected a folder of this machine as -o, got {path}; metrics and plots are written "
            "here, labels are read from anywhere (--predictions)"
        )
    if config.predictions:
        check_store(parse_output(config.predictions))
    if path.exists() and not path.is_dir():
        raise ConfigError(f"expected a folder as -o, got the file {path}")
    if config.predictions and path.resolve() == parse_output(config.predictions).resolve():
        raise ConfigError(f"the output {path} is the predictions' own folder; give another as -o")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the output folder {path}: {error.strerror}") from error
    return path


def find_predictions(config: EvalConfig, output: Path) -> AnyPath:
    """Return the output folder or file that is measured.

    Args:
        config: settings.
        output: folder of this evaluation, which labels into it where no predictions are given.
    """
    return (
        output / "predictions" if config.predictions is None else parse_output(config.predictions)
    )
