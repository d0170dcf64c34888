"""Estimate the time and the memory of the stages of a run, by running a few iterations."""

import copy
import gc
import logging
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from nbseg.engine.data_sets import annotation_files, leaves
from nbseg.engine.preflight.overlap import image_paths
from nbseg.engine.stage_runner import StageRunner
from nbseg.engine.task import StageTask

# The first iteration is not measured: it starts the workers, and compiles and allocates.
ITERATIONS = 4
IMAGES = 3
# Units of time: name, length in seconds, and the number from which the next unit is used.
UNITS = (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48), ("days", 86400, float("inf")))


class TimesHook(Hook):
    """Records the time at which each iteration ends, and computes the mean time of an iteration."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def after_train_iter(self, *args: Any, **options: Any) -> None:
        """Record the time at which this iteration ends."""
        self.ends.append(time.perf_counter())

    after_test_iter = after_train_iter

    @property
    def seconds(self) -> float:
        """Return the mean time of an iteration in seconds; the first iteration does not count.

        Raises:
            ValueError: there were fewer than two iterations.
        """
        if len(self.ends) < 2:
            raise ValueError(
                "measuring the time needs at least two images or iterations, found "
                f"{len(self.ends)}; add images"
            )
        return (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)


def estimate(tasks: Sequence[StageTask]) -> list[str]:
    """Run a few iterations of each stage, and estimate the time and the memory of the whole stage.

    No checkpoint of the run is read or written, and nothing is written to the work directory. The
    time does not include tests and validations. The memory does not include the data loaders'
    worker processes. If the pseudo-labels of a training do not exist yet, the training is measured
    with labeled images instead.

    Args:
        tasks: the stages that will run.

    Returns:
        A line for each stage that trains or predicts. If a stage cannot be measured, its line says
        why. The last line gives the total time of the measured stages and the peak memory.
    """
    lines, total = [], 0.0
    for task in tasks:
        if task.stage == "label":
            continue
        try:
            with tempfile.TemporaryDirectory() as folder, _quiet():
                config = copy.deepcopy(task.config)
                config.work_dir = folder
                if config.get("visualizer"):
                    config.visualizer.name = folder
                trains = bool(config.get("train_cfg"))
                seconds = _train(config) if trains else _predict(config)
        except Exception as error:  # a user's parts may raise any error, which the run will name
            lines.append(f"[{task.stage}] not estimated ({type(error).__name__}: {error})")
            continue
        if trains:
            count, what = task.config.train_cfg.get("max_iters"), "iterations"
        else:
            count = len(list(image_paths(task.config.test_dataloader.dataset)))
            what = "images"
        if not count:
            lines.append(f"[{task.stage}] about {seconds:.2g} s for each of the {what}")
            continue
        total += count * seconds
        lines.append(
            f"[{task.stage}] about {_duration(count * seconds)}: {count} {what} of {seconds:.2g} s"
        )
    if torch.cuda.is_available():
        memory, device = torch.cuda.max_memory_allocated() / 2**30, "of the GPU "
    else:
        memory, device = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, ""
    lines.append(
        f"estimate: about {_duration(total)} without tests, {memory:.1f} GB of memory {device}in "
        "the main process"
    )
    return lines


def _train(config: Config) -> float:
    """Run a few training iterations, and return the mean time of an iteration in seconds."""
    config.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": ITERATIONS}
    for mode in ("val", "test"):
        for part in ("cfg", "dataloader", "evaluator"):
            config[f"{mode}_{part}"] = None
    config.load_from, config.resume = None, False
    for key, value in (("burn_in", 0), ("teacher_checkpoint", None)):
        if key in config.model:  # an online teacher without its checkpoint, after its burn-in
            config.model[key] = value
    config.default_hooks.checkpoint = None
    sets = list(leaves(config.train_dataloader.dataset))
    there = [s for s in sets if all(file.exists() for file in annotation_files(s))]
    if not there:
        raise ValueError(
            "no json of the training images exists yet; first run the stages that write such a json"
        )
    made = there[0]
    for leaf in sets:
        if not all(file.exists() for file in annotation_files(leaf)):
            leaf["ann_file"], leaf["data_prefix"] = made["ann_file"], made["data_prefix"]
    return _timed(StageRunner.from_cfg(config), "train")


def _predict(config: Config) -> float:
    """Predict a few unlabeled images, and return the mean time of an image in seconds."""
    config.load_from = None
    config.test_dataloader.batch_size = 1
    for leaf in leaves(config.test_dataloader.dataset):
        leaf["indices"] = IMAGES
    return _timed(StageRunner.from_cfg(config), "test")


def _timed(runner: Runner, loop: str) -> float:
    times = TimesHook()
    runner.register_hook(times, priority="LOWEST")
    getattr(runner, loop)()
    del runner
    gc.collect()
    return times.seconds


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the runners' logs off the screen."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        # A later runner writes to its own work directory.
        MMLogger._instance_dict.clear()


def _duration(seconds: float) -> str:
    name, size, _ = next(unit for unit in UNITS if seconds / unit[1] < unit[2])
    return f"{seconds / size:.0f} {name}"
