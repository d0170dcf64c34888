"""Runs what is not finished, several runs at a time; one that fails leaves the others running."""

import contextlib
import fcntl
import gc
import multiprocessing
import os
import re
import runpy
import shlex
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import torch
import torch._dynamo  # every optimizer imports it; here, the forks have it already

from nbseg.experiments.machine import gpus_of_jobs, machine
from nbseg.experiments.run import Run
from nbseg.files import write_json

RECORD = "run.json"
LOG = "log.txt"
# What says why a training ended, of all that it and its launcher print; the launcher ends (signal
# 15) those that have not failed.
REASON = re.compile(
    r"(?P<process>\[rank\d+\]: ?)?"
    r"(train\.py: |(?!.*ChildFailed)[\w.]*(Error|Exception)\b|traceback : Signal (?!15 ))"
)


class Running(NamedTuple):
    """A run's process, when it started, its place among those for runs, and its log's length then.

    An earlier attempt may have left a log.
    """

    process: BaseProcess
    start: float
    place: int
    log: int


def in_order(runs: Iterable[Run]) -> list[Run]:
    """Return the runs and all that they need, each once, what is needed before what needs it."""
    ordered: dict[str, Run] = {}

    def add(run: Run) -> None:
        for earlier in run.before():
            add(earlier)
        ordered.setdefault(run.name, run)

    for run in runs:
        add(run)
    return list(ordered.values())


class Schedule:
    """Runs in one work directory.

    Args:
        work_dir: of all runs; one schedule at a time may use it.
        tools: folder of train.py.
        jobs: runs beside one another, which share the cores and the GPUs.
        gpus: of each run.
        fork: whether a run is a fork of this process, which saves it the seconds of importing
            torch and MMDetection; CUDA does not survive it.

    Raises:
        ValueError: the runs beside one another need more GPUs than there are.
    """

    def __init__(
        self, work_dir: Path, tools: Path, jobs: int = 1, gpus: int = 1, fork: bool = False
    ) -> None:
        self.work_dir = work_dir
        self.tools = tools
        self.jobs = jobs
        self.gpus = gpus
        self.fork = fork
        self.devices = gpus_of_jobs(jobs, gpus)
        self.threads = max(1, len(os.sched_getaffinity(0)) // (jobs * gpus))

    def run(self, runs: Iterable[Run]) -> dict[str, str]:
        """Run what is not finished, in order.

        Returns:
            Why, by name, for each run that failed or could not start.

        Raises:
            BlockingIOError: another process uses the work directory.
        """
        ordered = in_order(runs)
        with self._locked():
            waiting = [run for run in ordered if not run.finished(self.work_dir)]
            total, done = len(waiting), 0
            print(
                f"{len(ordered)} runs, {len(ordered) - total} of them finished before", flush=True
            )
            failed: dict[str, str] = {}
            running: dict[Run, Running] = {}
            seconds: list[float] = []
            gc.freeze()  # the forks' collections need not walk what is imported here
            try:
                while waiting or running:
                    self._drop_hopeless(waiting, failed)
                    self._start_some(waiting, running)
                    if not running:
                        continue
                    wait([own.process.sentinel for own in running.values()])
                    for run, (process, start, _, log) in list(running.items()):
                        if process.exitcode is None:
                            continue
                        del running[run]
                        done += 1
                        took = time.monotonic() - start
                        if process.exitcode or not run.finished(self.work_dir):
                            failed[run.name] = self._reason(run, process.exitcode, log)
                            print(f"[{done}/{total}] FAILED {run.name}: {failed[run.name]}")
                            continue
                        seconds.append(took)
                        left = (len(waiting) + len(running)) * sum(seconds) / len(seconds)
                        print(
                            f"[{done}/{total}] {run.name}: {took:.0f} s; "
                            f"about {left / self.jobs / 60:.0f} min left",
                            flush=True,
                        )
            finally:
                gc.unfreeze()
                for own in running.values():
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(own.process.pid, signal.SIGTERM)
                    own.process.join()
        return failed

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the work directory; a forked run that outlives its parent holds it on."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        with (self.work_dir / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BlockingIOError(
                    f"{self.work_dir} is in use by another process: wait for it or end it, or "
                    "choose another --work-dir"
                ) from error
            os.set_inheritable(file.fileno(), True)
            yield

    def _drop_hopeless(self, waiting: list[Run], failed: dict[str, str]) -> None:
        for run in list(waiting):
            missing = [earlier.name for earlier in run.before() if earlier.name in failed]
            if missing:
                waiting.remove(run)
                failed[run.name] = f"needs {missing[0]}, which failed"

    def _start_some(self, waiting: list[Run], running: dict[Run, Running]) -> None:
        for run in list(waiting):
            if len(running) == self.jobs:
                return
            if all(earlier.finished(self.work_dir) for earlier in run.before()):
                waiting.remove(run)
                context = multiprocessing.get_context("fork")
                place = min(set(range(self.jobs)) - {own.place for own in running.values()})
                log = self.work_dir / run.folder / LOG
                length = log.stat().st_size if log.exists() else 0
                process = context.Process(target=self._execute, args=(run, self.devices[place]))
                process.start()
                # Here and in the process: whichever is first, it can be ended from now on.
                with contextlib.suppress(OSError):
                    os.setpgid(process.pid, process.pid)
                running[run] = Running(process, time.monotonic(), place, length)

    def _execute(self, run: Run, devices: str | None) -> None:
        """Be the run: in its own process group, with its output in its folder."""
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if devices is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = devices
        folder = self.work_dir / run.folder
        folder.mkdir(parents=True, exist_ok=True)
        command = run.command(self.work_dir, self.tools, self.gpus)
        write_json(
            folder / RECORD,
            {
                "command": shlex.join(command),
                "date": datetime.now(timezone.utc).date().isoformat(),
                "machine": machine(),
            },
            indent=1,
        )
        with (folder / LOG).open("a") as log:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        sys.stdout = os.fdopen(1, "w", buffering=1)
        sys.stderr = os.fdopen(2, "w", buffering=1)
        if not self.fork:
            os.environ["OMP_NUM_THREADS"] = str(self.threads)
            os.execvp(command[0], command)
        torch.set_num_threads(self.threads)
        sys.argv = command[1:]
        runpy.run_path(command[1], run_name="__main__")

    def _reason(self, run: Run, exit_code: int, start: int) -> str:
        """Return the line of the log, from ``start`` on, that says why; or else the last one.

        Of several processes the first that failed has the reason: the others fail for lack of it.
        """
        log = self.work_dir / run.folder / LOG
        content = log.read_bytes()[start:] if log.exists() else b""
        # What follows is said by a process that is ending.
        text = content.decode(errors="replace").split("\nException ignored")[0]
        lines = [line.strip() for line in text.split("\n") if line.strip()] or ["no output"]
        found = [match for line in lines if (match := REASON.match(line))]
        first = [match.string for match in found if match["process"] == found[0]["process"]]
        return f"exit code {exit_code}, {first[-1] if first else lines[-1]} ({log})"
