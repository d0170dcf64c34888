"""Run a stage in a second process while this process runs the other stages."""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from nbseg.engine.work_dir import WorkDir
from nbseg.errors import StageError


@contextmanager
def second_process(
    run: Callable[[str], None], stage: str, config: Config, work_dir: WorkDir
) -> Iterator[None]:
    """Run a stage in a second process during the ``with`` block, and wait for its end.

    The two processes share the CPU threads. If there are several GPUs, the second process uses the
    second one. The second process ends if the block raises an error or if the first process dies.

    Args:
        run: function that runs a stage with a given name; the second process gets a pickled copy.
        stage: name of the stage.
        config: config of the run; the second process first imports its ``custom_imports``.
        work_dir: folder of the run; the second process writes its output to ``work_dir.log``.

    Raises:
        StageError: the stage failed; the message quotes the last line of the log.
    """
    log, threads = work_dir.log(stage), torch.get_num_threads()
    torch.set_num_threads(max(1, threads // 2))
    log.parent.mkdir(parents=True, exist_ok=True)
    # A forked process could not use CUDA, and would wait for OpenMP threads that it does not have.
    process = multiprocessing.get_context("spawn").Process(
        target=_run_in_second_process,
        args=(run, stage, config.get("custom_imports"), log, torch.get_num_threads()),
    )
    with _second_gpu():
        process.start()
    print(f"[{stage}] runs in a second process, which writes its output to {log}", flush=True)
    try:
        yield
        if process.is_alive():
            print(f"[{stage}] is still running ({log})", flush=True)
        process.join()
    finally:
        process.terminate()
        process.join()
        torch.set_num_threads(threads)
    if process.exitcode:
        lines = [line for line in log.read_text(errors="replace").split("\n") if line.strip()]
        raise StageError(
            f"stage {stage} failed with exit code {process.exitcode}: "
            f"{lines[-1].strip() if lines else 'no output'} ({log}); remove the cause, then "
            "continue with --resume"
        )


def _run_in_second_process(
    run: Callable[[str], None],
    stage: str,
    imports: dict[str, Any] | None,
    log: Path,
    threads: int,
) -> None:
    threading.Thread(target=_die_with_first_process, daemon=True).start()
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    torch.set_num_threads(threads)
    import_modules_from_strings(**(imports or {"imports": []}))
    run(stage)


def _die_with_first_process() -> None:
    first = multiprocessing.parent_process()
    assert first is not None  # because multiprocessing started this process
    wait([first.sentinel])
    os._exit(1)


@contextmanager
def _second_gpu() -> Iterator[None]:
    """Let processes that start in the ``with`` block see only the second GPU, if there is one."""
    name = "CUDA_VISIBLE_DEVICES"
    visible = os.environ.get(name)
    gpus = visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]
    if len(gpus) < 2:
        yield
        return
    os.environ[name] = gpus[1]
    try:
        yield
    finally:
        os.environ.pop(name) if visible is None else os.environ.update({name: visible})
