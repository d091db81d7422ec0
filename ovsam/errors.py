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
the operating system and the JSON reader raise into one of these errors; `show_value` writes a value
of any size into a message.
"""

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
    if isinstance(error, KeyError):  # whose text is the key alone
        text = f"no {text}"
    return " ".join(str(text).split()) or type(error).__name__


def show_value(value: object, most: int = 60) -> str:
    """Return how Python writes a value, cut to `most` characters without building the rest.

    A short YAML file can mean gigabytes: lists of the same lists.
    """
    return _ShortRepr(most).repr(value)[:most]


class _ShortRepr(reprlib.Repr):
    def __init__(self, most: int) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = most
        self.maxlevel, self.maxlist, self.maxtuple, self.maxdict = 3, 8, 8, 6

    def repr_int(self, value: int, level: int) -> str:
        # Python refuses to write a number of thousands of digits.
        return super().repr_int(value, level) if value.bit_length() < 1000 else "a huge number"

    def repr_dict(self, values: dict[Any, Any], level: int) -> str:
        # reprlib sorts the keys, all of them.
        if level <= 0 or len(values) > self.maxdict:
            return f"{{{len(values)} keys}}"
        items = [
            f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k, v in values.items()
        ]
        return f"{{{', '.join(items)}}}"
