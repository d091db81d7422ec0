"""The fault table: what is lost, doubled or different when something of a cluster breaks.

    python benchmarks/faults/cluster_faults.py                  # all faults, a few minutes
    python benchmarks/faults/cluster_faults.py --only hang      # one of them

Runs the real command with fake networks (tests/doubles/fake_labeller.py, which sleeps instead of
computing) on Ray on this machine, breaks something in the middle, repeats the command where a
person would, and compares all rows with those of an undisturbed local run. Prints JSON, or a
Markdown table with --markdown; exits 1 when an image was lost, doubled or labelled differently.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "doubles"))

from fake_labeller import write_images  # noqa: E402

from ovsam_pipeline.output.folder import iterate_rows, list_parts  # noqa: E402

_NUM_IMAGES = 240
_SECONDS_AN_IMAGE = 0.05
_FLAGS = ("--engine", "ray", "--num-actors", "2", "--cpus-per-actor", "1", "--part-images", "16")
# Long: on a busy machine Ray alone takes a minute to start.
_WAIT_S = 400.0


def main() -> None:
    """Break one thing after another and print what came of it."""
    options = _parse_options()
    with tempfile.TemporaryDirectory(prefix="of-") as folder:
        bench = Bench(Path(folder))
        found = {name: bench.measure(name) for name in options.only or FAULTS}
    failed = [name for name, row in found.items() if row["lost"] or row["doubled"] or row["other"]]
    if options.markdown:
        sys.stdout.write(format_table(found))
    else:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    sys.exit(1 if failed else 0)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=[])
    parser.add_argument("--markdown", action="store_true")
    return parser.parse_args()


class Bench:
    """Images, an undisturbed run of them, and the commands of the others.

    Args:
        folder: for everything; its path is short, as Ray's sockets need.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.images = folder, folder / "images"
        self.log = folder / "quiet.log"
        self.env = {
            **os.environ,
            "FAKE_SECONDS": str(_SECONDS_AN_IMAGE),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'doubles'}",
            "HOME": str(folder),
            "RAY_TMPDIR": str(folder / "r"),
            "OMP_NUM_THREADS": "1",
        }
        self.env.pop("RAY_ADDRESS", None)
        (folder / "r").mkdir()
        write_images(self.images, _NUM_IMAGES)
        self.start(self.images, folder / "quiet", flags=("--engine", "local")).wait()
        self.quiet = read_rows(folder / "quiet")[0]
        self.quiet_s = 0.0

    def measure(self, fault: str) -> dict[str, Any]:
        """Run with one fault; return what is lost, doubled, different, and the time it cost."""
        if not self.quiet_s:
            start_s = time.monotonic()
            self.start(self.images, self.folder / "quiet_ray").wait()
            self.quiet_s = time.monotonic() - start_s
        images, output = self.folder / f"images_{fault}", self.folder / fault
        images.symlink_to(self.images)
        sys.stderr.write(f"{fault} ...\n")
        self.log = self.folder / f"{fault}.log"
        start_s = time.monotonic()
        expected, facts = FAULTS[fault](self, images, output)
        seconds = time.monotonic() - start_s
        rows, doubled = read_rows(output)
        wanted = {**self.quiet, **expected}
        lost = sorted(wanted.keys() - rows.keys())
        other = sorted(name for name in rows.keys() & wanted.keys() if rows[name] != wanted[name])
        result = {
            "images": len(rows),
            "lost": lost,
            "doubled": doubled,
            "other": other + sorted(rows.keys() - wanted.keys()),
            "seconds": round(seconds, 1),
            "seconds_lost": round(seconds - self.quiet_s - facts.pop("slower_s", 0.0), 1),
            "workers_lost": self.log.read_text().lower().count("lost worker "),
            **facts,
        }
        sys.stderr.write(f"{json.dumps(result)}\n")
        return result

    def wait_for_parts(self, run: subprocess.Popen[str], output: Path, count: int) -> None:
        """Wait until a run has committed some parts, or has ended before."""
        wait_for(
            lambda: run.poll() is not None
            or ((output / "parts").is_dir() and len(list_parts(output)) >= count)
        )
        if run.poll() is not None:
            raise SystemExit(f"the run was over before the fault: {self.log.read_text()}")

    def start(
        self, images: Path, output: Path, flags: tuple[str, ...] = _FLAGS, **env: str
    ) -> subprocess.Popen[str]:
        """Start the command with the fake networks."""
        fake = ROOT / "tests" / "doubles" / "fake_labeller.py"
        program = [sys.executable, str(fake), "label", str(images)]
        log = self.log.open("a")
        return subprocess.Popen(
            [*program, "-o", str(output), "--json", *flags],
            env={**self.env, **env},
            stdout=log,
            stderr=log,
            text=True,
        )

    def add_image(self, images: Path, name: str) -> Path:
        """Give a fault its own folder with one more image; return the folder."""
        images.unlink()
        write_images(images, _NUM_IMAGES)
        write_images(images, 1, [name])
        return images


