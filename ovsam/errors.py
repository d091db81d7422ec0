"""Every error that `ovsam` raises on purpose.

OvsamError
├── ConfigError        a setting that cannot work (also a ValueError)
├── PromptError        boxes, points or masks of the wrong shape or place (also a ValueError)
├── ImageError         an image that cannot be decoded or used (also a ValueError)
├── VocabularyError    class names that cannot be used (also a ValueError)
├── CheckpointError    weights that do not fit or cannot be read
├── DownloadError      weights that could not be fetched
├── TrainingError      a training that cannot go on, or did not learn
└── MissingDependencyError   an optional package is not installed (also an ImportError)

A message says what was expected, what came, and what to do. `explain` and `explain_json` turn what
the operating system and the JSON reader raise into one of these errors.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class OvsamError(Exception):
    """Base of all errors that are the user's to mend; anything else is a bug of ours."""


class ConfigError(OvsamError, ValueError):
    """A setting is unknown, out of range, or contradicts another one."""


class PromptError(OvsamError, ValueError):
    """A prompt has the wrong shape or is not finite, or a box lies outside the image."""


class ImageError(OvsamError, ValueError):
    """An image cannot be decoded, or is not what its name says."""


class VocabularyError(OvsamError, ValueError):
    """Class names are missing, repeated, too long, or unknown to the model."""


class CheckpointError(OvsamError):
    """A weight file cannot be read, or does not fit the model."""


class DownloadError(OvsamError):
    """Weights could not be downloaded, or arrived damaged."""


class TrainingError(OvsamError):
    """A training cannot go on, or did not learn what it had to."""


class MissingDependencyError(OvsamError, ImportError):
    """An optional package is needed for this feature; the message has the install line."""


@contextmanager
def explain(action: str, subject: object, kind: type[OvsamError]) -> Iterator[None]:
    """Raise OSErrors of the block as `kind`: "cannot read" + FILE → "cannot read FILE: REASON"."""
    try:
        yield
    except OSError as error:
        raise kind(f"{action} {subject}: {describe_error(error)}") from error


@contextmanager
def explain_json(subject: object, kind: type[OvsamError]) -> Iterator[None]:
    """Like `explain("cannot read", ...)`, and ValueErrors become "expected JSON in SUBJECT, got …".

    Errors of ovsam pass unchanged: some are ValueErrors too, and are sentences already.
    """
    try:
        with explain("cannot read", subject, kind):
            yield
    except OvsamError:
        raise
    except ValueError as error:
        raise kind(f"expected JSON in {subject}, got {error}") from error


def describe_error(error: BaseException) -> str:
    """Return the reason alone on one line: without the number and path that OSErrors print."""
    # Libraries raise OSError("text"), where strerror is None.
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()) or type(error).__name__
