"""What a Ray cluster costs: against a bare loop, at the start, and a shard.

    python benchmarks/scale/cluster_overhead.py --images FOLDER [--quick]

Three measurements, each in a process of its own, one JSON object:

rate     images/s of two CPU actors (`--engine ray --num-actors 2 --cpus-per-actor 1`) and of two
         processes of the bare loop of `label_vs_bare_loop.py`, one thread each, on the same images,
         in turns (A B A B ...). Both are timed once both workers are warm; the bare loop
         throws its results away, the actors write Parquet. Ray runs during its own turns only.
         Also the processor seconds an image of the workers, which other work beside them does not
         change much, as it does the rates.
start    seconds of ray.init, of the first actor (its model included), and until the first image.
shards   a labeller that finds nothing at once, one image a shard: wall and processor milliseconds
         of the driver a shard, and its peak memory.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ovsam_pipeline.detectors.base import Detections, Detector
from ovsam_pipeline.engines.choose import open_engine
from ovsam_pipeline.engines.engine import Engine, Work
from ovsam_pipeline.labelling.stats import ShardStats
from ovsam_pipeline.monitoring.report import RunReport
from ovsam_pipeline.monitoring.stopping import StopRequest
from ovsam_pipeline.output.folder import OutputFolder
from ovsam_pipeline.output.parts import BOX_SCHEMA, SCHEMA, PartWriter
from ovsam_pipeline.output.plan import plan_run
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.settings.label import LabelConfig
from ovsam_pipeline.sources.listing import list_images
from ovsam_pipeline.sources.spool import ImageSpool

if TYPE_CHECKING:
    from ovsam_pipeline.labelling.labeller import Labeller

NUM_WORKERS = 2
WARM_UP_IMAGES = 4
PARTS = ("rate", "start", "shards")


def main() -> None:
    """Run each measurement in a process of its own and print all results."""
    options = parse_options()
    logging.disable(logging.INFO)
    os.environ["OMP_NUM_THREADS"] = "1"
    if options.only:
        found = {"rate": measure_rate, "start": measure_start, "shards": measure_shards}
        print(json.dumps(found[options.only](options)))
        return
    result: dict[str, Any] = {"cpus": os.cpu_count(), "load": os.getloadavg()[0]}
    for part in PARTS:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", part]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        result[part] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(result, indent=2))


def parse_options() -> argparse.Namespace:
    """Read the command line; --quick makes all three small."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", required=True, help="folder of images, repeated as needed")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--count", type=int, help="images a turn; 400, quick 60")
    parser.add_argument("--repeats", type=int, help="turns of each side; 4, quick 1")
    parser.add_argument("--shards", type=int, help="10000, quick 500")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    options.count = options.count or (60 if options.quick else 400)
    options.repeats = options.repeats or (1 if options.quick else 4)
    options.shards = options.shards or (500 if options.quick else 10_000)
    return options


def measure_rate(options: argparse.Namespace) -> dict[str, Any]:
    """Return images/s of both sides, turn by turn, and the ratios of neighbours."""
    images = repeat_images(options.images, options.count)
    config = configure(options)
    bare, ray = [], []  # (images/s, processor seconds an image) of each turn
    for _ in range(options.repeats):
        bare.append(run_bare_processes(images, config))
        ray.append(run_actors(images, config))
    ratios = [ours[0] / plain[0] for ours, plain in zip(ray, bare, strict=True)]
    costs = [plain[1] / ours[1] for ours, plain in zip(ray, bare, strict=True)]
    return {
        "images": len(images),
        "workers": NUM_WORKERS,
        "bare_images_per_s": [round(rate, 2) for rate, _ in bare],
        "ray_images_per_s": [round(rate, 2) for rate, _ in ray],
        "bare_cpu_s_an_image": [round(cpu_s, 3) for _, cpu_s in bare],
        "ray_cpu_s_an_image": [round(cpu_s, 3) for _, cpu_s in ray],
        "ratios": [round(ratio, 3) for ratio in ratios],
        "ratio_median": round(statistics.median(ratios), 3),
        "cpu_ratio_median": round(statistics.median(costs), 3),
    }


def configure(options: argparse.Namespace) -> LabelConfig:
    """Return settings of two actors of one CPU each on this machine."""
    return LabelConfig(
        sources=(options.images,),
        model=options.model,
        detector="nano",
        device="cpu",
        workers=1,
        engine="ray",
        num_actors=NUM_WORKERS,
        cpus_per_actor=1,
    )


