"""Describes this machine and assigns its GPUs to parallel jobs."""

import os
import platform
from pathlib import Path

import torch

import nbseg


def describe_machine() -> str:
    """Return a text that names the GPUs or CPU cores, and the versions of torch and nbseg.

    The CPU cores are named only if there is no GPU.
    """
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


def gpus_of_jobs(jobs: int, gpus: int) -> list[str | None]:
    """Return the value of the variable ``CUDA_VISIBLE_DEVICES`` for each parallel job.

    On a machine without GPUs, each value is None.

    Args:
        jobs: number of parallel jobs.
        gpus: number of GPUs of each job.

    Raises:
        ValueError: the machine has GPUs, but fewer than the jobs need.
    """
    count = torch.cuda.device_count()
    if count == 0:
        return [None] * jobs
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",")[:count] if visible else [str(number) for number in range(count)]
    if len(names) < jobs * gpus:
        raise ValueError(
            f"--jobs {jobs} with --gpus {gpus} needs {jobs * gpus} GPUs, found {len(names)}; "
            "choose a smaller --jobs or --gpus"
        )
    return [",".join(names[job * gpus : (job + 1) * gpus]) for job in range(jobs)]
