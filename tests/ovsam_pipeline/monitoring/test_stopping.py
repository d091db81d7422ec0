import time

from ovsam_pipeline.monitoring.stopping import StopRequest, stop_after


def test_the_first_reason_stays():
    stop = StopRequest()
    assert (stop.is_set(), stop.reason) == (False, "interrupted")
    stop.request("time limit")
    stop.request("interrupted")
    assert (stop.is_set(), stop.reason) == (True, "time limit")


def test_plain_set_is_an_interruption():
    stop = StopRequest()
    stop.set()
    assert stop.reason == "interrupted"


def test_time_limit_asks_when_it_is_over():
    stop = StopRequest()
    with stop_after(stop, 0.05):
        assert not stop.is_set()
        assert stop.wait(5)
    assert stop.reason == "time limit"


def test_block_that_ends_before_is_not_stopped_later():
    stop = StopRequest()
    with stop_after(stop, 0.05):
        pass
    time.sleep(0.15)
    assert not stop.is_set()


def test_time_that_is_over_before_asks_at_once():
    stop = StopRequest()
    with stop_after(stop, -3.0):
        assert stop.is_set()


def test_no_limit_never_asks():
    stop = StopRequest()
    with stop_after(stop, None):
        assert not stop.is_set()