def read_rows(output: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the rows by name, and the names that stand more than once.

    The reason of a failed row is left out: it tells how its worker died.
    """
    found = [{**row, "error": bool(row["error"])} for row in iterate_rows(output)]
    counts = Counter(row["file_name"] for row in found)
    doubled = sorted(name for name, count in counts.items() if count > 1)
    return {row["file_name"]: row for row in found}, doubled


def wait_for(is_true: Callable[[], Any]) -> None:
    """Wait until something holds; give up after some minutes."""
    until_s = time.monotonic() + _WAIT_S
    while not is_true():
        if time.monotonic() > until_s:
            raise TimeoutError("the run did not get on")
        time.sleep(0.05)


def find_workers(output: Path) -> list[int]:
    """Return the processes of the actors that are labelling, as status.json names them."""
    with suppress(OSError, ValueError, KeyError):
        workers = json.loads((output / "status.json").read_text())["progress"]["workers"]
        return [int(item["name"].rpartition(":")[2]) for item in workers if item["state"] != "lost"]
    return []


def kill_worker(bench: Bench, images: Path, output: Path) -> tuple[dict, dict]:
    """Kill -9 of an actor in the middle of a shard."""
    run = bench.start(images, output)
    bench.wait_for_parts(run, output, 2)
    wait_for(lambda: find_workers(output))
    os.kill(find_workers(output)[0], signal.SIGKILL)
    return {}, {"exit_code": run.wait()}


def kill_driver(bench: Bench, images: Path, output: Path) -> tuple[dict, dict]:
    """Kill -9 of the command, and the same command again at once."""
    run = bench.start(images, output)
    bench.wait_for_parts(run, output, 4)
    run.kill()
    run.wait()
    return {}, {"exit_code": bench.start(images, output).wait()}


def kill_head(bench: Bench, images: Path, output: Path) -> tuple[dict, dict]:
    """Kill -9 of Ray's head (GCS), and the same command again."""
    run = bench.start(images, output)
    bench.wait_for_parts(run, output, 2)
    for name in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):
            environment = (name.parent / "environ").read_bytes()
            if (
                name.read_text() == "gcs_server\n"
                and f"HOME={bench.folder}\0".encode() in environment
            ):
                os.kill(int(name.parent.name), signal.SIGKILL)
    first, state = run.wait(), json.loads((output / "run.json").read_text())["state"]
    return {}, {"exit_codes": [first, bench.start(images, output).wait()], "state": state}


def interrupt(bench: Bench, images: Path, output: Path) -> tuple[dict, dict]:
    """Ctrl-C, again; then SIGTERM, and again."""
    codes = []
    for number, parts in ((signal.SIGINT, 2), (signal.SIGTERM, 6)):
        run = bench.start(images, output)
        bench.wait_for_parts(run, output, parts)
        run.send_signal(number)
        codes.append(run.wait())
    return {}, {"exit_codes": [*codes, bench.start(images, output).wait()]}


def poison(bench: Bench, images: Path, output: Path) -> tuple[dict, dict]:
    """An image that kills whatever process decodes it."""
    bench.add_image(images, "0100_poison.png")
    return _expect_failure(bench, images, output, "0100_poison.png")


def hang(bench: Bench, images: Path, output: Path) -> tuple[dict, dict]:
    """An image at which a worker stands still for ever."""
    bench.add_image(images, "0100_hang.png")
    return _expect_failure(bench, images, output, "0100_hang.png", "--image-timeout", "4")


def _expect_failure(
    bench: Bench, images: Path, output: Path, name: str, *flags: str
) -> tuple[dict, dict]:
    code = bench.start(images, output, (*_FLAGS, *flags)).wait()
    (row,) = [row for row in iterate_rows(output) if row["file_name"] == name]
    expected = {**row, "status": "failed", "error": True, "objects": []}
    return {name: expected}, {"exit_code": code, "reason": row["error"]}


def lose_node(bench: Bench, images: Path, output: Path) -> tuple[dict, dict]:
    """One of two nodes goes away in the middle; later a new one comes."""
    # Slow images, so that the third node comes before the end.
    seconds_an_image = 5 * _SECONDS_AN_IMAGE
    slower_s = _NUM_IMAGES * (seconds_an_image - _SECONDS_AN_IMAGE) / 2
    cluster = MiniCluster(bench, seconds_an_image=seconds_an_image)
    try:
        run = bench.start(images, output, (*_FLAGS, "--address", cluster.address))
        wait_for(lambda: len(find_workers(output)) == 2 or run.poll() is not None)
        bench.wait_for_parts(run, output, len(list_parts(output)) + 2)
        cluster.remove_node()
        bench.wait_for_parts(run, output, len(list_parts(output)) + 1)
        cluster.add_node()
        return {}, {"exit_code": run.wait(), "slower_s": slower_s}
    finally:
        cluster.stop()


