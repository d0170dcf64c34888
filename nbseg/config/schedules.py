"""Read and change the training schedule in the plain MMDetection config of a stage."""

from typing import Any

from mmengine.config import Config


def iterations(stage: str, plain: Config) -> int:
    """Return ``train_cfg.max_iters`` of the teacher or the student.

    The control arm is a training on the labeled images alone, for comparison. Its number of
    iterations is the sum of the teacher's and the student's.

    Args:
        stage: ``"teacher"`` or ``"student"``, for messages.
        plain: plain config of the stage.

    Raises:
        ValueError: the stage trains by epochs, or ``max_iters`` is not a whole number.
    """
    schedule = plain.train_cfg
    if "max_iters" not in schedule:
        raise ValueError(
            f"the {stage}'s train_cfg has no max_iters, which is needed to derive the control "
            "arm's schedule; train with IterBasedTrainLoop, or set control.train_cfg and "
            "control.param_scheduler"
        )
    if type(schedule.max_iters) is not int:
        raise ValueError(
            f"the {stage} must be trained for a whole number of iterations, found "
            f"{schedule.max_iters!r}; correct the config key iterations or {stage}.iterations"
        )
    return int(schedule.max_iters)


def stretch_schedule(plain: Config, iterations: int) -> None:
    """Set ``max_iters`` of an MMDetection config and stretch its learning-rate schedule, in place.

    The schedule keeps its shape and ends at the new ``max_iters``. A warm-up
    (``LinearLR``) keeps its length.

    Args:
        plain: plain MMDetection config of a training stage.
        iterations: the new ``max_iters``.
    """
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


def skip_last_validation(schedule: dict[str, Any]) -> None:
    """Turn off the validation in a ``train_cfg``, in place, if ``val_interval > max_iters``.

    Without this change, MMEngine would validate once, at the end of the training, although the
    stage then tests the model anyway.
    """
    length = schedule.get("max_iters", 0)
    if isinstance(length, int) and schedule.get("val_interval", 0) > length > 0:
        schedule["val_begin"] = length + 1
