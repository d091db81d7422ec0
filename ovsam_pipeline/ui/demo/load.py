"""Settings → a demo that can begin: the output held, images listed, model and names loaded."""

from __future__ import annotations

import logging
import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ovsam.errors import CheckpointError, ConfigError, VocabularyError
from ovsam.model_facts import describe_model
from ovsam_pipeline.labelling.facts import choose_vocabulary
from ovsam_pipeline.labelling.provenance import describe_parts
from ovsam_pipeline.labelling.resolve import resolve
from ovsam_pipeline.runs.run import hide_all_secrets
from ovsam_pipeline.ui.demo.accepted import AcceptedObjects
from ovsam_pipeline.ui.demo.images import DemoImages
from ovsam_pipeline.ui.demo.session import Session
from ovsam_pipeline.ui.demo.vocabulary import DemoVocabulary, build_predictor, embed_names

if TYPE_CHECKING:
    from ovsam.segmenter import Segmenter
    from ovsam.text.vocabulary import Vocabulary
    from ovsam_pipeline.settings.label import LabelConfig
    from ovsam_pipeline.storage.remote_path import AnyPath

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


class _Person:
    """Who finds the objects of a demo, in a detector's place."""

    name = "a person"
    fingerprint = "person"
    class_names = None
    licence = ""


@dataclass(frozen=True)
class Demo:
    """What the routes of a demo use; use as a context manager, which keeps what was accepted.

    Attributes:
        model: {"name", "licence"}, for the page.
        drawings: a folder for copies of pictures with examples.
    """

    session: Session
    images: DemoImages
    vocabulary: DemoVocabulary
    accepted: AcceptedObjects
    model: Mapping[str, Any]
    drawings: tempfile.TemporaryDirectory[str]

    def __enter__(self) -> Demo:
        return self

    def __exit__(self, *_: object) -> None:
        self.drawings.cleanup()
        self.accepted.close()


def load_demo(
    config: LabelConfig,
    output: AnyPath,
    by: str,
    *,
    has_sources: bool = True,
    embedding: Progress | None = None,
) -> Demo:
    """Load what a demo needs; what is wrong with settings, output or sources is told first.

    Args:
        config: as of `ovsam label`; the detector is not used.
        output: where accepted objects go.
        by: who accepts them.
        has_sources: whether the settings' sources were given; else the page begins empty.
        embedding: called with (done, total) while names are embedded.
    """
    from ovsam.load import load_model
    from ovsam.weights.tensor_files import DTYPES

    asked, config = config, resolve(config, needs_detector=False)
    described: dict[str, Any] = {}
    accepted = AcceptedObjects(output, by, lambda: described)
    try:
        images = DemoImages(output, accepted.hold, config.max_pixels)
        sources = config.sources if has_sources else ()
        images.list_sources(sources, config.image_root, config.exclude)
        logger.info("Loading model %s", config.model)
        model = load_model(config.model, config.device).prepare_for_inference(DTYPES[config.dtype])
        names = _choose_names(config, model, embedding)
        described.update(_describe(asked, config, model, names))
        accepted.set_vocabulary(names)
    except BaseException:
        accepted.close()
        raise
    session = Session(build_predictor(model, names), names)

    def follow(vocabulary: Vocabulary) -> None:
        described.update(_describe(asked, config, model, vocabulary))
        accepted.set_vocabulary(vocabulary)

    about = {"name": config.model, "licence": described["model"]["licence"]}
    drawings = tempfile.TemporaryDirectory(prefix="ovsam-demo-")
    words = DemoVocabulary(session, model, names, follow)
    return Demo(session, images, words, accepted, about, drawings)


def _choose_names(
    config: LabelConfig, model: Segmenter, embedding: Progress | None
) -> Vocabulary | None:
    """Return the vocabulary with its embeddings; None where the model gives masks alone."""
    from ovsam.labelling_model import LabellingModel

    if not isinstance(model, LabellingModel):
        if config.vocabulary != "auto":
            raise ConfigError(
                f"--vocabulary needs a model that names objects, and {config.model} is a SAM, "
                "which gives masks alone; leave it out, or give the --model of an OV-SAM"
            )
        logger.info("%s gives masks alone: a person names the objects", config.model)
        return None
    try:
        names, _ = choose_vocabulary(config, describe_model(model), _Person())
        return embed_names(names, model, embedding)
    except (CheckpointError, VocabularyError) as error:
        if config.vocabulary != "auto":
            raise
        logger.warning(
            "the model %s cannot name objects (%s): a person names them", config.model, error
        )
        return None


def _describe(
    asked: LabelConfig, config: LabelConfig, model: Segmenter, vocabulary: Vocabulary | None
) -> dict[str, Any]:
    """Return what run.json says of model, vocabulary and settings, as asked and as resolved."""
    from importlib.metadata import version

    from ovsam.text.vocabulary import Vocabulary

    facts = describe_model(model)
    parts = describe_parts(config, facts, vocabulary or Vocabulary(["object"]), _Person())
    if vocabulary is None:
        del parts["vocabulary"]
    return {
        **parts,
        "settings": hide_all_secrets(asked.to_dict()),
        "resolved": hide_all_secrets(config.to_dict()),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "pyarrow")},
        },
    }
