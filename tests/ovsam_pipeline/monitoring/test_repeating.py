import threading
import time

from ovsam_pipeline.monitoring.repeating import repeat


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
