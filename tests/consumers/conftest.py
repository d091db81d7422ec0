"""Marker `consumers`: real readers of our exports, each in a process and an environment of its own.

They are installed once, by pip, in the cache: `tests/doubles/reader_environments.py`.
"""

import pytest
from reader_environments import NoIndexError, run_reader


@pytest.fixture(scope="session")
def read_with():
    """Install a reader and run a script with it: `read_with("ultralytics", script, *arguments)`.

    `packages` is what pip is given, separated by blanks. The script's last line is the result, as
    JSON. Skips where pip reaches no index.
    """

    def read(packages: str, script: str, *arguments: object, is_alone: bool = False):
        try:
            return run_reader(packages, script, *arguments, is_alone=is_alone)
        except NoIndexError as error:
            pytest.skip(str(error))

    return read
