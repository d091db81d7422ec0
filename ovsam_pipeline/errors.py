"""Errors of the pipeline: what can go wrong around the model.

    OvsamError                    (ovsam.errors: also ConfigError, ImageError, CheckpointError, ...)
    ├── SourceError               a source of images cannot be read, or holds no image
    ├── DatasetError              an annotation or box file is not what its format promises
    ├── DetectorError             a detector cannot be built or fails on an image
    ├── TimeLimitError            the time was over before labelling began
    ├── ShardError                labelling as a whole cannot continue (not: one image failed)
    └── OutputError               the output folder cannot be used
        ├── OutputLockedError     another run holds it; try again later
        └── DamagedPartError      a part of it was read whole, twice, and is not what was written

`terminal/app.py` turns each into one sentence and an exit code; nothing else exits.
"""

from ovsam.errors import OvsamError


class SourceError(OvsamError, ValueError):
    """A source of images cannot be read, or holds no image."""


class DatasetError(OvsamError, ValueError):
    """An annotation or box file is not what its format promises."""


class DetectorError(OvsamError):
    """A detector cannot be built, or fails on an image."""


class TimeLimitError(OvsamError):
    """The time of a run was over before it could begin to label."""


class ShardError(OvsamError):
    """Labelling as a whole cannot continue; a single failed image is a row, never this error."""


class OutputError(OvsamError):
    """The output folder cannot be written, read or resumed."""


class OutputLockedError(OutputError):
    """Another run holds the output folder."""


class DamagedPartError(OutputError):
    """A part was read whole, twice, and is not what was written; `name` is that of its file.

    Who holds the output sets it aside: `OutputFolder.set_aside`.
    """

    def __init__(self, part: object, name: str, reason: str) -> None:
        super().__init__(
            f"{part} is damaged ({reason}); the next ovsam label into this output sets it aside in "
            "parts/bad and labels its images again"
        )
        self.name, self.reason = name, reason


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; torch need not be imported for it.

    torch's class differs by device and version, and on a CPU it is a RuntimeError with these words.
    """
    is_named = type(error).__name__ in ("OutOfMemoryError", "MemoryError")
    return is_named or (isinstance(error, RuntimeError) and "can't allocate memory" in str(error))
