"""Run programs in forked processes, which need not import everything again."""

import ctypes
import faulthandler
import gc
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What is imported here, forked processes need not import.
import matplotlib.pyplot  # noqa: F401
import setuptools  # noqa: F401
import torch
from mmengine.config import Config
from tiny_config import write_tiny_config
from yapf.yapflib import yapf_api

import nbseg.engine.run_summary
import nbseg.register  # noqa: F401

PR_SET_PDEATHSIG = 1  # of Linux's prctl: the signal that a process gets when its parent ends

TESTS = Path(__file__).resolve().parent
TRAIN = TESTS.parent / "tools" / "train.py"
LONGEST = 500.0  # seconds that a forked process may take


def prepare_to_fork():
    """Do once what would take long in each process."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)  # this call imports half of PyTorch
    # Laying out configs neatly would take most of a tiny training.
    yapf_api.FormatCode = lambda text, **style: (text, True)
    # MMEngine collects garbage for each data set, for which modules are best left out.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000)


def write_flat_config(folder, data, changes):
    """Write the config of a tiny run with changes, and return its path."""
    config, changed = folder / "config.py", folder / "changed.py"
    write_tiny_config(folder / "tiny.py", TESTS.parent, data)
    changed.write_text("_base_ = './tiny.py'" + changes)
    # Without its bases, a config is read in no time.
    config.write_text(Config.fromfile(changed).pretty_text)
    return config


def fork_program(program, arguments, log, environment=None):
    """Fork a process that leads its own group and runs a Python program; return its id.

    The process is killed if its parent ends before it. A process that takes longer than ``LONGEST``
    writes the stacks of its threads to the log and ends with 1.

    Args:
        program: path of the program.
        arguments: arguments of the program.
        log: file to which the process appends what it prints.
        environment: variables of the process, by name.
    """
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.environ.update(environment or {})
        for stream in (1, 2):
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        faulthandler.dump_traceback_later(LONGEST, exit=True, file=2)
        # Those of pytest write to files of its own.
        sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.argv = [str(program), *map(str, arguments)]
        runpy.run_path(str(program), run_name="__main__")
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code)
        else:
            status = end.code or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        os._exit(status)


def fork_processes(count, arguments, log, port, environment=None):
    """Fork processes that train together, as torchrun would start them; return their ids.

    Args:
        count: number of processes.
        arguments: arguments of tools/train.py, without the launcher.
        log: file of all processes' output.
        port: free port at which the processes meet.
        environment: further variables of the processes, by name.
    """
    return [
        fork_program(
            TRAIN,
            [*arguments, "--launcher", "pytorch"],
            log,
            {
                **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)},
                **(environment or {}),
                **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            },
        )
        for rank in range(count)
    ]


def wait_for(processes):
    """Wait for forked processes; return their exit codes.

    A process that does not even end by itself after ``LONGEST`` is killed with its group; its exit
    code is None.
    """
    end = time.monotonic() + LONGEST + 10
    codes = dict.fromkeys(processes)
    while None in codes.values() and time.monotonic() < end:
        for process, code in codes.items():
            if code is None:
                done, status = os.waitpid(process, os.WNOHANG)
                codes[process] = os.waitstatus_to_exitcode(status) if done else None
        time.sleep(0.01)
    for process, code in codes.items():
        if code is None:
            os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)
    return list(codes.values())


def run_program(program, *arguments):
    """Run a Python program that forks in a new process; return its exit code and its output.

    Other tests may have started threads in the process of pytest. A process that is forked while
    such a thread holds a lock can wait for this lock forever.
    """
    done = subprocess.run(
        [sys.executable, program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
    )
    return done.returncode, done.stdout
