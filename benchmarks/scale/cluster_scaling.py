"""How far a cluster run scales: a simulation, with the real scheduler on a clock of its own.

    python benchmarks/scale/cluster_scaling.py [--setting nano-cpu|gpu] \
        [--workers 1 2 8 ...] [--json]

Not a measurement of a cluster. `ovsam_pipeline.engines.cluster.schedule.Schedule` decides as in a
run, over an ImageSpool, and each of its calls costs the driver the processor time that it took
just now. The rest are parameters: what Ray costs the driver a task and a pending answer, seconds
an image with jitter, start-up, deaths of workers, bandwidths and requests of the bucket. The loop
is that of `engines/cluster/run.py`: wait, handle all answers, assign work, watch the workers.
Network and bucket are shared evenly by the workers that are there when a shard is given out.

Workers have `--work-s` seconds of work each, so ten times the workers label ten times the images.
Images/s are those from when all are ready until nothing is left to give out; "whole run" has the
start and the end as well.
"""

from __future__ import annotations

import argparse
import heapq
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ovsam_pipeline.engines.cluster.schedule import Schedule, Shard
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.spool import ImageSpool

T = TypeVar("T")
WORKERS = (1, 2, 8, 32, 128, 512, 1000)


@dataclass(frozen=True)
class Setting:
    """What is given to the simulation; times in seconds.

    Attributes:
        image_s: of a worker for an image, read, labelled and encoded, without waiting for bytes.
        jitter: standard deviation of the logarithm of that.
        start_s: until a worker has loaded the model; half of it more by chance.
        commit_s: to write a part.
        life_s: mean time until a worker dies.
        image_bytes: of a file that is read.
        workers_per_node: that share a node's network.
        node_gbit_per_s, bucket_gbit_per_s, gets_per_s, puts_per_s: limits of node and bucket.
        shard_images: most images in a shard, `--part-images`.
        task_s: of the driver for a task of Ray: submit it and fetch its answer.
        wait_s: of the driver for a pending answer, each time that it waits for any.
        look_every_s, watch_every_s, wait_at_most_s: as in engines/cluster/run.py and ray_pool.py.
        work_s: of each worker.
    """

    image_s: float
    start_s: float
    image_bytes: float
    workers_per_node: int
    jitter: float = 0.4
    commit_s: float = 0.05
    life_s: float = 24 * 3600.0
    node_gbit_per_s: float = 25.0
    bucket_gbit_per_s: float = 100.0
    gets_per_s: float = 5500.0
    puts_per_s: float = 3500.0
    shard_images: int = 64
    task_s: float = 0.5e-3
    wait_s: float = 0.85e-6
    look_every_s: float = 3.0
    watch_every_s: float = 0.5
    wait_at_most_s: float = 0.5
    work_s: float = 300.0

    def find_floors(self, workers: int) -> dict[str, float]:
        """Return the least seconds of a worker for an image, by what sets them."""
        megabits = self.image_bytes * 8 / 1e9
        return {
            "labelling": self.image_s,
            "network of the nodes": megabits * self.workers_per_node / self.node_gbit_per_s,
            "bandwidth of the bucket": megabits * workers / self.bucket_gbit_per_s,
            "GETs of the bucket": workers / self.gets_per_s,
            "PUTs of the bucket": workers / self.puts_per_s / self.shard_images,
        }


# nano: 6.2 images/s on one core and 6.8 s to load, measured (docs/benchmarks.md); files of 200 kB
# are assumed. gpu: assumed throughout, no GPU was there to measure.
SETTINGS = {
    "nano-cpu": Setting(0.161, start_s=6.8, image_bytes=2e5, workers_per_node=32),
    "gpu": Setting(0.125, start_s=60.0, image_bytes=5e5, workers_per_node=8),
}


