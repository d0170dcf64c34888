"""Make a training independent of its history, so that a resumed one ends with the same bits."""

from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import DistSamplerSeedHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from nbseg.datasets.seeded_samples import mixed_seed, seed_generators, seed_samples
from nbseg.registry import HOOKS


@HOOKS.register_module()
class ExactResumeHook(DistSamplerSeedHook):
    """Seeds each sample and each iteration, and keeps accumulated gradients in checkpoints.

    MMEngine seeds the generators once, at the start. A checkpoint does not hold their states, and
    the workers' states would be lost in any case. This hook seeds the generators anew: for each
    sample from the run's seed and the sample's position (``nbseg.datasets.seeded_samples``), and
    for each iteration from the run's seed, the rank and the iteration. Thus neither an interruption
    nor the number of workers changes a draw, and there is no state to save.

    Gradients that are accumulated over several iterations are a state as well: where a checkpoint
    is written between two steps of the optimizer, they become part of the checkpoint.

    This hook stands in for MMEngine's ``DistSamplerSeedHook`` as ``default_hooks.sampler_seed``.
    """

    # Other hooks may draw numbers, too.
    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Seed the samples of the training's data loader."""
        loader = runner.train_dataloader
        size = loader.batch_sampler.batch_size
        # An iterator starts with the batch of the current iteration: at the start of each epoch, or
        # where a training by iterations starts or is resumed.
        seed_samples(loader, runner.seed, lambda: int(runner.iter * size))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the generators of this process and its GPU for one iteration."""
        seed = mixed_seed(runner.seed, get_rank(), runner.iter)
        seed_generators(seed)
        torch.manual_seed(seed)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the gradients that no step of the optimizer has used yet, by parameter."""
        gradients = {
            name: parameter.grad.cpu()
            for name, parameter in _model(runner).named_parameters()
            if parameter.grad is not None
        }
        if gradients:
            checkpoint["gradients"] = gradients

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Restore the gradients of a checkpoint from which the training is resumed."""
        gradients = checkpoint.get("gradients", {}) if runner._resume else {}
        for name, parameter in _model(runner).named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter)


def _model(runner: Runner) -> nn.Module:
    model: nn.Module = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model
