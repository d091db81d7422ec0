"""Trainings of a second for actors of a cluster: what each process of the group does."""

import os
import signal
import time

from tiny_run import TinyStep, small_loop, train

from ovsam.errors import ConfigError
from ovsam.training.loop.distributed import join_ranks
from ovsam.training.loop.loop import TrainingRun


def run_small(request):
    """Twelve steps."""
    train(request.out, join_ranks(), TinyStep(dropout=0.5))


def run_slow(request):
    """As many as it takes until somebody stops it."""
    train(request.out, join_ranks(), TinyStep(pause_s=0.05), steps=2000)


def run_dying_once(request):
    """The second process dies in the middle of the first try."""
    ranks, step = join_ranks(), TinyStep(dropout=0.5)
    mark = request.out / "died"

    def compute(number, progress, random):
        if number == 7 and ranks.rank == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return step(number, progress, random)

    TrainingRun({"head": step.head}, small_loop(save_every=5), request.out, ranks).run(compute)


def run_dying_always(request):
    """No process lives long."""
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)


def run_refused(request):
    """The second process has something to say; the first waits for it."""
    if join_ranks().rank == 1:
        raise ConfigError("expected a, got b; do c")
    import torch.distributed as dist

    dist.barrier()
