"""Run one stage in a second process while this process runs the other stages."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from nbseg.engine.output import cause_of_failure, redirect_output
from nbseg.engine.work_dir import WorkDir
from nbseg.errors import StageError

BESIDE = "control"  # the stage that can run in the second process
GPUS = "CUDA_VISIBLE_DEVICES"


def check_jobs(jobs: int, launcher: str, resume: str | None) -> None:
    """Raise a ValueError if options of a run exclude a second process.

    Args:
        jobs: number of processes that train at the same time; 1 or 2.
        launcher: ``"none"``, or the launcher that started the processes of a distributed run. A
            distributed run cannot start a second process.
        resume: None, ``"auto"``, or the path of a checkpoint. A path excludes a second process,
            because only one training can continue from the checkpoint.
    """
    if jobs > 1 and (launcher != "none" or resume not in (None, "auto")):
        raise ValueError(
            "--jobs 2 works neither with --launcher nor with --resume CHECKPOINT; remove --jobs 2 "
            "or the other option"
        )


def in_two_processes(
    run: Callable[[str], None],
    stages: Sequence[str],
    beside: bool,
    config: Config,
    work_dir: WorkDir,
) -> None:
    """Run the stage ``control`` in a second process, and the other stages in this process.

    Both processes work at the same time. Each process uses half of the CPU threads. If there are
    several GPUs, the second process uses the second GPU. The second process ends if another stage
    fails or the first process is killed.

    Args:
        run: function that runs the stage with a given name. The second process gets a pickled copy
            of this function.
        stages: names of all stages of the run, in order.
        beside: whether to start the second process; False if ``control`` is finished or not among
            the stages. If False, this process runs all stages, and also uses only half of the
            threads. With another number of threads, rounding errors would differ, but a resumed run
            must give the same results as an uninterrupted run.
        config: config of the run; the second process first imports the modules in its
            ``custom_imports``.
        work_dir: the run's paths; the second process writes its output to the log of ``control``.

    Raises:
        StageError: the second process failed; the message quotes the cause from its output.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2))
    try:
        if beside:
            _run_beside(run, [name for name in stages if name != BESIDE], config, work_dir)
        else:
            for name in stages:
                run(name)
    finally:
        torch.set_num_threads(threads)


def _run_beside(
    run: Callable[[str], None],
    stages: Sequence[str],
    config: Config,
    work_dir: WorkDir,
) -> None:
    log = work_dir.log(BESIDE)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    size = log.stat().st_size
    # A forked process could not use CUDA, and would wait for OpenMP threads that it does not have.
    process = multiprocessing.get_context("spawn").Process(
        target=_run_in_second_process,
        args=(run, BESIDE, config.get("custom_imports"), log, torch.get_num_threads(), os.getpid()),
    )
    print(f"[{BESIDE}] runs in a second process, which writes its output to {log}", flush=True)
    _start(process)
    try:
        for name in stages:
            _refuse_failure(process, log, size)
            run(name)
        if process.is_alive():
            print(f"[{BESIDE}] is still running; its output is in {log}", flush=True)
        process.join()
        _refuse_failure(process, log, size)
    finally:
        process.terminate()
        process.join()


def _start(process: BaseProcess) -> None:
    """Start a process. If there are several GPUs, the process sees only the second GPU."""
    visible = os.environ.get(GPUS)
    if torch.cuda.device_count() > 1:
        os.environ[GPUS] = visible.split(",")[1] if visible else "1"
    try:
        process.start()
    finally:
        if visible is None:
            os.environ.pop(GPUS, None)
        else:
            os.environ[GPUS] = visible


def _refuse_failure(process: BaseProcess, log: Path, size: int) -> None:
    """Raise a StageError if the process failed; its output begins at byte ``size`` of the log."""
    if not process.exitcode:
        return
    code = process.exitcode
    reason = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
    raise StageError(
        f"stage {BESIDE} failed with {reason}: {cause_of_failure(log, size)} (see {log}); remove "
        "the cause, then continue with --resume"
    )


def _run_in_second_process(
    run: Callable[[str], None],
    stage: str,
    imports: dict[str, Any] | None,
    log: Path,
    threads: int,
    first: int,
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: _die())
    threading.Thread(target=_die_after, args=(first,), daemon=True).start()
    redirect_output(log)
    torch.set_num_threads(threads)
    if imports:
        import_modules_from_strings(**imports)
    run(stage)


def _die_after(first: int) -> None:
    """End this process when its parent, the process with the id ``first``, has ended."""
    while os.getppid() == first:
        time.sleep(1)
    _die()


def _die() -> None:
    """End this process and its data-loader workers, which would otherwise wait forever."""
    for worker in multiprocessing.active_children():
        worker.kill()
    os._exit(1)
