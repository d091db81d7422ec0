"""One audit from settings to files: what `ovsam audit` calls.

read the data set → label its images and its boxes (or read labels made before) → compare → write
the ranked findings, piles, pictures and, on request, a corrected copy.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ovsam.errors import ConfigError, explain
from ovsam_pipeline.audit.compare import find_doubts
from ovsam_pipeline.audit.config import AuditConfig, load_audit_config
from ovsam_pipeline.audit.files import (
    FINDINGS_FILE,
    IMAGES_FILE,
    SUMMARY_FILE,
    Audited,
    write_findings,
    write_images,
    write_piles,
)
from ovsam_pipeline.audit.findings import PILES, rank_findings
from ovsam_pipeline.audit.labelling import ASKED, FOUND, label_dataset
from ovsam_pipeline.audit.opinions import AskedBoxes, FoundObjects, read_asked, read_found
from ovsam_pipeline.errors import DatasetError, OutputError
from ovsam_pipeline.evaluation.datasets import Dataset, find_dataset
from ovsam_pipeline.evaluation.reading.truth import merge_equal_names, read_ground_truth
from ovsam_pipeline.evaluation.reporting.files import write_metrics
from ovsam_pipeline.evaluation.structures import GroundTruth
from ovsam_pipeline.monitoring.exit_codes import ExitCode
from ovsam_pipeline.output.place import check_store, parse_output
from ovsam_pipeline.settings.keywords import AuditKeywords
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

if TYPE_CHECKING:
    from ovsam_pipeline.monitoring.report import RunReport
    from ovsam_pipeline.monitoring.stopping import StopRequest
    from ovsam_pipeline.runs.run import LabelResult

logger = logging.getLogger(__name__)

_TOLD = {
    FOUND: "1 of 2: find objects in the images",
    ASKED: "2 of 2: ask about the annotated boxes",
}
_RESULTS = (FINDINGS_FILE, IMAGES_FILE, SUMMARY_FILE, "worst/*.jpg", "worst/index.html")


@dataclass(frozen=True)
class AuditResult:
    """What an audit found and where it is.

    Attributes:
        output: the folder with findings.jsonl and all other files.
        summary: the content of summary.json; empty where labelling was stopped before its end.
        labelled: the labelling runs, where the audit made its own labels.
        corrected: the corrected copy that was asked for.
        exit_code: what the command exits with; findings are no failure.
    """

    output: Path
    summary: dict[str, Any]
    labelled: tuple[LabelResult, ...] = ()
    corrected: Path | None = None
    exit_code: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "output": str(self.output),
            **self.summary,
            **({"corrected": str(self.corrected)} if self.corrected else {}),
            **({"labelling": [one.to_dict() for one in self.labelled]} if self.labelled else {}),
            "exit_code": self.exit_code,
        }


def audit(
    dataset: str | Path, *, progress: bool | None = None, **settings: Unpack[AuditKeywords]
) -> AuditResult:
    """Rank what is doubtful in a data set, as `ovsam audit` does.

    Args:
        dataset: a COCO or LVIS JSON file; it is only read.
        progress: whether labelling shows on stderr how far it is; None does on a terminal alone.
        settings: any other field of `AuditConfig`, e.g. `predictions="labels"`.

    Raises:
        OvsamError: the settings cannot work, data are missing or damaged, or labelling failed.
    """
    from ovsam_pipeline.runs.api import choose_showing

    config = load_audit_config({"dataset": str(dataset), **settings})
    showing, embedding = choose_showing(progress)
    return run_audit(config, showing=showing, embedding=embedding)


def run_audit(
    config: AuditConfig,
    *,
    stopping: Callable[[], AbstractContextManager[StopRequest]] | None = None,
    showing: Callable[[RunReport], AbstractContextManager[None]] | None = None,
    embedding: Callable[[int, int], None] | None = None,
) -> AuditResult:
    """Do what the settings ask for.

    `stopping` makes what is entered while labelling, once for each of the two runs; `showing` and
    `embedding` are as of `run_evaluation`.

    Raises:
        OvsamError: the settings cannot work, data are missing or damaged, or labelling failed.
    """
    dataset = find_dataset(
        config.dataset[0],
        image_root=config.image_root,
        needs_images=config.predictions is None,
    )
    output = _make_output(config, dataset)
    corrected = _check_corrected(config, dataset)
    truth = merge_equal_names(read_ground_truth(dataset.annotations))
    labelled: list[LabelResult] = []
    for kind in (FOUND, ASKED) if config.predictions is None else ():
        logger.info("%s", _TOLD[kind])
        result = label_dataset(
            config, dataset, output, kind,
            stopping=stopping() if stopping else None, showing=showing, embedding=embedding,
        )  # fmt: skip
        labelled.append(result)
        if result.exit_code in (ExitCode.OVER_BUDGET, ExitCode.INTERRUPTED):
            return AuditResult(output, {}, tuple(labelled), exit_code=result.exit_code)
    found, asked = _read_opinions(config, dataset, output, truth)
    findings = rank_findings(list(find_doubts(truth, found, asked, config.least)))
    audited = Audited(truth, found, asked, findings)
    summary = _summarise(dataset, audited)
    _write(config, dataset, output, audited, summary)
    if corrected is not None:
        from ovsam_pipeline.audit.correct import write_corrected

        summary["corrections"] = write_corrected(
            dataset.annotations, corrected, audited, config.correct_from
        )
    exit_code = max((result.exit_code for result in labelled), default=0)
    return AuditResult(output, summary, tuple(labelled), corrected, exit_code)


def _read_opinions(
    config: AuditConfig, dataset: Dataset, output: Path, truth: GroundTruth
) -> tuple[FoundObjects, AskedBoxes | None]:
    """Read the labels that this audit made, or those that are given."""
    found_place: AnyPath = output / FOUND
    asked_place: AnyPath | None = output / ASKED
    if config.predictions is not None:
        found_place = parse_output(config.predictions)
        asked_place = None if config.asked is None else parse_output(config.asked)
    class_map = Path(config.class_map) if config.class_map else None
    found = read_found(found_place, truth, class_map, config.min_match)
    if asked_place is None:
        return found, None
    asked = read_asked(asked_place, truth, class_map, config.min_match)
    if config.asked is not None and not (asked.rows >= 0).any():
        raise DatasetError(
            f"expected labels of the annotated boxes of {truth.title} in {asked_place}, found "
            f"none: make them with ovsam label {dataset.annotations} --detector "
            f"gt:{dataset.annotations}"
        )
    return found, asked


def _make_output(config: AuditConfig, dataset: Dataset) -> Path:
    """Make the folder of the findings; refuse what cannot be used before anything slow."""
    path = parse_output(config.output or f"audit_{Path(dataset.name).name}")
    if isinstance(path, RemotePath):
        raise ConfigError(
            f"expected -o to be a local folder, got {path}; findings are written locally, labels "
            "are read from anywhere (--predictions)"
        )
    for given in (config.predictions, config.asked):
        if given is not None:
            place = parse_output(given)
            check_store(place)
            if not isinstance(place, RemotePath) and path.resolve() == place.resolve():
                raise ConfigError(f"the output {path} is a folder of labels; give another as -o")
    if path.exists() and not path.is_dir():
        raise ConfigError(f"expected a folder as -o, got the file {path}")
    with explain("cannot make the output folder", path, OutputError):
        path.mkdir(parents=True, exist_ok=True)
    clash = [f"{pile}.json" for pile in PILES if _is_same(path / f"{pile}.json", dataset)]
    if clash:
        raise ConfigError(f"{path / clash[0]} is the data set itself; give another folder as -o")
    return path


def _is_same(path: Path, dataset: Dataset) -> bool:
    return path.exists() and path.samefile(dataset.annotations)


def _check_corrected(config: AuditConfig, dataset: Dataset) -> Path | None:
    """Return the file of the corrected copy: a new one, in a folder that exists."""
    if config.corrected is None:
        return None
    path = Path(config.corrected).expanduser()
    if path.suffix.lower() != ".json":
        raise ConfigError(f"expected --corrected as a .json file, got {path}")
    if not path.parent.is_dir():
        raise ConfigError(f"expected --corrected in a folder that exists, got {path}")
    if path.exists():
        what = "the data set itself" if _is_same(path, dataset) else "there already"
        raise ConfigError(f"{path} is {what}; give a new file as --corrected")
    return path


def _summarise(dataset: Dataset, audited: Audited) -> dict[str, Any]:
    """Return the content of summary.json."""
    truth, found, asked = audited.truth, audited.found, audited.asked
    return {
        "dataset": str(dataset.annotations),
        "images": truth.num_images,
        "images_compared": int(found.table.answered_images.sum()),
        "annotations": len(truth.annotation_ids),
        "annotations_asked": 0 if asked is None else int((asked.rows >= 0).sum()),
        "objects_found": len(found.table),
        "findings": len(audited.findings),
        "kinds": audited.count(),
        "problems": [*truth.problems.describe(), *found.table.problems.describe()],
    }


def _write(
    config: AuditConfig, dataset: Dataset, output: Path, audited: Audited, summary: dict[str, Any]
) -> None:
    """Write all files, in place of what an earlier audit left; the summary last."""
    with explain("cannot replace the results in", output, OutputError):
        for pattern in _RESULTS:
            for path in output.glob(pattern):
                path.unlink()
    write_findings(output / FINDINGS_FILE, audited)
    write_images(output / IMAGES_FILE, audited)
    write_piles(output, audited)
    if config.worst:
        from ovsam_pipeline.audit.pictures import write_pictures

        write_pictures(output / "worst", dataset, audited, config.worst)
    write_metrics(output / SUMMARY_FILE, summary)
