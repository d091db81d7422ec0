import random
from collections import Counter
from pathlib import Path

import pytest

from ovsam_pipeline.engines.cluster.schedule import Schedule
from ovsam_pipeline.records import ImageRecord


def make_images(count: int) -> list[ImageRecord]:
    return [ImageRecord(i, f"{i:05d}.jpg", Path(f"/{i:05d}.jpg")) for i in range(count)]


def make_schedule(count: int, workers: str = "a", most: int = 64, batch: int = 1) -> Schedule:
    schedule = Schedule(make_images(count), count, most, batch)
    for worker in workers:
        schedule.add_worker(worker, 0.0)
    return schedule


def lose(
    schedule: Schedule, worker: str, *, is_blamed: bool = True, is_hung: bool = False, committed=()
):
    return schedule.lose_worker(
        worker,
        "killed",
        lambda shard: shard.number in committed,
        is_blamed=is_blamed,
        is_hung=is_hung,
    )


def names(images) -> list[str]:
    return [image.file_name for image in images]


def test_worker_gets_two_shards_and_no_third():
    schedule = make_schedule(100)
    first, second = schedule.next_shard("a", 0.0), schedule.next_shard("a", 0.0)
    assert names([*first.images, *second.images]) == names(make_images(100))[:16]
    assert schedule.next_shard("a", 0.0) is None
    schedule.finish("a", first.number, 1.0, 1.0)
    assert schedule.next_shard("a", 1.0) is not None


@pytest.mark.parametrize(
    ("seconds", "size"), [(0.001, 64), (4.0, 40), (16.0, 10), (160.0, 1), (1e6, 1)]
)
def test_shards_take_about_twenty_seconds(seconds, size):
    schedule = make_schedule(10_000)
    first = schedule.next_shard("a", 0.0)
    schedule.finish("a", first.number, seconds, seconds)
    assert len(schedule.next_shard("a", seconds).images) == size


def test_last_shards_are_small_so_that_all_workers_end_together():
    schedule = make_schedule(1000, "abcd")
    for worker in "abcd":
        schedule.finish(worker, schedule.next_shard(worker, 0.0).number, 2.0, 1.0)
    sizes = []
    while shard := schedule.next_shard("a", 1.0):
        sizes.append(len(shard.images))
        schedule.finish("a", shard.number, len(shard.images) / 4.0, 1.0)
    assert sizes[0] == 64
    assert sizes[-8:-1] == [4] * 7  # a second's work
    assert sorted(sizes, reverse=True) == sizes


def test_shard_that_always_takes_its_node_along_is_given_up_image_by_image():
    schedule, losses = make_schedule(64, "0"), 0
    queue, given_up, done = [], [], []
    while not schedule.is_over:
        while shard := schedule.next_shard(str(losses), 0.0):
            queue.append(shard)
        shard = queue.pop(0)
        if "00007.jpg" in names(shard.images):
            loss = lose(schedule, str(losses), is_blamed=False)
            given_up += names(item.image for item in loss.given_up)
            losses, queue = losses + 1, []
            schedule.add_worker(str(losses), 0.0)
        else:
            done += names(shard.images)
            schedule.finish(str(losses), shard.number, 1.0, 0.0)
        assert losses < 50
    assert given_up == ["00007.jpg"]
    assert len(done) == 63


def test_nothing_comes_back_after_the_end_was_asked_for():
    schedule = make_schedule(10)
    schedule.next_shard("a", 0.0)
    schedule.close()
    lose(schedule, "a")
    assert schedule.is_over


def test_first_workers_leave_a_share_to_those_that_are_still_loading():
    schedule = make_schedule(160)
    schedule.set_expected_workers(4)
    schedule.finish("a", schedule.next_shard("a", 0.0).number, 0.8, 0.0)
    assert len(schedule.next_shard("a", 0.0).images) == (160 - 8) // 8


