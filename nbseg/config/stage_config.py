"""One config for the whole method, one plain MMDetection config for each stage.

The user's config describes the student, what is tested and shipped. Sections override what differs
in another stage: ``teacher``, ``supervised`` (the control arm, over ``teacher``), ``pseudo`` (over
``teacher``), ``oracle``. ``labels`` holds the arguments of the labeling step, ``split`` those of
the labeled/unlabeled split.

A string may name any top-level key in braces. Names are resolved last, after the sections and the
command line, so that one option reaches every place::

    data_root = "data/coco"
    weak_pipeline = [...]
    labeled_dataset = dict(
        ann_file="{data_root}/annotations/instances_train.{seed}@{percent}.json",
        pipeline="{train_pipeline}")
    teacher = dict(train_pipeline="{weak_pipeline}")

A string that is nothing but a name becomes the key's value, whatever its type. Besides the config's
own keys there are ``{work_dir}``, ``{pseudo_labels}`` and ``{teacher_checkpoint}``. Braces may also
hold arithmetic, so that a schedule can follow from an option (see ``arithmetic``)::

    labeled_images = "{round(2975 * percent / 100)}"
    iterations = "{round(64 * labeled_images / 8)}"
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from nbseg.config.arithmetic import evaluate

TRAINING_STAGES = ("supervised", "teacher", "student", "oracle")
STAGES = ("supervised", "teacher", "pseudo", "labels", "student", "oracle")
DEFAULT_STAGES = STAGES[:-1]
SECTIONS = (*STAGES, "split", "report")

# The sections a stage's config is made of, in the order they override.
LAYERS = {
    "supervised": ("teacher", "supervised"),
    "teacher": ("teacher",),
    "pseudo": ("teacher", "pseudo"),
    "labels": (),
    "student": ("student",),
    "oracle": ("student", "oracle"),
}
# What a plain config may hold: MMEngine's and MMDetection's keys.
PLAIN_KEYS = {
    *("auto_scale_lr", "backend_args", "custom_hooks", "custom_imports", "data_preprocessor"),
    *("default_hooks", "default_scope", "env_cfg", "experiment_name", "launcher", "load_from"),
    *("log_level", "log_processor", "model", "optim_wrapper", "param_scheduler", "randomness"),
    *("resume", "test_cfg", "test_dataloader", "test_evaluator", "train_cfg"),
    *("train_dataloader", "tta_model", "tta_pipeline", "val_cfg", "val_dataloader"),
    *("val_evaluator", "vis_backends", "visualizer", "work_dir"),
}
# A name, or an expression with at least one operator or parenthesis.
BRACES = re.compile(r"\{([^\W\d]\w*|[\w .]*[-+*/(][-+*/(), \w.]*)\}")


def stage_config(config: Config, stage: str, work_dir: str | Path) -> Config:
    """Return the plain MMDetection config of a stage.

    Args:
        config: the user's, with sections.
        stage: ``supervised``, ``teacher``, ``pseudo``, ``student`` or ``oracle``.
        work_dir: of the whole run; the stage's own is the folder of its name below it.

    Raises:
        ValueError: a name in braces is no key, or the control arm's schedule cannot be derived.
    """
    resolved = resolve(config, stage, work_dir)
    plain = Config({k: v for k, v in resolved.items() if k in PLAIN_KEYS})
    plain.work_dir = str(Path(work_dir) / stage)
    plain.experiment_name = stage
    if plain.get("visualizer"):
        # MMEngine keeps one of each name: all curves would go to the first stage's folder.
        plain.visualizer.name = plain.work_dir
    own_schedule = {"train_cfg", "iterations"} & set(config.get("supervised") or {})
    if stage == "supervised" and not own_schedule:
        total = sum(_iterations(config, other, work_dir) for other in ("teacher", "student"))
        _stretch_schedule(plain, total)
    if stage == "pseudo":
        predict_with_tta(plain)
        _drop_training(plain)
    else:
        _leave_out_last_validation(plain.get("train_cfg") or {})
    return plain


def predict_with_tta(plain: Config) -> None:
    """Let a plain config test with ``tta_model`` on the views of ``tta_pipeline``, in place."""
    plain.model = ConfigDict(**plain.tta_model, module=plain.model)
    plain.test_dataloader.dataset.pipeline = plain.tta_pipeline


def resolve(config: Config, stage: str, work_dir: str | Path) -> Config:
    """Return a stage's config with its sections merged and names in braces replaced.

    Sections are still there, for ``labels``, ``split`` and ``report``.
    """
    merged = Config(config.to_dict())
    for section in LAYERS[stage]:
        overrides = dict(config.to_dict().get(section) or {})
        for own_file in ("checkpoint", "ann_file"):
            overrides.pop(own_file, None)
        merged.merge_from_dict(overrides)
    content = _without_delete_keys(merged.to_dict())

    def section(name: str) -> dict:
        return content.get(name) or {}

    work_dir = Path(work_dir)
    own_labels = section("oracle" if stage == "oracle" else "labels").get("ann_file")
    names = {
        **content,
        "work_dir": str(work_dir),
        "teacher_checkpoint": section("teacher").get("checkpoint")
        or str(work_dir / "teacher" / "teacher.pth"),
        "pseudo_labels": own_labels or str(work_dir / "pseudo" / "pseudo_labels.json"),
    }
    wanted = PLAIN_KEYS | {"labels", "split", "report"}
    try:
        return Config(_replace_names({k: v for k, v in content.items() if k in wanted}, names))
    except RecursionError:
        raise ValueError("a name in braces refers to itself, directly or through others") from None


def _replace_names(value: Any, names: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {k: _replace_names(v, names) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replace_names(v, names) for v in value)
    if not isinstance(value, str):
        return value

    def lookup(name: str) -> Any:
        if names.get(name) is None:
            raise ValueError(
                f"the config says {value!r}, but has no top-level key {name!r}; set it with "
                f"--cfg-options {name}=..."
            )
        return _replace_names(names[name], names)

    def content(braces: re.Match) -> Any:
        return lookup(braces[1]) if braces[1].isidentifier() else evaluate(braces[1], lookup)

    def embedded(braces: re.Match) -> str:
        found = content(braces)
        if not isinstance(found, (str, int, float)):
            raise ValueError(
                f"the config says {value!r}, but {braces[1]!r} is a {type(found).__name__}; only a "
                "string or a number can be part of a string"
            )
        return str(int(found) if isinstance(found, float) and found.is_integer() else found)

    whole = BRACES.fullmatch(value)
    return content(whole) if whole else BRACES.sub(embedded, value)


def _without_delete_keys(value: Any) -> Any:
    """Drop the ``_delete_`` marks of dictionaries that replaced nothing."""
    if isinstance(value, dict):
        return {k: _without_delete_keys(v) for k, v in value.items() if k != "_delete_"}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_delete_keys(v) for v in value)
    return value


def _drop_training(plain: Config) -> None:
    plain.test_evaluator = []
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler"):
        plain[key] = None
    for key in ("val_dataloader", "val_cfg", "val_evaluator", "load_from"):
        plain[key] = None


def _leave_out_last_validation(schedule: dict) -> None:
    """Where nothing is validated before the end, nothing is at the end: a test follows it."""
    length = schedule.get("max_iters", 0)
    if schedule.get("val_interval", 0) > length > 0:
        schedule["val_begin"] = length + 1


def coco_evaluator(plain: Config) -> ConfigDict:
    """Return the evaluator of a test that reads a COCO json, of several the first.

    Raises:
        ValueError: there is none.
    """
    evaluators = plain.test_evaluator
    for evaluator in evaluators if isinstance(evaluators, list) else [evaluators]:
        if "ann_file" in evaluator:
            return evaluator
    raise ValueError(
        "test_evaluator must have a metric with an ann_file, such as InstanceMetric; found "
        f"{evaluators}"
    )


def _iterations(config: Config, stage: str, work_dir: str | Path) -> int:
    schedule = stage_config(config, stage, work_dir).train_cfg
    if "max_iters" not in schedule:
        raise ValueError(
            f"the {stage} is not trained by iterations, so the control arm's schedule cannot be "
            "derived; use IterBasedTrainLoop, or set supervised.train_cfg and its schedule"
        )
    return schedule.max_iters


def _stretch_schedule(plain: Config, iterations: int) -> None:
    """Train for ``iterations``: a learning-rate curve of the same shape, as long a warm-up."""
    length = plain.train_cfg.max_iters
    plain.train_cfg.max_iters = iterations
    schedulers = plain.get("param_scheduler") or []
    warmups = [s.end for s in schedulers if s.type == "LinearLR" and s.get("end", length) < length]
    warmup = max(warmups, default=0)

    def stretched(iteration: int) -> int:
        return iteration if iteration <= warmup else round(iteration * iterations / length)

    for scheduler in schedulers:
        begin = scheduler.get("begin", 0)
        if "T_max" in scheduler:
            scheduler.T_max = stretched(begin + scheduler.T_max) - stretched(begin)
        if "step_size" in scheduler:
            scheduler.step_size = round(scheduler.step_size * iterations / length)
        if "milestones" in scheduler:
            scheduler.milestones = [stretched(m) for m in scheduler.milestones]
        for key in ("begin", "end"):
            if key in scheduler:
                scheduler[key] = stretched(scheduler[key])
