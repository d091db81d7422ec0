import pytest

from ovsam.errors import CheckpointError, ConfigError, describe_error, explain, explain_json


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.txt"), "No such file or directory"),
        (OSError("the store\n  is away"), "the store is away"),
        (PermissionError(), "PermissionError"),
        (ValueError("no number"), "no number"),
        (KeyError("annotations"), "no 'annotations'"),
    ],
)
def test_reason_is_one_line_without_number_and_path(error, text):
    assert describe_error(error) == text


def test_os_error_becomes_a_sentence_with_its_cause(tmp_path):
    path = tmp_path / "gone"
    with pytest.raises(ConfigError, match=r"^cannot read .*gone: No such file") as caught:
        read_bytes(path)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def read_bytes(path):
    with explain("cannot read", path, ConfigError):
        return path.read_bytes()


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (OSError("away"), "cannot read x: away"),
        (ValueError("no brace"), "expected JSON in x, got no brace"),
        (ConfigError("a sentence already"), "a sentence already"),
    ],
)
def test_json_errors_become_sentences_and_ours_pass(raised, sentence):
    with (
        pytest.raises((CheckpointError, ConfigError)) as caught,
        explain_json("x", CheckpointError),
    ):
        raise raised
    assert str(caught.value) == sentence
