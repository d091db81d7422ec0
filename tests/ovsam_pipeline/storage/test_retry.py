import pytest

from ovsam_pipeline.storage.retry import ATTEMPTS, BUSY_ATTEMPTS, BusyError, retry


class Clock:
    """Time that passes by sleeping, and by `call_s` with every look at it."""

    def __init__(self, call_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.call_s = call_s
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds

    def __call__(self) -> float:
        self.now_s += self.call_s
        return self.now_s


def fail_times(count: int, error: Exception):
    """A call that fails so often, then answers; its calls are counted."""

    def call() -> str:
        call.calls += 1
        if call.calls <= count:
            raise error
        return "answer"

    call.calls = 0
    return call


@pytest.mark.parametrize("failures", range(ATTEMPTS))
def test_retry_goes_on_until_there_is_an_answer(failures):
    clock, call = Clock(), fail_times(failures, OSError("busy"))
    assert retry(call, clock.sleep, clock) == "answer"
    assert call.calls == failures + 1
    assert len(clock.pauses) == failures


def test_retry_gives_up_after_so_many_attempts_and_short_pauses():
    clock, call = Clock(), fail_times(99, OSError("busy"))
    with pytest.raises(OSError, match="busy"):
        retry(call, clock.sleep, clock)
    assert call.calls == ATTEMPTS
    assert sum(clock.pauses) < 6
    for index, pause_s in enumerate(clock.pauses):
        assert 0.1 * 2**index <= pause_s <= 0.2 * 2**index


def test_busy_store_gets_more_time_within_the_same_limit():
    clock, call = Clock(), fail_times(BUSY_ATTEMPTS - 1, BusyError("slow down"))
    assert retry(call, clock.sleep, clock) == "answer"
    assert sum(clock.pauses) < 30
    assert max(clock.pauses) <= 3
    with pytest.raises(BusyError):
        retry(fail_times(99, BusyError("slow down")), clock.sleep, clock)


def test_pauses_differ():
    pauses = set()
    for _ in range(20):
        clock = Clock()
        retry(fail_times(1, OSError("busy")), clock.sleep, clock)
        pauses.update(clock.pauses)
    assert len(pauses) > 10


def test_slow_calls_are_not_made_for_ever():
    clock, call = Clock(call_s=15.0), fail_times(99, OSError("silence"))
    with pytest.raises(OSError, match="silence"):
        retry(call, clock.sleep, clock)
    assert call.calls == 2


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "x"),
        PermissionError(13, "x"),
        IsADirectoryError(21, "x"),
        KeyError("x"),
    ],
)
def test_what_will_not_change_is_asked_once(error):
    clock, call = Clock(), fail_times(99, error)
    with pytest.raises(type(error)):
        retry(call, clock.sleep, clock)
    assert call.calls == 1
    assert clock.pauses == []
