"""Derive the schedule of a training stage from the schedule of another stage."""

from typing import Any

from mmengine.config import Config


def iterations(stage: str, plain: Config) -> int:
    """Return the number of training iterations of a stage.

    Raises:
        ValueError: the stage trains by epochs, or the number is not a whole number.
    """
    schedule = plain.train_cfg
    if "max_iters" not in schedule:
        raise ValueError(
            f"the {stage} is not trained by iterations, so the control arm's schedule cannot be "
            "derived; use IterBasedTrainLoop, or set control.train_cfg and its schedule"
        )
    if type(schedule.max_iters) is not int:
        raise ValueError(
            f"the {stage} must be trained for a whole number of iterations, found "
            f"{schedule.max_iters!r}; correct iterations or {stage}.iterations"
        )
    return int(schedule.max_iters)


def stretch_schedule(plain: Config, iterations: int) -> None:
    """Change a plain config in place to train for ``iterations``.

    The learning-rate curve keeps its shape, and the warm-up keeps its length.
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
    """Turn off the validation in ``train_cfg``, in place, if it only runs at the last iteration.

    That validation is not needed, because the trained model is tested anyway.
    """
    length = schedule.get("max_iters", 0)
    if isinstance(length, int) and schedule.get("val_interval", 0) > length > 0:
        schedule["val_begin"] = length + 1
