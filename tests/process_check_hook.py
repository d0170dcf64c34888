"""A hook for runs of several processes (tests/process_runs.py)."""

import os
import signal
from pathlib import Path

import torch
from mmengine.dist import all_reduce_dict, broadcast, get_rank
from mmengine.hooks import Hook

from nbseg.files import write_json
from nbseg.registry import HOOKS


@HOOKS.register_module(force=True)
class ProcessCheckHook(Hook):
    """Records the mean losses of all processes, and ends or stops one process where it is asked to.

    The environment variable ``ENDED`` has a signal, a rank, a moment and a number of iterations,
    such as ``SIGKILL 1 train 3``.
    """

    priority = "LOWEST"

    def before_run(self, runner):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        losses = {name: value.detach().clone() for name, value in sorted(outputs.items())}
        all_reduce_dict(losses, "mean")
        self.losses.append({name: float(value) for name, value in losses.items()})
        self._end("train", batch_idx + 1)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        for name, buffer in runner.model.named_buffers():
            expected = buffer.clone()
            broadcast(expected)
            assert torch.equal(buffer, expected), f"{name} differs from the main process's"

    def before_test_iter(self, runner, batch_idx, data_batch=None):
        self._end(runner.cfg.experiment_name, batch_idx + 1)

    def after_train(self, runner):
        write_json(Path(runner.work_dir) / f"losses_{get_rank()}.json", self.losses)

    def _end(self, moment, iterations):
        name, *when = os.environ.get("ENDED", "none").split()
        if when == [str(get_rank()), moment, str(iterations)]:
            os.kill(os.getpid(), signal.Signals[name])
