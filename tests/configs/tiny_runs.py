"""Documented commands in miniature: two iterations a stage, of a network that takes a moment."""

import functools
import json
from pathlib import Path

import pytest
from documented_commands import REPOSITORY
from mmengine.config import Config

from nbseg.engine.pipeline import Pipeline
from nbseg.engine.work_dir import WorkDir

# What takes time, made small. The rows' own options come after these.
SMALL = {
    "batch_size": 1,
    "num_workers": 0,
    "persistent_workers": False,
    "iterations": 2,
    "teacher.iterations": 2,
    "control.iterations": 2,
    "warmup_iterations": 1,
    "test_resize.scale": (128, 64),
    "tta_scales": ["{test_resize}"],
    # What a network says after two steps hardly differs from chance.
    "label.floor": 0.05,
    "optim_wrapper.optimizer.lr": 1e-4,
    "max_per_img": 10,
    "default_hooks.checkpoint.save_optimizer": False,
    "vis_backends": [{"type": "LocalVisBackend"}],
    "mask_head.in_channels": 16,
    "mask_head.conv_out_channels": 8,
    "plain_mask_head.in_channels": 16,
    "plain_mask_head.conv_out_channels": 8,
    "model.backbone.depth": 18,
    "model.backbone.base_channels": 8,
    "model.backbone.stem_channels": 8,
    "model.backbone.init_cfg": None,
    # Two stages: the other levels of the pyramid are subsampled.
    "model.backbone.num_stages": 2,
    "model.backbone.out_indices": (0, 1),
    "model.backbone.strides": (1, 2),
    "model.backbone.dilations": (1, 1),
    "model.neck.in_channels": [8, 16],
    "model.neck.out_channels": 16,
    "model.rpn_head.in_channels": 16,
    "model.rpn_head.feat_channels": 16,
    "model.roi_head.bbox_roi_extractor.out_channels": 16,
    "model.roi_head.mask_roi_extractor.out_channels": 16,
    "model.roi_head.bbox_head.in_channels": 16,
    "model.roi_head.bbox_head.fc_out_channels": 32,
    "model.train_cfg.rpn_proposal.nms_pre": 50,
    "model.train_cfg.rpn_proposal.max_per_img": 30,
    "model.train_cfg.rcnn.sampler.num": 16,
    "model.test_cfg.rpn.nms_pre": 50,
    "model.test_cfg.rpn.max_per_img": 30,
}
# What the models have beyond Mask R-CNN's parts, made small as well.
PARTS = {
    "point-rend": {
        "mask_head.fc_out_channels": 32,
        "plain_mask_head.fc_out_channels": 32,
        "model.roi_head.point_head.in_channels": 16,
        "model.roi_head.point_head.fc_channels": 16,
        "model.test_cfg.rcnn.subdivision_steps": 2,
    },
    "bmask-rcnn": {},
    "refinemask": {
        "mask_head.conv_out_channels": 24,  # halved at each of its three fusions
        "plain_mask_head.conv_out_channels": 24,
        "mask_head.semantic_channels": 8,
        "plain_mask_head.semantic_channels": 8,
        "model.roi_head.semantic_head.in_channels": 16,
        "model.roi_head.semantic_head.conv_out_channels": 8,
    },
}


@functools.cache
def content(config):
    return Config.fromfile(REPOSITORY / config, lazy_import=False).to_dict()


def loaded(config, options):
    made = Config(content(config))
    made.merge_from_dict(options)
    return made


def run(commands, folder, options):
    """Run commands one after another in ``folder``, where their work directories are then."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in commands:
            config = loaded(command.config, {**options, **command.cfg_options})
            Pipeline(config, Path(command.work_dir), command.stages).run()


@functools.cache
def plain(folder, stage):
    """The MMDetection config that a stage ran."""
    return Config.fromfile(WorkDir(folder).config(stage), lazy_import=False)


def pseudo_labeled(folder):
    """File names by id of the images that were predicted; what is labeled is among them."""
    content = json.loads((folder / "pseudo_labels/pseudo_labels.json").read_text())
    images = {image["id"]: image["file_name"] for image in content["images"]}
    assert content["annotations"]
    assert {annotation["image_id"] for annotation in content["annotations"]} <= set(images)
    return images


def evaluations(work_dirs):
    """By (work directory, stage) what was measured; fractions, or -1 where there is no truth."""
    found = {}
    for file in work_dirs.glob("*/metrics.json"):
        for stage, values in json.loads(file.read_text()).items():
            assert all(value == -1 or 0 <= value <= 1 for value in values.values()), file
            assert {"bbox_mAP", "segm_mAP", "boundary_mAP"} <= set(values), file
            assert plain(file.parent, stage).train_cfg.max_iters == 2
            found[file.parent.name, stage] = values
    return found
