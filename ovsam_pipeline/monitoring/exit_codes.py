"""Exit codes of the command line: which there are, and which one an error leads to."""

from __future__ import annotations

from ovsam import errors as core
from ovsam_pipeline import errors


class ExitCode:
    """What an exit code of `ovsam` means; codes of runs that ended are `RunSummary.exit_code`."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    SOME_IMAGES_FAILED = 3
    OVER_BUDGET = 4
    METRIC_DROPPED = 5
    TIME_LIMIT = 6
    # As sendmail's EX_TEMPFAIL: the same command works later.
    LOCKED = 75
    # As a shell reports a process that Ctrl-C ended: 128 + SIGINT.
    INTERRUPTED = 130


_USAGE_ERRORS = (
    core.ConfigError,
    core.MissingDependencyError,
    core.PromptError,
    core.VocabularyError,
    errors.DatasetError,
    errors.SourceError,
)


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of a command that ended by an error."""
    if isinstance(error, errors.OutputLockedError):
        return ExitCode.LOCKED
    if isinstance(error, errors.TimeLimitError):
        return ExitCode.TIME_LIMIT
    if isinstance(error, _USAGE_ERRORS):
        return ExitCode.USAGE
    # Ctrl-C and SIGTERM are not an Exception, so that no handler swallows them.
    return ExitCode.FAILED if isinstance(error, Exception) else ExitCode.INTERRUPTED
