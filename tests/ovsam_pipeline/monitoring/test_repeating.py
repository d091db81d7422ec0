import threading
import time

from ovsam_pipeline.monitoring.repeating import PaceMeter, repeat


class FakeClock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def test_action_is_repeated_and_ends_with_the_block():
    calls = []
    with repeat(lambda: calls.append(1), lambda _: 0.005):
        time.sleep(0.1)
    count = len(calls)
    time.sleep(0.05)
    assert count >= 3
    assert len(calls) == count


def test_wait_depends_on_the_time_since_the_start():
    asked = []
    with repeat(lambda: None, lambda since_s: asked.append(since_s) or 0.02):
        time.sleep(0.1)
    assert asked[0] < 0.02
    assert asked == sorted(asked)
    assert asked[-1] >= 0.02


def test_a_call_that_hangs_does_not_hold_up_the_end():
    is_free = threading.Event()
    start_s = time.monotonic()
    with repeat(is_free.wait, lambda _: 0.0, join_timeout_s=0.05):
        time.sleep(0.05)
    assert time.monotonic() - start_s < 5
    is_free.set()


def test_pace_is_that_of_the_window():
    clock = FakeClock()
    meter = PaceMeter(window_s=60, clock=clock)
    assert meter.update(0) == 0.0
    clock.now_s += 10
    assert meter.update(20) == 2.0
    for _ in range(12):  # two minutes at one a second
        clock.now_s += 10
        pace = meter.update(20 + int(clock.now_s - 110))
    assert pace == 1.0


def test_pace_is_nothing_when_nothing_was_done_for_a_minute():
    clock = FakeClock()
    meter = PaceMeter(window_s=60, clock=clock)
    clock.now_s += 1
    meter.update(50)
    for _ in range(7):
        clock.now_s += 10
        pace = meter.update(50)
    assert pace == 0.0