def repeat_images(folder: str, count: int) -> list[ImageRecord]:
    """Return `count` records, the folder's again and again under other names."""
    images = list(list_images([folder]))
    images = (images * (1 + count // len(images)))[:count]
    return [
        replace(image, file_name=f"{index}/{image.file_name}", image_id=index)
        for index, image in enumerate(images)
    ]


def run_bare_processes(images: list[ImageRecord], config: LabelConfig) -> tuple[float, float]:
    """Time two processes of the bare loop, once both have warmed up.

    Returns:
        Images a second of both; processor seconds an image.
    """
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(NUM_WORKERS + 1)
    spent = context.SimpleQueue()
    shares = [tuple(images[index::NUM_WORKERS]) for index in range(NUM_WORKERS)]
    workers = [
        context.Process(target=_run_bare_share, args=(share, config, barrier, spent))
        for share in shares
    ]
    for worker in workers:
        worker.start()
    barrier.wait()
    start_s = time.perf_counter()
    barrier.wait()
    seconds = time.perf_counter() - start_s
    for worker in workers:
        worker.join()
    return len(images) / seconds, sum(spent.get() for _ in workers) / len(images)


def _run_bare_share(
    images: tuple[ImageRecord, ...], config: LabelConfig, barrier: Any, spent: Any
) -> None:
    """Load, warm up, wait for the other, and go through a share of the images."""
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
    from label_vs_bare_loop import run_bare_loop

    from ovsam_pipeline.labelling.build import build_labeller

    logging.disable(logging.INFO)
    torch.set_num_threads(1)
    labeller = build_labeller(config)
    run_bare_loop(images[:WARM_UP_IMAGES], labeller)
    barrier.wait()
    before_s = time.process_time()
    run_bare_loop(images, labeller)
    spent.put(time.process_time() - before_s)
    barrier.wait()


def run_actors(images: list[ImageRecord], config: LabelConfig) -> tuple[float, float]:
    """Time two actors, from when both have labelled some images until the run ends.

    Returns:
        Images a second of both; processor seconds an image, from the first after those to the last.
    """
    warm_up = [
        replace(image, file_name=f"warm/{index}", image_id=-1 - index)
        for index, image in enumerate(images[:WARM_UP_IMAGES])
    ]
    with open_output() as folder:
        log = folder.path.parent / "stamps"
        with open_engine(config, partial(build_stamping_labeller, log)) as engine:
            run_engine(engine, folder, warm_up + images)
            end_s = time.time()
        stamps = [line.split() for line in log.read_text().splitlines()]
    stamps_of: dict[str, list[tuple[float, float]]] = {}
    for name, now_s, cpu_s in stamps:
        stamps_of.setdefault(name, []).append((float(now_s), float(cpu_s)))
    warm = [sorted(of_worker)[WARM_UP_IMAGES:] for of_worker in stamps_of.values()]
    if len(warm) != NUM_WORKERS or min(map(len, warm)) < 2:
        raise SystemExit(f"expected {NUM_WORKERS} busy workers, got {list(stamps_of)}")
    start_s = max(of_worker[0][0] for of_worker in warm)
    rate = sum(now_s >= start_s for each in warm for now_s, _ in each) / (end_s - start_s)
    cpu_s = sum(of_worker[-1][1] - of_worker[0][1] for of_worker in warm)
    return rate, cpu_s / sum(len(of_worker) - 1 for of_worker in warm)


def build_stamping_labeller(log: Path, config: LabelConfig, progress: Any = None) -> Labeller:
    """Return the real labeller; its detector notes its process and times before each image.

    Not the decoder: that runs a few images ahead, so that nothing may be labelled yet.
    """
    from ovsam_pipeline.labelling.build import build_labeller

    labeller = build_labeller(config, progress)
    return replace(labeller, detector=StampingDetector(labeller.detector, log))


class StampingDetector:
    """Another detector that notes when it is asked."""

    def __init__(self, detector: Any, log: Path) -> None:
        self._detector, self._stream = detector, log.open("a", buffering=1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detector, name)

    def detect(self, images: Any) -> Any:
        """Note the process, the time and the processor time spent, and ask the other."""
        self._stream.write(f"{os.getpid()} {time.time()} {time.process_time()}\n" * len(images))
        return self._detector.detect(images)


@contextmanager
def open_output() -> Iterator[OutputFolder]:
    """Hold an output folder that goes when the block ends."""
    with tempfile.TemporaryDirectory() as path, OutputFolder(Path(path) / "out") as folder:
        yield folder


def run_engine(
    engine: Engine, folder: OutputFolder, images: list[ImageRecord]
) -> tuple[RunReport, float]:
    """Label images and return what was counted and the seconds it took; all must go well."""
    facts = engine.facts
    folder.prepare(facts.fingerprint, facts.depends_on, "overwrite")
    with ImageSpool(images) as spool:
        plan = plan_run(spool, folder.read_done(facts.fingerprint), previews=folder.path)
        writer = PartWriter(
            folder.parts_folder,
            facts.fingerprint,
            max_images=facts.config.part_images or 64,
            max_seconds=facts.config.part_seconds or 10.0,
            schema=SCHEMA if facts.has_labels else BOX_SCHEMA,
        )
        report = RunReport(len(images))
        start_s = time.perf_counter()
        summary = engine.label(Work(plan, writer, report, StopRequest(), ShardStats()))
        seconds = time.perf_counter() - start_s
    if summary.failed or summary.left or summary.outcome != "finished":
        raise SystemExit(f"expected {len(images)} images labelled, got {summary}")
    return report, seconds


def measure_start(options: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds before the first image of a run on this machine."""
    import ray

    from ovsam_pipeline.labelling.build import build_labeller

    spent: dict[str, float] = {}
    ray.init = _time_calls(ray.init, spent, "ray_init_s")
    image = repeat_images(options.images, 1)
    start_s = time.perf_counter()
    with open_output() as folder, open_engine(configure(options), build_labeller) as e:
        spent["open_s"] = time.perf_counter() - start_s
        run_engine(e, folder, image)
        spent["first_image_s"] = time.perf_counter() - start_s
        close_s = time.perf_counter()
    spent["close_s"] = time.perf_counter() - close_s
    return {name: round(seconds, 2) for name, seconds in spent.items()}


def _time_calls(function: Callable[..., Any], spent: dict[str, float], name: str) -> Any:
    def timed(*args: Any, **kwargs: Any) -> Any:
        start_s = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            spent[name] = spent.get(name, 0.0) + time.perf_counter() - start_s

    return timed


class NothingFound(Detector):
    """A detector that finds nothing, at once."""

    name = "nothing"
    fingerprint = "0" * 32
    class_names = None
    device = "cpu"

    def detect(self, images: Any) -> list[Detections]:
        """Return no box for each image."""
        return [Detections.empty() for _ in images]


def build_idle_labeller(config: LabelConfig, _: Any = None) -> Labeller:
    """Return a labeller that reads no file and finds nothing; in the actor, as torch comes."""
    from ovsam_pipeline.labelling.labeller import Labeller, Pace, RunFacts
    from ovsam_pipeline.labelling.modes import BoxesAlone

    return Labeller(
        NothingFound(),
        BoxesAlone(config.conf, config.max_det),
        Pace(batch=1, workers=1, is_overlapping=False),
        RunFacts(config, {"task": "nothing"}, {}, has_labels=False),
        _decode_nothing,
    )


def _decode_nothing(_: ImageRecord) -> np.ndarray:
    return np.zeros((8, 8, 3), np.uint8)


def measure_shards(options: argparse.Namespace) -> dict[str, Any]:
    """Return what a shard of one image costs the driver when labelling costs nothing."""
    config = replace(configure(options), part_images=1)
    images = [
        ImageRecord(index, f"{index:07d}.png", Path(f"{index:07d}.png"), size_bytes=1, mtime_ns=1)
        for index in range(options.shards)
    ]
    with open_output() as folder, open_engine(config, build_idle_labeller) as engine:
        before_mb, before = _peak_mb(), resource.getrusage(resource.RUSAGE_SELF)
        _, seconds = run_engine(engine, folder, images)
        after = resource.getrusage(resource.RUSAGE_SELF)
        num_parts = sum(1 for _ in folder.parts_folder.iterdir())
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "shards": options.shards,
        "parts": num_parts,
        "driver_wall_ms_a_shard": round(1000 * seconds / options.shards, 3),
        "driver_cpu_ms_a_shard": round(1000 * cpu_s / options.shards, 3),
        "driver_peak_mb_before": before_mb,
        "driver_peak_mb": _peak_mb(),
        "driver_loaded_torch": "torch" in sys.modules,
    }


def _peak_mb() -> int:
    """Return the largest memory of this process so far, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
