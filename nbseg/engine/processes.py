"""Connect the processes of a run, and print an error only once if all processes raise it."""

import os
import time
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import init_dist, is_distributed, is_main_process

from nbseg.errors import StageError

# For each launcher: the environment variables that the launcher sets, and the script that starts
# the launcher. The first variable is the rank of a process among all processes, the second variable
# is the rank among the processes of the same machine.
LAUNCHERS = {
    "pytorch": (
        ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
        "tools/dist_train.sh CONFIG PROCESSES",
    ),
    "slurm": (
        ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SLURM_NODELIST"),
        "tools/slurm_train.sh PARTITION JOB CONFIG GPUS",
    ),
}
# Launchers end the other processes well within this time after the main process has failed.
SECONDS_FOR_MAIN_PROCESS = 10.0


def add_launcher_options(parser: ArgumentParser) -> None:
    """Add the option ``--launcher`` to a tool, and accept the option ``--local_rank``.

    Old versions of PyTorch's launcher pass ``--local_rank``; the tool does not use its value.
    """
    parser.add_argument(
        "--launcher",
        choices=["none", *LAUNCHERS],
        default="none",
        help="launcher that started the processes of a distributed run; default: none",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=SUPPRESS)


def init_processes(launcher: str, config: Config) -> None:
    """Connect this process to the other processes of the run.

    On a machine without GPUs, the backend is ``gloo`` instead of ``nccl``.

    Args:
        launcher: ``"pytorch"`` or ``"slurm"``; ``"none"`` does nothing.
        config: config whose ``env_cfg.dist_cfg`` may set ``backend`` and ``timeout``. The timeout
            is the time in seconds that processes wait for one another.

    Raises:
        StageError: the launcher did not start this process, or this machine has GPUs, but fewer
            GPUs than processes.
    """
    if launcher == "none" or is_distributed():
        return
    variables, script = LAUNCHERS[launcher]
    missing = [name for name in variables if name not in os.environ]
    if missing:
        raise StageError(
            f"--launcher {launcher} needs the environment variables {', '.join(variables)}; "
            f"missing: {', '.join(missing)}. Start the run with {script}, or remove --launcher"
        )
    local_rank = os.environ[variables[1]]
    settings = dict(config.get("env_cfg", {}).get("dist_cfg", {}))
    if get_device() != "cpu":
        devices = torch.cuda.device_count()
        if get_device() == "cuda" and int(local_rank) >= devices:
            raise StageError(
                f"process {int(local_rank) + 1} of this machine has no GPU of its own, because "
                f"torch finds only {devices} GPU(s); start at most {devices} process(es) on this "
                "machine"
            )
        init_dist(launcher, **settings)
        return
    if settings.get("backend", "nccl") == "nccl":
        settings["backend"] = "gloo"
    # MMEngine makes torch select the GPU of this number; for a negative number torch selects none.
    os.environ[variables[1]] = "-1"
    try:
        init_dist(launcher, **settings)
    finally:
        os.environ[variables[1]] = os.environ["LOCAL_RANK"] = local_rank


def distribute(plain: Config, launcher: str) -> None:
    """Set the launcher in an MMDetection config, in place.

    If this machine has no GPU, also configure the model's wrapper (DDP) for CPUs.
    """
    plain.launcher = launcher
    if launcher == "none" or get_device() != "cpu":
        return
    wrapper = plain.get("model_wrapper_cfg") or {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,  # as in MMEngine's default
        "find_unused_parameters": plain.get("find_unused_parameters", False),
    }
    # MMEngine would set device_ids to the number of a GPU.
    plain.model_wrapper_cfg = {"device_ids": None, **wrapper}


@contextmanager
def failing_as_one(launcher: str) -> Iterator[None]:
    """Print an error only once, although all processes raise the error in a ``with`` block.

    All processes except the main one wait for ten seconds before they raise the error. If the main
    process fails, too, the launcher ends the waiting processes, so that only the main process
    prints the error. If the main process does not fail, a waiting process prints its error after
    the ten seconds.

    Args:
        launcher: ``"pytorch"`` or ``"slurm"``; with ``"none"``, no process waits.
    """
    try:
        yield
    except (Exception, SystemExit):
        rank = LAUNCHERS[launcher][0][0] if launcher in LAUNCHERS else None
        if rank and int(os.environ.get(rank, 0)):
            time.sleep(SECONDS_FOR_MAIN_PROCESS)
        raise


def announce(line: str) -> None:
    """Print a line, in the main process only."""
    if is_main_process():
        print(line, flush=True)
