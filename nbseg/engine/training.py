"""Run a training stage: train, publish the checkpoint, and test the published checkpoint.

To publish a checkpoint means to write its weights, but not its optimizer state, to another file.
"""

import copy
import math
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, is_main_process

from nbseg.checkpoint import publish
from nbseg.config.online import plain_detector, published_part
from nbseg.deploy.detector import load_detector
from nbseg.engine.data_sets import annotation_files, image_folder, is_unlabeled, leaves
from nbseg.engine.non_finite_loss import NonFiniteLossHook
from nbseg.engine.stage_runner import MainProcessBuffersHook, StageRunner
from nbseg.engine.task import StageTask
from nbseg.engine.training_checkpoints import latest_checkpoint, latest_first
from nbseg.engine.weights import MatchingWeightsHook


def train(task: StageTask, resume: str | None) -> dict[str, Any]:
    """Train a model, publish its checkpoint, and test the published checkpoint.

    Args:
        task: config and paths of the stage.
        resume: ``"auto"`` continues from the last checkpoint in the stage's folder; without such a
            checkpoint, the training starts from zero. A path continues from the checkpoint with
            this path. None starts from zero.

    Returns:
        A dict whose key ``metrics`` holds the metrics of the published checkpoint, without the
        evaluator's prefix in their names: ``segm_mAP`` instead of ``coco/segm_mAP``.

    Raises:
        StageError: a checkpoint from which the training starts is damaged or does not fit the
            model, or the training diverges.
        FileNotFoundError: the training wrote no checkpoint.
    """
    plain, folder = task.config, task.work_dir.folder(task.stage)
    if resume:
        checkpoint = latest_checkpoint(folder) if resume == "auto" else resume
        plain.load_from = checkpoint or plain.load_from
        plain.resume = checkpoint is not None
    runner = StageRunner.from_cfg(plain)
    runner.register_hook(MainProcessBuffersHook())
    runner.register_hook(MatchingWeightsHook())
    runner.register_hook(NonFiniteLossHook())
    runner.train()
    published = task.work_dir.checkpoint(task.stage)
    part = published_part(plain.model)
    if part is not None:  # publish and test only the detector inside the training method
        plain = copy.deepcopy(plain)
        plain.model = plain_detector(plain.model)
    if is_main_process():
        text = None if part is None else plain.pretty_text
        publish(_trained(runner, folder), published, part, text)
    barrier()
    # Test the published file in a new model, as tools/test.py does: with hooks such as EMAHook, the
    # weights of the runner's model may differ from those in the checkpoint.
    model = load_detector(plain, published)
    runner.model = runner.wrap_model(plain.get("model_wrapper_cfg"), model)
    metrics = {name.split("/", 1)[-1]: float(value) for name, value in runner.test().items()}
    return {"metrics": metrics}


def _trained(runner: StageRunner, folder: Path) -> Path:
    """Return the checkpoint to publish: the best if ``save_best`` is set, otherwise the last."""
    indicators = _save_best(runner.cfg)
    info = runner.message_hub.runtime_info
    best = info.get("best_ckpt") or info.get(f"best_ckpt_{''.join(indicators[:1])}")
    if indicators and best:
        return folder / Path(best).name
    checkpoints = latest_first(folder)
    if not checkpoints:
        raise FileNotFoundError(
            f"the training wrote no checkpoint to {folder}; add a CheckpointHook to the config"
        )
    return checkpoints[0]


def _save_best(plain: Config) -> list[str]:
    hook = (plain.get("default_hooks") or {}).get("checkpoint") or {}
    indicators = hook.get("save_best") or []
    return [indicators] if isinstance(indicators, str) else list(indicators)


def training_inputs(task: StageTask) -> dict[str, Path]:
    """Return {name: path} of the files that a training stage reads.

    These files are the annotation files, and the teacher's checkpoint if the training starts with
    this checkpoint. For unlabeled images without an annotation file, the path is their folder.
    """
    plain = task.config
    dataset = plain.train_dataloader.dataset
    paths = annotation_files(dataset)
    inputs = {f"annotations {number}": path for number, path in enumerate(paths)}
    unlabeled = [leaf for leaf in leaves(dataset) if is_unlabeled(leaf)]
    folders = [image_folder(leaf) for leaf in unlabeled if not leaf.get("ann_file")]
    inputs |= {f"unlabeled folder {number}": path for number, path in enumerate(folders)}
    starts = (plain.get("load_from"), (plain.get("model") or {}).get("teacher_checkpoint"))
    if task.teacher_checkpoint in [Path(start) for start in starts if start]:
        inputs["teacher checkpoint"] = task.teacher_checkpoint
    return inputs


def set_training_options(plain: Config, amp: bool, auto_scale_lr: bool) -> None:
    """Apply the options ``--amp`` and ``--auto-scale-lr`` to a training's config, in place.

    Then check mixed precision, scaling and ``save_best``, even if the config itself sets them.

    Args:
        plain: plain MMDetection config of a training stage.
        amp: whether to turn on mixed precision; False keeps the config's choice.
        auto_scale_lr: whether to scale the learning rate with the batch size; False keeps the
            config's choice.

    Raises:
        ValueError: torch finds no GPU for mixed precision, the dtype of mixed precision is not
            float16, ``auto_scale_lr`` has no ``base_batch_size``, or ``save_best`` is set for a
            training without validation.
    """
    schedule = plain.train_cfg
    if _save_best(plain) and schedule.get("val_begin", 1) > schedule.get("max_iters", math.inf):
        raise ValueError(
            f"save_best needs a validation, but the training of {schedule.max_iters} iterations "
            f"has none; lower train_cfg.val_interval (found {schedule.get('val_interval')}) or "
            "train_cfg.val_begin"
        )
    wrapper = plain.optim_wrapper
    if amp:
        wrapper.update(type="AmpOptimWrapper", loss_scale="dynamic")
    if wrapper.get("type") == "AmpOptimWrapper":
        if not torch.cuda.is_available():
            raise ValueError(
                "mixed precision needs a GPU, but torch finds none; remove --amp, or replace "
                "AmpOptimWrapper in the config with OptimWrapper"
            )
        if str(wrapper.get("dtype") or "float16").removeprefix("torch.") != "float16":
            raise ValueError(
                f"optim_wrapper.dtype is {wrapper.dtype}, but MMCV's RoIAlign only computes in "
                "float16 and float32; set optim_wrapper.dtype to float16"
            )
    scaling = plain.get("auto_scale_lr") or {}
    if auto_scale_lr or scaling.get("enable"):
        base = scaling.get("base_batch_size")
        if type(base) is not int or base < 1:
            raise ValueError(
                "auto_scale_lr.base_batch_size must be a whole number of at least 1, found "
                f"{base!r}; set it to the number of images per optimizer step for which the "
                "learning rate in the config was chosen"
            )
        plain.auto_scale_lr.enable = True
