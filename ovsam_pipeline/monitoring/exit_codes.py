"""Which exit code an error stands for; those of a run that ended are `RunSummary.exit_code`."""

from __future__ import annotations


class ExitCode:
    """What the command's exit status means."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    SOME_IMAGES_FAILED = 3
    OVER_BUDGET = 4
    TIME_LIMIT = 6
    LOCKED = 75
    INTERRUPTED = 130


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of an error: 2 usage or settings, 75 locked, 130 a signal, else 1."""
    from ovsam import errors as core
    from ovsam_pipeline import errors

    usage = (
        core.ConfigError,
        core.MissingDependencyError,
        core.PromptError,
        core.VocabularyError,
        errors.DatasetError,
        errors.SourceError,
    )
    if isinstance(error, errors.OutputLockedError):
        return ExitCode.LOCKED
    if isinstance(error, usage):
        return ExitCode.USAGE
    # Ctrl-C and SIGTERM are no Exception, so that nothing catches them on the way.
    return ExitCode.FAILED if isinstance(error, Exception) else ExitCode.INTERRUPTED
