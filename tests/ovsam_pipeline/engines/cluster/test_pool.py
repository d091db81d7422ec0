import pytest

from ovsam_pipeline.engines.cluster.pool import describe_death


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Task was killed due to the node running low on memory.", "its node ran low on memory"),
        ("The actor died because its node has died. Node Id: 1f", "its node was lost"),
        ("The actor died in its creation task: ModuleNotFoundError: No module named 'ovsam'",
         "its Python has no module ovsam; install the same ovsam, with all that it needs, on ev"),
        ("exit type: SYSTEM_ERROR. Some common causes include: (1) the process was killed by the "
         "OOM killer due to high memory usage, (2) ...", "its process died: killed, out of memory"),
    ],
)  # fmt: skip
def test_death_is_told_in_a_few_words(text, words):
    assert describe_death(text).startswith(words)