class Simulation:
    """One run on a clock that starts at 0 and that nobody waits for.

    Args:
        setting: the parameters.
        workers: how many.
    """

    def __init__(self, setting: Setting, workers: int) -> None:
        self.setting, self.workers = setting, workers
        self.num_images = round(workers * setting.work_s / setting.image_s)
        self.schedule = Schedule(
            draw_images(self.num_images), self.num_images, setting.shard_images
        )
        self.rng = np.random.default_rng(workers)
        self.now_s = self.busy_s = self.waiting_s = self.scheduling_s = 0.0
        self.num_calls = self.num_started = self.num_pending = self.num_given_up = 0
        self.num_events = self.num_ready = 0
        self.events: list[tuple[float, int, str, str, Any]] = []
        self.free_s: dict[str, float] = {}
        self.dies_s: dict[str, float] = {}
        self.looked_s: dict[str, float] = {}
        self.shards: dict[str, set[int]] = {}
        self.spans: list[tuple[float, float, int]] = []
        self.all_ready_s = self.drained_s = 0.0
        self.watched_s = 0.0
        self.idle: list[str] = []

    def run(self) -> None:
        """Go on until every image is labelled or given up."""
        for _ in range(self.workers):
            self.start_worker()
        while not self.schedule.is_over:
            for event in self.wait():
                self.handle(*event)
            self.assign_work()
            if self.now_s - self.watched_s >= self.setting.watch_every_s:
                self.watch()
        assert sum(span[2] for span in self.spans) + self.num_given_up == self.num_images

    def wait(self) -> list[tuple[str, str, Any]]:
        """Return what has happened by now; where nothing has, wait for the first."""
        cost_s = self.setting.wait_s * self.num_pending
        self.spend(cost_s)
        self.waiting_s += cost_s
        if self.events and self.events[0][0] > self.now_s:
            self.now_s = min(self.events[0][0], self.now_s + self.setting.wait_at_most_s)
        found = []
        while self.events and self.events[0][0] <= self.now_s:
            found.append(heapq.heappop(self.events)[2:])
        return found

    def handle(self, kind: str, worker: str, told: Any) -> None:
        """Deal with one event."""
        if kind == "ready":
            self.num_pending -= 1
            self.free_s[worker] = self.now_s
            self.num_ready += 1
            if self.num_ready == self.workers:
                self.all_ready_s = self.now_s
            self.dies_s[worker] = self.now_s + self.rng.exponential(self.setting.life_s)
            self.looked_s[worker] = self.now_s
            self.happen(self.dies_s[worker], "died", worker, None)
            self.call(lambda: self.schedule.add_worker(worker, self.now_s))
            self.idle.append(worker)
        elif kind == "looked":
            self.num_pending -= 1
            # Of one that is dead by now the scheduler takes no notice.
            self.call(lambda: self.schedule.note_progress(worker, told, self.now_s))
        elif kind == "labelled":
            self.num_pending -= 1
            number, seconds, end_s = told
            shard = self.call(lambda: self.schedule.finish(worker, number, seconds, self.now_s))
            self.spans.append((end_s - seconds, end_s, len(shard.images)))
            self.shards[worker].remove(number)
            self.idle.append(worker)
        elif kind == "died":
            self.replace_worker(worker)

    def replace_worker(self, worker: str) -> None:
        """Take back the shards of a dead worker and start another."""
        loss = self.call(
            lambda: self.schedule.lose_worker(worker, "died", lambda _: False, is_blamed=True)
        )
        self.num_given_up += len(loss.given_up)
        del self.free_s[worker], self.looked_s[worker]
        self.num_pending -= len(self.shards.pop(worker))
        self.idle = list(self.free_s)
        self.start_worker()

    def start_worker(self) -> None:
        """Start a worker."""
        name = f"worker {self.num_started}"
        self.num_started += 1
        self.num_pending += 1
        self.shards[name] = set()
        self.spend(self.setting.task_s)
        start_s = self.setting.start_s * self.rng.uniform(1.0, 1.5)
        self.happen(self.now_s + start_s, "ready", name, None)

    def assign_work(self) -> None:
        """Give shards to those that may have one."""
        idle, self.idle = self.idle, []
        for worker in idle:
            while worker in self.free_s:
                shard = self.call(lambda name=worker: self.schedule.next_shard(name, self.now_s))
                if shard is None:
                    if self.schedule.num_undrawn == 0 and not self.drained_s:
                        self.drained_s = self.now_s
                    break
                self.assign(worker, shard)

    def assign(self, worker: str, shard: Shard) -> None:
        """Let a worker label a shard after those that it has."""
        self.spend(self.setting.task_s)
        self.num_pending += 1
        self.shards[worker].add(shard.number)
        setting, count = self.setting, len(shard.images)
        floors = setting.find_floors(len(self.free_s))
        del floors["labelling"]
        spread = setting.jitter
        images_s = setting.image_s * self.rng.lognormal(-(spread**2) / 2, spread, count)
        # Files are read ahead while others are labelled, so the slower of both sets the pace.
        seconds = max(float(images_s.sum()), count * max(floors.values())) + setting.commit_s
        end_s = max(self.free_s[worker], self.now_s) + seconds
        self.free_s[worker] = end_s
        if end_s < self.dies_s[worker]:
            self.happen(end_s, "labelled", worker, (shard.number, seconds, end_s))

    def watch(self) -> None:
        """Ask workers how they stand, and look for hung ones."""
        self.watched_s = self.now_s
        for worker, looked_s in self.looked_s.items():
            if self.now_s - looked_s >= self.setting.look_every_s:
                self.looked_s[worker] = self.now_s
                self.spend(self.setting.task_s)
                self.num_pending += 1
                self.happen(self.now_s + 2e-3, "looked", worker, int(self.now_s))
        assert not self.call(lambda: self.schedule.find_hung(self.now_s, 600.0))

    def call(self, decide: Callable[[], T]) -> T:
        """Call the scheduler; the driver spends the processor time that it takes."""
        start = time.thread_time()
        found = decide()
        spent_s = time.thread_time() - start
        self.spend(spent_s)
        self.scheduling_s += spent_s
        self.num_calls += 1
        return found

    def spend(self, seconds: float) -> None:
        """Keep the driver busy."""
        self.now_s += seconds
        self.busy_s += seconds

    def happen(self, when_s: float, kind: str, worker: str, told: Any) -> None:
        """Let something happen later."""
        self.num_events += 1
        heapq.heappush(self.events, (when_s, self.num_events, kind, worker, told))


