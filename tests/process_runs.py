"""Compare runs of one process and of several, and end processes in the middle of a run.

python tests/process_runs.py --work work_dirs/processes
python tests/process_runs.py --work work_dirs/processes --checks labels --processes 1 2 3

All runs are tiny and on CPUs; the processes communicate by gloo. The checks are:

labels    The predict and label stages write the same bytes with every number of processes.
curve     Two processes have the losses of one process with the same images per iteration.
killed    A process is killed in a training; the other ends with an error, and the resumed run ends
          with the weights of a run that nobody interrupted.
torchrun  A whole run by tools/dist_train.sh ends by itself.
failures  By tools/dist_train.sh: a process is killed in a training and while it predicts, one hangs
          for longer than the time-out, and the main process fails while others wait for it. Each
          run ends with an error, and a resumed one finishes.

The command prints a line for each check, and returns 1 if one fails.
"""

import argparse
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch
from forked_runs import (
    TESTS,
    TRAIN,
    fork_processes,
    fork_program,
    prepare_to_fork,
    wait_for,
    write_flat_config,
)

from nbseg.checkpoint import read_checkpoint
from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.engine.work_dir import WorkDir
from nbseg.files import read_json

CHECKS = ("labels", "curve", "killed", "torchrun", "failures")
TINY = """
randomness = dict(deterministic=True)
default_hooks = dict(checkpoint=dict(interval=2, max_keep_ckpts=2), logger=dict(interval=1))
custom_imports = dict(imports=['nbseg.register', 'process_check_hook'])
custom_hooks = [dict(type='ProcessCheckHook')]
env_cfg = dict(dist_cfg=dict(timeout=60))
"""
# Checkpoints lie between two steps of the optimizer. A validation follows the third iteration.
ACCUMULATED = """
teacher = dict(
    iterations=6, val_interval=3, val_begin=1, optim_wrapper=dict(accumulative_counts=4))
"""
# DistributedDataParallel averages the processes' mean losses, which is the mean of all images only
# where the means are taken over equally many entries: all anchors and proposals are used, none is
# drawn at random, and the only positive ones are the objects, two an image.
COMPARABLE = """
norm = dict(_delete_=True, type='GN', num_groups=2)
assigner = dict(pos_iou_thr=0.99, neg_iou_thr=0.99, min_pos_iou=0.99)
everything = dict(num=100000, pos_fraction=0.5)
param_scheduler = []
teacher = dict(
    iterations=20, batch_size={batch_size}, optim_wrapper=dict(optimizer=dict(lr=1e-2)))
plain_mask_head = dict(norm_cfg=norm)
model = dict(
    backbone=dict(norm_cfg=norm),
    neck=dict(norm_cfg=norm),
    roi_head=dict(bbox_head=dict(norm_cfg=norm)),
    train_cfg=dict(
        rpn=dict(assigner=assigner, sampler=everything),
        # Every image has 30 proposals: none is suppressed or too small.
        rpn_proposal=dict(nms=dict(iou_threshold=1.0), min_bbox_size=-1),
        rcnn=dict(assigner=assigner, sampler=everything)))
"""


def make_set(folder):
    """Make images with two objects each, and return their folder."""
    data = folder / "shapes"
    if not data.exists():
        made = folder / "new"
        shutil.rmtree(made, ignore_errors=True)
        generate_shapes(made, ShapesOptions(size=64, train=12, val=3))
        file = made / "annotations" / "instances_train.json"
        content, kept = json.loads(file.read_text()), []
        for image in list(content["images"]):
            own = [a for a in content["annotations"] if a["image_id"] == image["id"]]
            if len(own) < 2:
                content["images"].remove(image)
            else:
                kept += own[:2]
        content["annotations"] = kept
        file.write_text(json.dumps(content))
        made.rename(data)
    return data