def test_only_the_running_shard_is_suspected():
    schedule = make_schedule(100, "ab")
    running, waiting = schedule.next_shard("a", 0.0), schedule.next_shard("a", 0.0)
    lose(schedule, "a")
    assert schedule.next_shard("b", 1.0) is running
    assert schedule.next_shard("b", 1.0) is waiting
    assert (running.deaths, waiting.deaths) == (1, 0)


def test_shard_of_a_lost_node_is_not_suspected():
    schedule = make_schedule(100, "ab")
    running = schedule.next_shard("a", 0.0)
    lose(schedule, "a", is_blamed=False)
    assert schedule.next_shard("b", 1.0) is running
    assert running.deaths == 0


def test_committed_shard_of_a_dead_worker_is_not_done_again():
    schedule = make_schedule(16, "ab", most=8)
    first, second = schedule.next_shard("a", 0.0), schedule.next_shard("a", 0.0)
    loss = lose(schedule, "a", committed={first.number})
    assert loss.committed == [first]
    assert schedule.next_shard("b", 1.0) is second


def run_with_poison(count: int, poison: set[str]) -> tuple[Counter, list[str], int]:
    """One worker at a time; it dies as soon as it runs a shard with a poisonous image."""
    schedule = Schedule(make_images(count), count, 64)
    done, given_up, deaths, worker = Counter(), [], 0, 0
    schedule.add_worker("0", 0.0)
    queue = []
    while not schedule.is_over:
        while shard := schedule.next_shard(str(worker), 0.0):
            queue.append(shard)
        shard = queue.pop(0)
        if poison & set(names(shard.images)):
            loss = lose(schedule, str(worker))
            given_up += [item.image.file_name for item in loss.given_up]
            deaths, worker, queue = deaths + 1, worker + 1, []
            schedule.add_worker(str(worker), 0.0)
        else:
            done.update(names(shard.images))
            schedule.finish(str(worker), shard.number, 0.001, 0.0)
    return done, given_up, deaths


def test_poisonous_image_is_found_in_five_deaths_and_the_others_are_labelled():
    done, given_up, deaths = run_with_poison(640, {"00300.jpg"})
    assert given_up == ["00300.jpg"]
    assert sorted(done) == sorted(set(names(make_images(640))) - {"00300.jpg"})
    assert set(done.values()) == {1}
    assert deaths <= 5


def test_reason_says_how_often_and_how_the_worker_died():
    schedule = make_schedule(1, "ab")
    schedule.next_shard("a", 0.0)
    assert lose(schedule, "a").given_up == []
    schedule.next_shard("b", 0.0)
    (given_up,) = lose(schedule, "b").given_up
    assert given_up.reason.startswith("its worker died 2 times while it was labelled (killed)")
    assert schedule.is_over


def test_worker_that_finishes_no_image_is_hung():
    schedule = make_schedule(100, "abc")
    for worker in "ab":
        schedule.next_shard(worker, 0.0)
    schedule.note_progress("a", 3, 50.0)
    schedule.note_progress("b", 1, 10.0)
    assert schedule.find_hung(100.0, 60.0) == ["b"]
    schedule.note_progress("a", 3, 90.0)
    assert schedule.find_hung(111.0, 60.0) == ["a", "b"]


def test_first_image_of_a_worker_may_take_twice_as_long():
    schedule = make_schedule(100, "a")
    schedule.next_shard("a", 0.0)
    schedule.note_progress("a", 0, 50.0)
    assert schedule.find_hung(119.0, 60.0) == []
    assert schedule.find_hung(121.0, 60.0) == ["a"]


def test_nobody_hangs_just_because_the_driver_was_away():
    schedule = make_schedule(100, "a")
    schedule.next_shard("a", 0.0)
    schedule.note_progress("a", 1, 1.0)
    schedule.reset_clocks(1000.0)
    assert schedule.find_hung(1030.0, 60.0) == []
    assert schedule.find_hung(1061.0, 60.0) == ["a"]


