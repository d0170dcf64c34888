"""Repeat the predict stage for a long time, and check that its memory stays flat.

python tests/soak_predict.py --minutes 30 --work work_dirs/soak

A tiny detector with random weights predicts generated images of many sizes and numbers of objects,
in one process. Each round is the whole stage: it builds the runner, predicts every image and writes
the store. A round counts with the highest resident memory, as Linux records it, and with the memory
that is left after it, when the GNU C library has returned what is free.

The command prints a line for each round. It returns 1 if, after the warm-up, one of the two values
is more than 2% from that of the first round after the warm-up.
"""

import argparse
import contextlib
import ctypes
import gc
import io
import logging
import os
import shutil
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import set_random_seed
from tiny_config import write_tiny_config

import nbseg.register  # noqa: F401
from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.engine.pseudo_labeling import predict
from nbseg.engine.stages import stage_config
from nbseg.engine.task import StageTask
from nbseg.engine.work_dir import WorkDir
from nbseg.registry import MODELS

TESTS = Path(__file__).resolve().parent
TOLERANCE = 0.02
M_MMAP_THRESHOLD = -3  # of the GNU C library's malloc.h
CHANGES = """
_base_ = './tiny.py'
predict = dict(test_dataloader=dict(batch_size=2, dataset=dict(
    type='ImageFolderDataset', ann_file='', data_root='', data_prefix=dict(img='{images}'))))
max_per_img = 1000
tta_model = dict(tta_cfg=dict(nms=dict(iou_threshold=0.3)))
model = dict(test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.3), max_per_img=1000)))
"""


def write_images(folder, count):
    """Draw images of 32 to 320 pixels a side, with 0 to 30 ellipses on noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        rng = np.random.default_rng(index)
        height, width = rng.integers(32, 321, 2).tolist()
        pixels = rng.integers(0, 60, (height, width, 3), np.uint8)
        for _ in range(rng.integers(0, 31)):
            center = rng.integers(0, (width, height)).tolist()
            axes = rng.integers(2, 40, 2).tolist()
            color = rng.integers(60, 256, 3).tolist()
            cv2.ellipse(pixels, center, axes, rng.uniform(0, 180), 0, 360, color, -1)
        cv2.imwrite(str(folder / f"{index:04d}.png"), pixels)


def make_task(folder, images):
    """Write the images, the config and the weights, and return the predict stage."""
    data, config = folder / "shapes", folder / "config.py"
    generate_shapes(data, ShapesOptions(size=64, train=2, val=1))
    write_images(folder / "images", images)
    write_tiny_config(folder / "tiny.py", TESTS.parent, data)
    config.write_text(CHANGES.format(images=folder / "images"))
    paths = WorkDir(folder / "run")
    plain = stage_config(Config.fromfile(config), "predict", paths)
    set_random_seed(0)
    weights = folder / "teacher.pth"
    model = MODELS.build(plain.model["module"])
    torch.save({"state_dict": model.state_dict(), "meta": {}}, weights)
    return StageTask("predict", plain, paths, weights)


def memory(key):
    """Return the resident memory of this process in MB: now (VmRSS), or the highest (VmHWM)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) / 1e3


def one_round(task):
    """Run the stage into an empty store; return its highest memory and what is left, in MB."""
    shutil.rmtree(task.work_dir.predictions, ignore_errors=True)
    Path("/proc/self/clear_refs").write_text("5")  # the highest memory begins anew
    with contextlib.redirect_stdout(io.StringIO()):
        predict(task, None)
    gc.collect()
    # The C library keeps freed pages for later; what is left are the objects that still live.
    ctypes.CDLL(None).malloc_trim(0)
    return memory("VmHWM"), memory("VmRSS")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30, help="how long to repeat the stage")
    parser.add_argument("--warm-up", type=float, default=3, help="minutes that are not compared")
    parser.add_argument("--images", type=int, default=60, help="images of a round")
    parser.add_argument("--work", type=Path, required=True, help="folder of the images and store")
    arguments = parser.parse_args()
    # Large arrays go back to the system when they are freed. By default, the C library keeps arrays
    # of up to 32 MB, and their number differs from round to round.
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 17)
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")  # MMEngine's, about names of earlier rounds
    task = make_task(arguments.work.resolve(), arguments.images)
    start, rounds, compared = time.monotonic(), 0, []
    while (minutes := (time.monotonic() - start) / 60) < arguments.minutes:
        values = one_round(task)
        rounds += 1
        if minutes >= arguments.warm_up:
            compared.append(values)
        left = max(arguments.minutes - (time.monotonic() - start) / 60, 0)
        print(
            f"round {rounds}: highest {values[0]:.1f} MB, afterwards {values[1]:.1f} MB"
            f"{'' if compared else ' (warm-up)'}, {left:.1f} minutes left",
            flush=True,
        )
    if not compared:
        raise SystemExit("no round began after the warm-up; give more --minutes")
    changes = np.array(compared) / compared[0] - 1
    worst = float(np.abs(changes).max())
    print(
        f"{rounds} rounds of {arguments.images} images; {len(compared)} compared: highest memory "
        f"{changes[:, 0].min():+.2%} to {changes[:, 0].max():+.2%}, memory afterwards "
        f"{changes[:, 1].min():+.2%} to {changes[:, 1].max():+.2%}; wanted within {TOLERANCE:.0%}"
    )
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
