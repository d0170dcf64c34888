"""Extend MMEngine's runner to treat accumulated gradients correctly.

The extended runner also ends the worker processes of data loaders as soon as a training or a test
has ended.
"""

from typing import Any

import torch
from mmengine.dist import all_reduce, broadcast
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import nn

from nbseg.registry import HOOKS


class StageRunner(Runner):
    """Runs a stage like MMEngine's runner, but treats accumulated gradients correctly.

    MMEngine scales the learning rate with the number of images in one iteration, even if a step of
    the optimizer uses the gradients of several iterations. This runner counts the images of all
    these iterations. Before it writes a checkpoint between two steps of the optimizer, it averages
    the accumulated gradients over the processes, because the checkpoint holds only the gradients of
    the main process.

    After a training or a test, this runner drops the data loaders, so that their worker processes
    end at once. Otherwise, a later garbage collection would close the queues to the workers before
    the loaders stop the workers, and PyTorch would wait 5 seconds for each worker.
    """

    def train(self) -> nn.Module:
        """Train, drop the loaders of training and validation, and return the model."""
        model: nn.Module = super().train()
        self._train_loop = self._val_loop = None
        return model

    def test(self) -> dict[str, float]:
        """Test, drop the loader, and return the metrics."""
        metrics: dict[str, float] = super().test()
        self._test_loop = None
        return metrics

    def scale_lr(
        self, optim_wrapper: OptimWrapper, auto_scale_lr: dict[str, Any] | None = None
    ) -> None:
        """Scale learning rates with the number of images that one step of the optimizer uses.

        Args:
            optim_wrapper: wrapper of one optimizer or of several.
            auto_scale_lr: dict with ``enable`` and ``base_batch_size``, the number of images per
                optimizer step for which the config's learning rates were chosen.
        """
        if not auto_scale_lr or not auto_scale_lr.get("enable"):
            return
        several = isinstance(optim_wrapper, OptimWrapperDict)
        for wrapper in optim_wrapper.values() if several else [optim_wrapper]:
            counts = [
                self.world_size,
                self._train_dataloader["batch_size"],
                wrapper._accumulative_counts,
            ]
            images = counts[0] * counts[1] * counts[2]
            ratio = images / auto_scale_lr["base_batch_size"]
            self.logger.info(
                f"learning rates are multiplied by {ratio:g}: a step of the optimizer uses "
                f"{images} images ({counts[0]} processes x {counts[1]} images per batch x "
                f"{counts[2]} batches), and base_batch_size is {auto_scale_lr['base_batch_size']}"
            )
            for group in wrapper.optimizer.param_groups:
                group["lr"] *= ratio

    def save_checkpoint(self, *args: Any, **options: Any) -> None:
        """Save a checkpoint in the main process; call this method in all processes.

        The arguments are those of MMEngine's ``Runner.save_checkpoint``.

        Gradients that no step of the optimizer has used yet are replaced by their mean over the
        processes, both in the checkpoint and in the running training. This does not change the next
        step, which uses the mean over the processes in any case.
        """
        if self.distributed:
            average_gradients(self.model)
        super().save_checkpoint(*args, **options)


def average_gradients(model: nn.Module) -> None:
    """Replace each gradient by its mean over all processes, in place.

    Args:
        model: the model of this process. If only some processes have a gradient of a parameter,
            the gradient of the other processes counts as zero. If no process has a gradient of a
            parameter, the parameter stays without a gradient.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        return
    present = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32)
    present = present.to(parameters[0].device)
    all_reduce(present, op="max")
    for parameter, has_gradient in zip(parameters, present.tolist(), strict=True):
        if has_gradient:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            all_reduce(parameter.grad, op="mean")


@HOOKS.register_module()
class MainProcessBuffersHook(Hook):
    """Copies the main process's buffers to all processes before a validation.

    Each process computes the statistics of batch normalization from its own images, and the
    checkpoint holds the statistics of the main process. With this hook, all processes validate with
    the values in the checkpoint, and a training without an interruption continues with the same
    buffers as a resumed one.
    """

    # EMAHook must first replace the weights by their averages.
    priority = "LOWEST"

    def before_val_epoch(self, runner: Runner) -> None:
        """Copy the buffers of the main process's model to the models of all other processes."""
        for buffer in runner.model.buffers():
            broadcast(buffer)
