import threading

import pytest

from ovsam_pipeline.ui.shared_cache import SharedCache


def test_what_was_used_last_is_kept_up_to_a_size_and_one_whatever_its_size() -> None:
    made = []

    def ask(text: str) -> str:
        return cache.get(text, lambda: made.append(text) or text)

    cache = SharedCache(5, len)
    for text in ("aa", "bb", "aa", "cc", "aa", "bb", "too long"):
        assert ask(text) == text
    assert made == ["aa", "bb", "cc", "bb", "too long"]
    ask("too long")
    ask("aa")
    assert made[5:] == ["aa"]


def test_threads_that_ask_at_once_share_one_value_or_its_error() -> None:
    cache = SharedCache(9, len)
    begun, may_end, made, found = threading.Event(), threading.Event(), [], []

    def make() -> str:
        made.append(1)
        begun.set()
        assert may_end.wait(10)
        if len(made) == 1:
            raise ValueError("not now")
        return "value"

    def ask() -> None:
        try:
            found.append(cache.get("key", make))
        except ValueError as error:
            found.append(str(error))

    for expected in ("not now", "value"):
        first, second = threading.Thread(target=ask), threading.Thread(target=ask)
        first.start()
        assert begun.wait(10)
        second.start()
        second.join(0.05)
        may_end.set()
        first.join(10)
        second.join(10)
        assert found == [expected] * 2
        begun.clear()
        may_end.clear()
        found.clear()
    assert len(made) == 2
    with pytest.raises(KeyError):
        cache.get("other", lambda: {}["gone"])