class Runs:
    """Starts runs in one folder.

    Args:
        folder: folder of the set, the configs and the runs.
    """

    def __init__(self, folder):
        self.folder = folder
        self.data = make_set(folder)

    def config(self, name, changes=""):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return write_flat_config(folder, self.data, TINY + changes)

    def fork(self, count, config, name, *options, fresh=True, environment=None):
        """Run forked processes; return their exit codes and their output."""
        work_dir, log = self.folder / name, self.folder / f"{name}.log"
        if fresh:
            shutil.rmtree(work_dir, ignore_errors=True)
        log.write_text("")
        arguments = [config, "--work-dir", work_dir, *options]
        if count == 1:
            processes = [fork_program(TRAIN, arguments, log, environment)]
        else:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            processes = fork_processes(count, arguments, log, port, environment)
        return wait_for(processes), log.read_text()

    def finished(self, *arguments, **options):
        """Run forked processes, which must succeed; return the folder of the run."""
        codes, log = self.fork(*arguments, **options)
        if set(codes) != {0}:
            raise AssertionError(f"exit codes {codes}:\n{log}")
        return WorkDir(self.folder / arguments[2])

    @functools.cached_property
    def teacher(self):
        """The checkpoint of two processes that accumulated gradients and were not interrupted."""
        config = self.config("accumulated", ACCUMULATED)
        return self.finished(2, config, "whole", "--stages", "teacher").checkpoint("teacher")

    def torchrun(self, count, config, name, *options, environment=None):
        """Run processes by tools/dist_train.sh; return the exit code, the seconds, the output."""
        script = TESTS.parent / "tools" / "dist_train.sh"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        modules = os.pathsep.join([str(TESTS.parent), str(TESTS)])
        began = time.monotonic()
        arguments = [script, config, count, "--work-dir", self.folder / name, *options]
        done = subprocess.run(
            [str(argument) for argument in arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            env={**os.environ, "PATH": path, "PYTHONPATH": modules, **(environment or {})},
        )
        (self.folder / f"{name}.log").write_text(done.stdout)
        return done.returncode, time.monotonic() - began, done.stdout


def check_labels(runs, counts):
    """Compare the pseudo-labels of several numbers of processes."""
    config = runs.config("tiny")
    labels = {}
    for count in counts:
        checkpoint = f"teacher.checkpoint={runs.teacher}"
        options = ("--stages", "predict,label", "--cfg-options", checkpoint)
        made = runs.finished(count, config, f"labels_{count}", *options)
        labels[count] = made.pseudo_labels.read_bytes()
    first = labels[counts[0]]
    objects = len(json.loads(first)["annotations"])
    same = [count for count in counts if labels[count] == first]
    assert objects and same == list(counts), f"processes {same} agree, and others do not"
    numbers = ", ".join(map(str, counts))
    return f"{numbers} processes wrote the same {len(first)} bytes ({objects} objects)"


def check_curve(runs, counts):
    """Compare the losses of one process with four images and of two with two each."""
    curves = []
    for count in (1, 2):
        config = runs.config(f"batch_{4 // count}", COMPARABLE.format(batch_size=4 // count))
        made = runs.finished(count, config, f"curve_{count}", "--stages", "teacher")
        curves.append(read_json(made.folder("teacher") / "losses_0.json"))
    one, two = curves
    names = [name for name in one[0] if "loss" in name]
    differences = {
        name: max(abs(a[name] - b[name]) for a, b in zip(one, two, strict=True)) for name in names
    }
    worst = max(differences, key=differences.get)
    fall = one[0]["loss"] - one[-1]["loss"]
    assert differences[worst] < 1e-4 and fall > 0.1, f"{differences}; the loss fell by {fall}"
    return (
        f"{len(names)} losses over {len(one)} iterations differ by at most "
        f"{differences[worst]:.1e} ({worst}); the loss fell from {one[0]['loss']:.4f} by {fall:.4f}"
    )


def check_killed(runs, counts):
    """Kill a process in a training, resume, and compare the weights."""
    config, options = runs.config("accumulated", ACCUMULATED), ("--stages", "teacher")
    began = time.monotonic()
    codes, log = runs.fork(
        2, config, "killed", *options, environment={"ENDED": "SIGKILL 1 train 3"}
    )
    seconds = time.monotonic() - began
    assert codes[1] == -signal.SIGKILL and codes[0] not in (0, None), f"{codes}:\n{log}"
    resumed = runs.finished(2, config, "killed", *options, "--resume", fresh=False)
    same_weights(runs.teacher, resumed.checkpoint("teacher"))
    return f"the other ended with {codes[0]} after {seconds:.0f} s; resumed, the same weights"


def same_weights(expected, found):
    expected, found = (read_checkpoint(path)["state_dict"] for path in (expected, found))
    differing = [name for name in expected if not torch.equal(expected[name], found[name])]
    assert expected.keys() == found.keys() and not differing, f"differing: {differing}"


def check_torchrun(runs, counts):
    """Run all stages by torchrun."""
    shutil.rmtree(runs.folder / "torchrun", ignore_errors=True)
    code, seconds, log = runs.torchrun(2, runs.config("tiny"), "torchrun")
    assert code == 0, log
    assert set(read_json(runs.folder / "torchrun" / "metrics.json")) >= {"teacher", "student"}
    return f"all stages ended with 0 after {seconds:.0f} s"


def check_failures(runs, counts):
    """End or stop a process of torchrun at different moments, and resume each run."""
    config = runs.config("short_timeout", "env_cfg = dict(dist_cfg=dict(timeout=30))\n")
    lines = []
    for name, options, environment in (
        ("killed in training", (), {"ENDED": "SIGKILL 1 train 2"}),
        ("killed in predicting", (), {"ENDED": "SIGKILL 1 predict 1"}),
        ("main process killed", (), {"ENDED": "SIGKILL 0 predict 1"}),
        ("stopped in training", (), {"ENDED": "SIGSTOP 1 train 2"}),
        ("main process fails", ("--cfg-options", "label.floor=1.0"), {}),
    ):
        folder = f"torchrun_{name.replace(' ', '_')}"
        shutil.rmtree(runs.folder / folder, ignore_errors=True)
        stages = ("--stages", "teacher,predict,label")
        code, seconds, log = runs.torchrun(
            2, config, folder, *stages, *options, environment=environment
        )
        assert code, f"{name}: the run ended with 0:\n{log}"
        shutil.copy(runs.folder / f"{folder}.log", runs.folder / f"{folder}.first.log")
        again, _, log = runs.torchrun(2, config, folder, *stages, "--resume")
        assert again == 0, f"{name}: the resumed run ended with {again}:\n{log}"
        lines.append(f"{name}: ended with {code} after {seconds:.0f} s, resumed with 0")
    return "; ".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of all runs")
    parser.add_argument("--checks", nargs="+", choices=CHECKS, default=CHECKS, metavar="CHECK")
    parser.add_argument(
        "--processes", nargs="+", type=int, default=[1, 2, 3], help="numbers to compare in labels"
    )
    arguments = parser.parse_args()
    folder = arguments.work.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    prepare_to_fork()
    runs, failed = Runs(folder), False
    for name in arguments.checks:
        began = time.monotonic()
        try:
            result = globals()[f"check_{name}"](runs, arguments.processes)
        except AssertionError as error:
            result, failed = f"FAILED: {error}", True
        print(f"{name} ({time.monotonic() - began:.0f} s): {result}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
