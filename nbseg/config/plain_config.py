"""Derive plain MMDetection configs, which have no keys that only nbseg reads."""

from inspect import signature
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner

from nbseg.config.online import plain_detector
from nbseg.config.sections import resolve

# Runner.from_cfg reads the parameters of Runner. MMEngine reads custom_imports before it builds
# anything. MMDetection's test-time augmentation reads the two keys tta_*.
RUNNER_KEYS = frozenset(
    {
        *(set(signature(Runner.__init__).parameters) - {"self", "cfg"}),
        # Runner reads these from its config.
        *("model_wrapper_cfg", "find_unused_parameters", "sync_bn"),
        *("compile", "activation_checkpointing", "efficient_conv_bn_eval"),
        *("custom_imports", "tta_model", "tta_pipeline"),
    }
)
TRAINING_KEYS = frozenset(
    {
        *("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "auto_scale_lr"),
        *("val_dataloader", "val_cfg", "val_evaluator", "load_from", "resume"),
        *("compile", "activation_checkpointing", "efficient_conv_bn_eval"),
    }
)


def student_config(config: Config, work_dir: str | Path) -> Config:
    """Return a plain MMDetection config of the student for testing, export and inference.

    The config has no keys for training, such as ``train_dataloader``.

    Args:
        config: the user's config, with sections, or the plain MMDetection config of a stage. With a
            plain config, the result has the model of its stage instead of the student.
        work_dir: folder of the logs; this path also replaces ``{work_dir}`` in the config.
    """
    names = {"work_dir": str(work_dir)}
    plain = resolve(config, ("student", "online"), names, RUNNER_KEYS - TRAINING_KEYS)
    plain.work_dir = str(work_dir)
    plain.model = plain_detector(plain.model)
    without_workers(plain)
    return plain


def predict_with_tta(plain: Config) -> None:
    """Turn on test-time augmentation in a plain config, in place.

    ``tta_model`` then wraps the model, and ``tta_pipeline`` replaces the test pipeline.
    """
    plain.model = ConfigDict(**plain.tta_model, module=plain.model)
    plain.test_dataloader.dataset.pipeline = plain.tta_pipeline


def without_workers(plain: Config) -> None:
    """Remove ``persistent_workers`` and ``prefetch_factor`` from loaders without workers, in place.

    PyTorch refuses these keys if ``num_workers`` is 0.
    """
    for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
        loader = plain.get(key)
        if loader and not loader.get("num_workers"):
            loader.pop("persistent_workers", None)
            loader.pop("prefetch_factor", None)


def coco_evaluator(plain: Config) -> ConfigDict:
    """Return the config of the first test evaluator that has an ``ann_file``, a COCO json.

    Raises:
        ValueError: no test evaluator has an ``ann_file``.
    """
    evaluators = plain.test_evaluator
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        if "ann_file" in evaluator:
            return evaluator
    raise ValueError(
        "test_evaluator must have a metric with an ann_file, such as InstanceMetric; found "
        f"{evaluators}"
    )