def test_image_at_which_a_worker_hangs_is_known_and_given_up_after_one_more_try():
    schedule = make_schedule(100, "abc")
    first = schedule.next_shard("a", 0.0)
    schedule.finish("a", first.number, 20.0, 20.0)
    shard = schedule.next_shard("a", 20.0)
    schedule.note_progress("a", len(first.images) + 3, 30.0)
    assert lose(schedule, "a", is_hung=True).given_up == []
    suspect = schedule.next_shard("b", 99.0)
    others = schedule.next_shard("b", 99.0), schedule.next_shard("c", 99.0)
    assert names(suspect.images) == names(shard.images[3:4])
    assert [names(other.images) for other in others] == [
        names(shard.images[:3]),
        names(shard.images[4:]),
    ]
    (given_up,) = lose(schedule, "b", is_hung=True).given_up
    assert given_up.image is suspect.images[0]
    assert "its worker died 2 times" in given_up.reason
    assert schedule.next_shard("c", 99.0) is others[0], "what waited behind it is not suspected"
    assert others[0].deaths == 0


def test_images_of_a_batch_hang_together():
    schedule = make_schedule(100, "ab", batch=3)
    shard = schedule.next_shard("a", 0.0)
    schedule.note_progress("a", 6, 30.0)
    lose(schedule, "a", is_hung=True)
    suspects = schedule.next_shard("b", 99.0)
    assert names(suspects.images) == names(shard.images[6:8])
    lose(schedule, "b", is_hung=True)
    schedule.add_worker("c", 100.0)
    assert [len(schedule.next_shard("c", 100.0).images) for _ in range(2)] == [1, 1]


def test_idle_worker_is_not_hung_when_work_comes():
    schedule = make_schedule(100, "a")
    schedule.next_shard("a", 1000.0)
    assert schedule.find_hung(1030.0, 60.0) == []


def test_closed_schedule_gives_out_nothing_and_ends_with_its_running_shards():
    schedule = make_schedule(100, "a")
    shard = schedule.next_shard("a", 0.0)
    schedule.close()
    assert schedule.next_shard("a", 0.0) is None
    assert not schedule.is_over
    schedule.finish("a", shard.number, 1.0, 1.0)
    assert schedule.is_over


@pytest.mark.parametrize("seed", range(30))
def test_every_image_comes_out_once_whatever_dies(seed):
    """Random workers finish, die with or without a commit, vanish with their node, join."""
    dice = random.Random(seed)
    count = dice.randint(1, 400)
    poison = set(dice.sample(names(make_images(count)), min(count, dice.randint(0, 3))))
    schedule = Schedule(make_images(count), count, dice.choice([1, 5, 64]))
    out, workers, next_worker = Counter(), {}, 0
    while not schedule.is_over:
        if (len(workers) < 4 and dice.random() < 0.5) or not workers:
            next_worker += 1
            workers[f"w{next_worker}"] = []
            schedule.add_worker(f"w{next_worker}", 0.0)
        worker = dice.choice(list(workers))
        while shard := schedule.next_shard(worker, 0.0):
            workers[worker].append(shard)
        if not workers[worker]:
            continue
        head = workers[worker][0]
        is_poisonous = bool(poison & set(names(head.images)))
        if is_poisonous or dice.random() < 0.1:
            has_committed = not is_poisonous and dice.random() < 0.5
            committed = {head.number} if has_committed else set()
            is_blamed = is_poisonous or dice.random() < 0.5
            is_hung = is_blamed and dice.random() < 0.3
            schedule.note_progress(worker, dice.randint(0, count), 0.0)
            loss = lose(schedule, worker, is_blamed=is_blamed, is_hung=is_hung, committed=committed)
            for item in loss.committed:
                out.update(names(item.images))
            out.update(item.image.file_name for item in loss.given_up)
            del workers[worker]
        else:
            workers[worker].pop(0)
            out.update(names(head.images))
            schedule.finish(worker, head.number, dice.random(), 0.0)
    assert sorted(out.elements()) == names(make_images(count))
