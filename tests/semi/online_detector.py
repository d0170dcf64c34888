"""A tiny teacher and student, and batches for them."""

import copy
import functools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from tiny_config import write_tiny_config

import nbseg.register  # noqa: F401
from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks
from nbseg.engine.stages import stage_config
from nbseg.registry import MODELS

REPOSITORY = Path(__file__).resolve().parents[2]
SIZE = 64


@functools.cache
def model_config(folder):
    """The config of the ``OnlineTeacher`` that ``built`` returns."""
    file = folder / "tiny.py"
    write_tiny_config(file, REPOSITORY, folder)
    text = file.read_text().replace(
        f"'{REPOSITORY}/configs/shapes/demo.py'",
        f"['{REPOSITORY}/configs/shapes/demo.py', '{REPOSITORY}/configs/_base_/online.py']",
    )
    file.write_text(text + "labeled_steps = shared_steps = []\n")
    config = Config.fromfile(file)
    config.online.method.update(box_threshold=0.1, ramp=0)
    init_default_scope("mmdet")
    return stage_config(config, "student", folder).model


@functools.cache
def built(folder):
    """The ``OnlineTeacher`` of the tiny config, whose labels are all of its predictions."""
    config = model_config(folder)
    torch.manual_seed(0)
    model = MODELS.build(config)
    model.teacher.load_state_dict(model.student.state_dict())
    return model


def copy_of(folder, **attributes):
    """Return a copy of the tiny model in training mode, in its first iteration."""
    model = copy.deepcopy(built(folder)).train()
    model.iteration = 0
    for name, value in attributes.items():
        assert hasattr(model, name)
        setattr(model, name, value)
    return model


def sample(homography=None, **fields):
    """A sample of a square view."""
    size = (SIZE, SIZE)
    meta = {"img_shape": size, "ori_shape": size, "pad_shape": size, "batch_input_shape": size}
    meta |= {"homography_matrix": np.eye(3) if homography is None else np.array(homography)}
    made = DetDataSample(metainfo=meta)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def labeled_sample():
    """An image with two squares."""
    bitmaps = np.zeros((2, SIZE, SIZE), np.uint8)
    bitmaps[0, 8:24, 8:24] = bitmaps[1, 32:56, 30:50] = 1
    boxes = torch.tensor([[8.0, 8, 24, 24], [30, 32, 50, 56]])
    objects = InstanceData(
        bboxes=boxes,
        labels=torch.tensor([0, 2]),
        masks=CroppedBitmapMasks.from_bitmaps(bitmaps),
    )
    return sample(gt_instances=objects, ignored_instances=InstanceData(bboxes=boxes[:0]))


def batch(strong_homography=None):
    """Images and samples of one labeled and two unlabeled images."""
    generator = torch.Generator().manual_seed(1)
    weak = torch.randn(2, 3, SIZE, SIZE, generator=generator)
    inputs = {
        "sup": torch.randn(1, 3, SIZE, SIZE, generator=generator),
        "unsup_teacher": weak,
        "unsup_student": weak.clone(),
    }
    samples = {
        "sup": [labeled_sample()],
        "unsup_teacher": [sample(), sample()],
        "unsup_student": [sample(strong_homography), sample(strong_homography)],
    }
    return inputs, samples


def runner(model, **fields):
    """What the hook reads of a runner."""
    dataset = SimpleNamespace(metainfo={"classes": ("star", "gear", "crescent", "cross", "leaf")})
    read = {
        "model": model,
        "iter": 0,
        "max_iters": 100,
        "_load_from": None,
        "logger": MMLogger.get_current_instance(),
        "train_dataloader": SimpleNamespace(dataset=dataset),
    }
    return SimpleNamespace(**{**read, **fields})
