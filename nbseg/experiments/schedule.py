"""Runs what is not finished, several runs at a time; one that fails leaves the others running."""

import contextlib
import fcntl
import gc
import multiprocessing
import os
import platform
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

import torch
import torch._dynamo  # every optimiser imports it; here, the forks have it already

import nbseg
from nbseg.experiments.run import Run
from nbseg.files import write_json

RECORD = "run.json"
LOG = "log.txt"


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
        tools: folder of train.py and dist_train.sh.
        jobs: runs beside one another, which share the cores.
        gpus: of each run.
        fork: whether a run is a fork of this process, which saves it the seconds of importing
            torch and MMDetection; CUDA does not survive it.
    """

    def __init__(
        self, work_dir: Path, tools: Path, jobs: int = 1, gpus: int = 1, fork: bool = False
    ) -> None:
        self.work_dir = work_dir
        self.tools = tools
        self.jobs = jobs
        self.gpus = gpus
        self.fork = fork
        self.threads = max(1, len(os.sched_getaffinity(0)) // jobs)

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
            running: dict[Run, tuple[BaseProcess, float]] = {}
            seconds: list[float] = []
            gc.freeze()  # the forks' collections need not walk what is imported here
            try:
                while waiting or running:
                    self._drop_hopeless(waiting, failed)
                    self._start_some(waiting, running)
                    if not running:
                        continue
                    wait([process.sentinel for process, _ in running.values()])
                    for run, (process, start) in list(running.items()):
                        if process.exitcode is None:
                            continue
                        del running[run]
                        done += 1
                        took = time.monotonic() - start
                        if process.exitcode or not run.finished(self.work_dir):
                            failed[run.name] = self._last_line(run, process.exitcode)
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
                for process, _ in running.values():
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGTERM)
                    process.join()
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

    def _start_some(
        self, waiting: list[Run], running: dict[Run, tuple[BaseProcess, float]]
    ) -> None:
        for run in list(waiting):
            if len(running) == self.jobs:
                return
            if all(earlier.finished(self.work_dir) for earlier in run.before()):
                waiting.remove(run)
                context = multiprocessing.get_context("fork")
                process = context.Process(target=self._execute, args=(run,))
                process.start()
                running[run] = process, time.monotonic()

    def _execute(self, run: Run) -> None:
        """Be the run: in its own process group, with its output in its folder."""
        os.setpgid(0, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
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

    def _last_line(self, run: Run, exit_code: int) -> str:
        log = self.work_dir / run.folder / LOG
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
        return f"exit code {exit_code}, {last} ({log})"


def machine() -> str:
    """Return what a run runs on, in words."""
    if torch.version.cuda and torch.cuda.is_available():
        device = f"{torch.cuda.device_count()} × {torch.cuda.get_device_name()}"
    else:
        info = Path("/proc/cpuinfo")
        names = [
            line.partition(":")[2].strip()
            for line in (info.read_text().splitlines() if info.exists() else ())
            if line.startswith("model name")
        ]
        name = names[0] if names else platform.machine()
        device = f"{len(os.sched_getaffinity(0))} CPU cores ({name})"
    return f"{device}, torch {torch.__version__}, nbseg {nbseg.__version__}"