def draw_images(count: int) -> Iterator[ImageRecord]:
    """Yield records from a spool as a run reads them."""
    names = (f"folder {index // 1000:04d}/{index:08d}.jpg" for index in range(min(count, 65_536)))
    with ImageSpool(
        ImageRecord(index, name, Path("/data", name)) for index, name in enumerate(names)
    ) as spool:
        while count > 0:
            for image in spool:
                yield image
                count -= 1
                if count == 0:
                    break


def simulate(setting: Setting, workers: int) -> dict[str, Any]:
    """Run one simulation and return what came out."""
    found = Simulation(setting, workers)
    found.run()
    images_per_s = measure_pace(found)
    ideal = workers / setting.image_s
    floors = setting.find_floors(workers)
    task_s = (found.busy_s - found.waiting_s) / found.num_images
    return {
        "workers": workers,
        "images": found.num_images,
        "images_per_s": round(images_per_s, 1),
        "efficiency": round(images_per_s / ideal, 3),
        "efficiency_whole_run": round(found.num_images / found.now_s / ideal, 3),
        "driver_busy": round(found.busy_s / found.now_s, 4),
        "driver_busy_without_waits": round((found.busy_s - found.waiting_s) / found.now_s, 4),
        "driver_us_an_image": round(task_s * 1e6, 1),
        "scheduling_us_a_call": round(found.scheduling_s / found.num_calls * 1e6, 1),
        "deaths": found.num_started - workers,
        "given_up": found.num_given_up,
        "limit": max(floors, key=lambda name: floors[name]),
    }


def measure_pace(found: Simulation) -> float:
    """Return images/s from when all are ready until nothing is left to give out.

    A shard's images count as spread evenly over its time.
    """
    starts, ends, counts = (np.array(column) for column in zip(*found.spans, strict=True))
    first_s, last_s = found.all_ready_s, found.drained_s
    assert last_s > first_s, "give more --work-s: nothing was left when all workers were ready"
    inside = np.clip(np.minimum(ends, last_s) - np.maximum(starts, first_s), 0, None)
    return float((counts * inside / (ends - starts)).sum() / (last_s - first_s))


def find_ends(setting: Setting, last: dict[str, Any]) -> dict[str, int]:
    """Return at how many workers each limit is reached: more of them label no faster."""
    one = setting.find_floors(1)
    ends = {
        name: round(setting.image_s / one[name])
        for name in ("bandwidth of the bucket", "GETs of the bucket", "PUTs of the bucket")
    }
    ends["tasks of the driver"] = round(setting.image_s / last["driver_us_an_image"] * 1e6)
    return dict(sorted(ends.items(), key=lambda end: end[1]))


def main() -> None:
    """Simulate every number of workers and print a table, or JSON."""
    options = parse_options()
    setting = SETTINGS[options.setting]
    given = {
        name: value for name, value in vars(options).items() if value and hasattr(setting, name)
    }
    setting = replace(setting, **given)
    rows = [simulate(setting, workers) for workers in options.workers]
    ends = find_ends(setting, rows[-1])
    if options.json:
        print(json.dumps({"setting": asdict(setting), "rows": rows, "ends": ends}, indent=2))
        return
    print(f"SIMULATION of {options.setting}: {setting}\n")
    names = ("workers", "images_per_s", "efficiency", "efficiency_whole_run", "driver_busy")
    names = (*names, "driver_busy_without_waits", "scheduling_us_a_call", "deaths", "limit")
    print("| " + " | ".join(name.replace("_", " ") for name in names) + " |")
    print("|" + " --- |" * len(names))
    for row in rows:
        print("| " + " | ".join(str(row[name]) for name in names) + " |")
    print("\nwith more workers than this no more images/s, by what ends it first:")
    for name, workers in ends.items():
        print(f"  {workers:7d}  {name}")


def parse_options() -> argparse.Namespace:
    """Read the command line; what is given there replaces a value of the setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setting", choices=sorted(SETTINGS), default="gpu")
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS)
    parser.add_argument("--json", action="store_true")
    for name, kind in Setting.__annotations__.items():
        as_type = int if kind == "int" else float
        parser.add_argument(f"--{name.replace('_', '-')}", type=as_type, help="see Setting")
    return parser.parse_args()


if __name__ == "__main__":
    main()
