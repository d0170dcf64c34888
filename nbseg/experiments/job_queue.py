"""Executes unfinished runs, several in parallel, each after the runs that it needs.

A run is one call of tools/train.py.
"""

import contextlib
import fcntl
import gc
import multiprocessing
import os
import runpy
import shlex
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import torch
import torch._dynamo  # needed by every optimizer; importing it here saves each fork an import

from nbseg.engine.output import cause_of_failure, redirect_output
from nbseg.experiments.hardware import describe_machine, gpus_of_jobs
from nbseg.experiments.run import Run
from nbseg.files import write_json

RECORD = "run.json"
LOG = "log.txt"


class RunningProcess(NamedTuple):
    """Holds the process of a run, and facts about this process.

    Attributes:
        process: the process.
        alive: reading end of a pipe. The process keeps the writing end open until it exits.
            ``process.sentinel`` would report the exit too early: the pipe of ``sentinel`` is closed
            as soon as the process replaces itself with another program (``os.execvp``).
        start: time of the start in seconds, as ``time.monotonic`` returned it.
        slot: number of the process among the parallel processes, from 0. The slot determines which
            GPUs the process uses.
        log_size: size of the log in bytes when the process started. The size is not 0 if an
            earlier attempt wrote to the log.
    """

    process: BaseProcess
    alive: Connection
    start: float
    slot: int
    log_size: int

    @property
    def pid(self) -> int:
        """Return the id of the process, which is also the id of its process group."""
        assert self.process.pid is not None  # because the process was started
        return self.process.pid


def in_order(runs: Iterable[Run]) -> list[Run]:
    """Return the runs, and all runs that they need, in an order in which they can be executed.

    Each run appears once, after the runs that it needs.
    """
    ordered: dict[str, Run] = {}

    def add(run: Run) -> None:
        for earlier in run.before():
            add(earlier)
        ordered.setdefault(run.name, run)

    for run in runs:
        add(run)
    return list(ordered.values())


class JobQueue:
    """Executes runs (calls of tools/train.py) in one work directory, several in parallel.

    Args:
        work_dir: work directory of all runs; only one queue at a time may use it.
        tools: folder that contains train.py.
        jobs: number of parallel runs. The CPU cores are divided among them.
        gpus: number of GPUs of each run.
        fork: whether to start runs as forks of this process. A fork starts seconds faster than a
            new Python process, because torch and MMDetection are already imported, but a fork
            cannot use CUDA.

    Raises:
        ValueError: the parallel runs need more GPUs than the machine has.
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
        """Execute the unfinished runs, each after the runs that it needs.

        Returns:
            A dictionary {run name: reason} with each run that failed or could not start, and the
            reason. The dictionary is empty if all runs finished.

        Raises:
            BlockingIOError: another process uses the work directory.
        """
        ordered = in_order(runs)
        with self._locked():
            waiting = [run for run in ordered if not run.finished(self.work_dir)]
            total, done = len(waiting), 0
            print(
                f"{len(ordered)} runs, {len(ordered) - total} of which are already finished",
                flush=True,
            )
            failed: dict[str, str] = {}
            running: dict[Run, RunningProcess] = {}
            seconds: list[float] = []
            gc.freeze()  # so that forks do not search all imported modules for garbage
            try:
                while waiting or running:
                    self._drop_hopeless(waiting, failed)
                    self._start_some(waiting, running)
                    if not running:
                        continue
                    ended = wait([current.alive for current in running.values()])
                    for run, (process, alive, start, _, log_size) in list(running.items()):
                        if alive not in ended:
                            continue
                        process.join()
                        alive.close()
                        del running[run]
                        done += 1
                        took = time.monotonic() - start
                        if process.exitcode or not run.finished(self.work_dir):
                            failed[run.name] = self._reason(run, process.exitcode, log_size)
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
                for current in running.values():
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(current.pid, signal.SIGTERM)
                    current.process.join()
                    current.alive.close()
        return failed

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the work directory. Runs inherit the lock and keep it if this process dies."""
        self.work_dir.mkdir(parents=True, exist_ok=True)
        with (self.work_dir / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BlockingIOError(
                    f"{self.work_dir} is in use by another process: wait until that process ends, "
                    "end it yourself, or choose another --work-dir"
                ) from error
            os.set_inheritable(file.fileno(), True)
            yield

    def _drop_hopeless(self, waiting: list[Run], failed: dict[str, str]) -> None:
        """Move runs that need a failed run from ``waiting`` to ``failed``."""
        for run in list(waiting):
            missing = [earlier.name for earlier in run.before() if earlier.name in failed]
            if missing:
                waiting.remove(run)
                failed[run.name] = f"not started, because the run needs {missing[0]}, which failed"

    def _start_some(self, waiting: list[Run], running: dict[Run, RunningProcess]) -> None:
        """Start waiting runs whose needed runs have finished, until all job slots are taken."""
        for run in list(waiting):
            if len(running) == self.jobs:
                return
            if all(earlier.finished(self.work_dir) for earlier in run.before()):
                waiting.remove(run)
                context = multiprocessing.get_context("fork")
                taken = {current.slot for current in running.values()}
                slot = min(set(range(self.jobs)) - taken)
                log = self.work_dir / run.folder / LOG
                log_size = log.stat().st_size if log.exists() else 0
                alive, held = context.Pipe(duplex=False)
                process = context.Process(
                    target=self._execute, args=(run, self.devices[slot], held)
                )
                process.start()
                held.close()
                started = RunningProcess(process, alive, time.monotonic(), slot, log_size)
                # Parent and child both create the process group. The group then exists before
                # either of them continues, so the parent can always end the run.
                with contextlib.suppress(OSError):
                    os.setpgid(started.pid, started.pid)
                running[run] = started

    def _execute(self, run: Run, devices: str | None, held: Connection) -> None:
        """Execute a run in this forked process; the output goes to the log in the run's folder.

        ``held`` is the writing end of the pipe that the parent process watches. It stays open until
        this process exits, so that the parent notices the exit.
        """
        os.setpgid(0, 0)
        os.set_inheritable(held.fileno(), True)  # else a new program would close the pipe
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
                "machine": describe_machine(),
            },
            indent=1,
        )
        redirect_output(folder / LOG)
        if not self.fork:
            os.environ["OMP_NUM_THREADS"] = str(self.threads)
            os.execvp(command[0], command)
        torch.set_num_threads(self.threads)
        sys.argv = command[1:]
        runpy.run_path(command[1], run_name="__main__")

    def _reason(self, run: Run, exit_code: int | None, log_size: int) -> str:
        """Return a text with the exit code, the log line that states the cause, and the log's path.

        The first ``log_size`` bytes of the log are skipped, because an earlier attempt wrote them.
        """
        log = self.work_dir / run.folder / LOG
        return f"exit code {exit_code}, {cause_of_failure(log, log_size)} ({log})"
