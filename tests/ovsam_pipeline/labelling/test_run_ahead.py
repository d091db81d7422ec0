import threading

import pytest

from ovsam_pipeline.labelling.run_ahead import run_ahead


def test_items_come_in_order_and_are_made_in_another_thread():
    threads = set()

    def produce():
        for number in range(20):
            threads.add(threading.current_thread())
            yield number

    assert list(run_ahead(produce(), 3)) == list(range(20))
    assert threading.current_thread() not in threads


def test_source_is_never_more_than_the_depth_ahead():
    made = []
    taken = run_ahead((made.append(number) or number for number in range(100)), 2)
    next(taken)
    threading.Event().wait(0.1)
    # One taken, two in the queue, one waiting for room.
    assert len(made) <= 4
    taken.close()


def test_error_in_the_source_is_raised_after_the_items_before_it():
    def produce():
        yield 1
        raise KeyError("broken")

    taken = run_ahead(produce(), 5)
    assert next(taken) == 1
    with pytest.raises(KeyError, match="broken"):
        next(taken)


def test_leaving_early_closes_the_source_and_ends_the_thread():
    closed = threading.Event()

    def produce():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    taken = run_ahead(produce(), 1)
    next(taken)
    taken.close()
    assert closed.is_set()
    assert not any(thread.name == "ovsam-stage" for thread in threading.enumerate())