def _compare_times(seconds: float, quiet_s: float) -> dict[str, float]:
    """Return what `Bench.measure` would say, against an undisturbed run of the same cluster."""
    return {"seconds": round(seconds, 1), "seconds_lost": round(seconds - quiet_s, 1)}


def press_object_store(bench: Bench, images: Path, output: Path) -> tuple[dict, dict]:
    """An object store of 80 MB that another job of the cluster keeps full."""
    cluster = MiniCluster(bench, store_bytes=80_000_000)
    quiet_s = cluster.time_run(bench, images, bench.folder / "quiet_store")
    filler = subprocess.Popen(
        [sys.executable, "-c", _FILLER, cluster.address], env=bench.env, stderr=subprocess.DEVNULL
    )
    try:
        start_s = time.monotonic()
        run = bench.start(images, output, (*_FLAGS, "--address", cluster.address))
        code, seconds = run.wait(), time.monotonic() - start_s
        return {}, {"exit_code": code, **_compare_times(seconds, quiet_s)}
    finally:
        filler.kill()
        filler.wait()
        cluster.stop()


def fill_disk(bench: Bench, images: Path, output: Path) -> tuple[dict, dict]:
    """The output's disk is full after some parts; it gets room, and the command is repeated."""
    output.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(output)]
    subprocess.run(mount, check=True)
    try:
        first = bench.start(images, output).wait()
        grow = ["mount", "-o", "remount,size=10M", str(output)]
        subprocess.run(grow, check=True)
        second = bench.start(images, output).wait()
        kept = read_rows(output)
        copy = bench.folder / "fill_disk_copy"
        subprocess.run(["cp", "-r", str(output), str(copy)], check=True)
    finally:
        subprocess.run(["umount", str(output)], check=True)
    assert kept[0]
    output.rmdir()
    copy.rename(output)
    return {}, {"exit_codes": [first, second]}


class MiniCluster:
    """A head without CPUs and two nodes of one CPU each, as processes of this machine.

    Args:
        bench: whose environment it lives in.
        store_bytes: of each node's object store.
        seconds_an_image: what the fake networks sleep on its nodes.
    """

    def __init__(
        self,
        bench: Bench,
        store_bytes: int = 100_000_000,
        seconds_an_image: float = _SECONDS_AN_IMAGE,
    ) -> None:
        os.environ.update({name: bench.env[name] for name in ("HOME", "RAY_TMPDIR", "PYTHONPATH")})
        os.environ["FAKE_SECONDS"] = str(seconds_an_image)
        from ray.cluster_utils import Cluster

        self._options = {"num_cpus": 1, "object_store_memory": store_bytes}
        head = {"num_cpus": 0, "object_store_memory": store_bytes, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self._nodes = [self._cluster.add_node(**self._options) for _ in range(2)]
        self._cluster.wait_for_nodes()
        self.address = self._cluster.address

    def time_run(self, bench: Bench, images: Path, output: Path) -> float:
        """Return the seconds of an undisturbed run on this cluster."""
        start_s = time.monotonic()
        bench.start(images, output, (*_FLAGS, "--address", self.address)).wait()
        return time.monotonic() - start_s

    def remove_node(self) -> None:
        """Kill one node with its workers."""
        self._cluster.remove_node(self._nodes.pop(0), allow_graceful=False)

    def add_node(self) -> None:
        """Start one more node."""
        self._nodes.append(self._cluster.add_node(**self._options))

    def stop(self) -> None:
        """End all processes."""
        self._cluster.shutdown()


_FILLER = """
import sys, time, numpy, ray
ray.init(address=sys.argv[1], log_to_driver=False)
kept = []
while True:
    kept = [*kept, ray.put(numpy.zeros(6_000_000, numpy.uint8))][-12:]
    time.sleep(0.2)
"""

FAULTS: dict[str, Callable[[Bench, Path, Path], tuple[dict, dict]]] = {
    "worker_killed": kill_worker,
    "driver_killed": kill_driver,
    "head_killed": kill_head,
    "interrupted": interrupt,
    "poison_image": poison,
    "hang": hang,
    "node_lost_and_added": lose_node,
    "object_store_full": press_object_store,
    "disk_full": fill_disk,
}


def format_table(found: dict[str, dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    titles = "fault", "images", "lost", "doubled", "other rows", "workers lost", "seconds lost"
    lines = [f"| {' | '.join((*titles, 'exit code'))} |", "|---" * 8 + "|"]
    for name, row in found.items():
        code = row.get("exit_code", row.get("exit_codes"))
        what = (FAULTS[name].__doc__ or name).split("\n")[0].rstrip(".")
        counts = (len(row[key]) for key in ("lost", "doubled", "other"))
        lines.append(
            f"| {what} | {row['images']} | " + " | ".join(map(str, counts))
            + f" | {row['workers_lost']} | {row['seconds_lost']} | {code} |"
        )  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
