"""Update the teacher of an online training, and log statistics of its pseudo-labels."""

from typing import Any

from mmdet.engine.hooks import MeanTeacherHook
from mmengine.dist import broadcast, get_world_size
from mmengine.model import is_model_wrapper
from mmengine.runner import CheckpointLoader, Runner

from nbseg.errors import StageError
from nbseg.models.pretrained_weights import load_matching
from nbseg.registry import HOOKS
from nbseg.semi.online_teacher import OnlineTeacher


@HOOKS.register_module()
class OnlineTeacherHook(MeanTeacherHook):
    """Updates the teacher of an ``OnlineTeacher`` as a moving average of the student.

    This hook differs from MMDetection's ``MeanTeacherHook`` in three ways:

    - By default, it also averages the statistics of batch normalization.
    - It does not overwrite a teacher that starts from a checkpoint.
    - In the first iterations, whose number is the detector's argument ``burn_in``, it does not
      change the teacher. Then it copies the student's weights to the teacher.

    Args:
        momentum: weight of the student in each update. Use 0.01 for a training of hundreds of
            iterations, and 0.001 for tens of thousands.
        interval: number of iterations between two updates.
        skip_buffer: whether to leave the statistics of batch normalization out of the average.
        report_interval: number of iterations between two reports on the pseudo-labels.
    """

    def __init__(
        self,
        momentum: float = 0.01,
        interval: int = 1,
        skip_buffer: bool = False,
        report_interval: int = 50,
    ) -> None:
        super().__init__(momentum, interval, skip_buffer)
        self.report_interval = report_interval
        self._labels: list[float] = []
        self._scales: list[float] = []

    def before_train(self, runner: Runner) -> None:
        """Give the teacher its first weights, unless the training is resumed.

        Raises:
            StageError: the model is not an ``OnlineTeacher``, the burn-in is not shorter than the
                training, or ``teacher_checkpoint`` does not fit the model. A ``teacher_checkpoint``
                without a burn-in also raises the error, unless ``load_from`` is the same path.
        """
        model = _online(runner)
        if model.burn_in >= runner.max_iters:
            raise StageError(
                f"burn_in is {model.burn_in} iterations, but the training has {runner.max_iters} "
                "iterations, so the teacher would never follow the student; lower burn_in, or "
                "train longer"
            )
        source = model.teacher_checkpoint
        if source is None or runner.iter > 0:
            super().before_train(runner)  # copies the student's weights in iteration 0
            return
        if not model.burn_in and runner._load_from != source:
            raise StageError(
                f"the teacher starts from {source}, but the student starts from other weights. "
                "With an average of such unrelated weights, the teacher would find no objects; set "
                f"burn_in to a few hundred iterations, or set load_from to {source}"
            )
        advice = "Set teacher_checkpoint to a checkpoint of the config's detector"
        content = CheckpointLoader.load_checkpoint(source, "cpu", "current")
        load_matching(model.teacher, content, source, "the teacher", advice)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Tell the detector the number of the current iteration."""
        _online(runner).iteration = runner.iter

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Update the teacher, and log statistics of the pseudo-labels."""
        model, done = _online(runner), runner.iter + 1
        if get_world_size() > 1:
            # Batch-norm statistics differ between processes. Use those of the main process, which
            # writes the checkpoint.
            for buffer in model.student.buffers():
                broadcast(buffer)
        if done == model.burn_in:
            # Even with skip_buffer, copy the batch-norm statistics, because weights are useless
            # without the statistics that belong to them.
            model.teacher.load_state_dict(model.student.state_dict())
            runner.logger.info(f"the teacher starts with the student's weights of iteration {done}")
        elif done > model.burn_in:
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
        self._report(runner, model, outputs or {})

    def _report(self, runner: Runner, model: OnlineTeacher, outputs: dict[str, Any]) -> None:
        if "pseudo_per_image" not in outputs:
            return  # the burn-in on labeled images
        self._labels.append(float(outputs["pseudo_per_image"]))
        self._scales.append(float(outputs["unsup_scale"]))
        if (runner.iter + 1) % self.report_interval and runner.iter + 1 < runner.max_iters:
            return
        classes = runner.train_dataloader.dataset.metainfo["classes"]
        thresholds = model.thresholds.box_thresholds()
        shown = ", ".join(f"{n} {t:.3f}" for n, t in zip(classes, thresholds, strict=True))
        mean = sum(self._labels) / len(self._labels)
        runner.logger.info(
            f"pseudo-labels: {mean:.2f} per unlabeled image; score thresholds: {shown}; pixel "
            f"threshold: {model.thresholds.pixel_threshold():.3f}"
        )
        if mean == 0:
            runner.logger.warning(
                f"the teacher gave no pseudo-label in the last {len(self._labels)} iterations, so "
                "the student learns from the labeled images alone; train the teacher longer, raise "
                "burn_in, or lower box_threshold"
            )
        scaled = [scale for scale in self._scales if scale < 1]
        if scaled:
            runner.logger.warning(
                f"in {len(scaled)} of the last {len(self._scales)} iterations, the losses of "
                "unlabeled images exceeded loss_limit and were multiplied by a factor below 1 (the "
                f"smallest: {min(scaled):.3g}); lower the learning rate or unsup_weight"
            )
        self._labels, self._scales = [], []


def _online(runner: Runner) -> OnlineTeacher:
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    if not isinstance(model, OnlineTeacher):
        raise StageError(
            f"OnlineTeacherHook needs a model of the type OnlineTeacher, found "
            f"{type(model).__name__}; remove the hook from custom_hooks"
        )
    return model
