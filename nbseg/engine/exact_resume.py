"""Make resumed and uninterrupted trainings end with the same weights, bit for bit."""

from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import DistSamplerSeedHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from nbseg.datasets.seeded_samples import mixed_seed, seed_generators, seed_samples
from nbseg.registry import HOOKS


@HOOKS.register_module()
class ExactResumeHook(DistSamplerSeedHook):
    """Seeds each sample and each iteration, and keeps accumulated gradients in checkpoints.

    MMEngine seeds the random generators only at the start, and its checkpoints do not contain the
    states of these generators. This hook seeds the generators

    - for each sample, from the run's seed and the sample's position in the training
      (``nbseg.datasets.seeded_samples``);
    - for each iteration, from the run's seed, the rank and the number of the iteration.

    Thus neither an interruption nor the number of workers changes a random number.

    If gradients are accumulated over several iterations, a checkpoint may be written between two
    steps of the optimizer. This hook adds the accumulated gradients to such a checkpoint.

    Set this hook as ``default_hooks.sampler_seed``, in place of MMEngine's ``DistSamplerSeedHook``.
    """

    # This hook runs first, because other hooks may draw random numbers.
    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Seed the samples of the training data loader."""
        loader = runner.train_dataloader
        size = loader.batch_sampler.batch_size
        # A new iterator of the loader starts with the batch of the current iteration. A training
        # by epochs makes an iterator in each epoch. A training by iterations makes one iterator,
        # when the training starts or is resumed.
        seed_samples(loader, runner.seed, lambda: int(runner.iter * size))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the random generators of this process and of its GPU for one iteration."""
        seed = mixed_seed(runner.seed, get_rank(), runner.iter)
        seed_generators(seed)
        torch.manual_seed(seed)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add to the checkpoint, by parameter name, gradients that no optimizer step has used."""
        gradients = {
            name: parameter.grad.cpu()
            for name, parameter in _model(runner).named_parameters()
            if parameter.grad is not None
        }
        if gradients:
            checkpoint["gradients"] = gradients

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Restore the gradients from the checkpoint if the training is resumed."""
        gradients = checkpoint.get("gradients", {}) if runner._resume else {}
        for name, parameter in _model(runner).named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Record which iteration was validated last, so that later checkpoints contain it."""
        runner.message_hub.update_info("validated_iter", runner.iter)


@HOOKS.register_module()
class ResumedValidationHook(Hook):
    """Runs the validation that an interrupted training missed, when the training is resumed.

    MMEngine first writes the checkpoint of an iteration and then validates. If a training is
    interrupted in between, MMEngine resumes the training with the next iteration and never runs
    this validation. The score of this validation would be missing when the best checkpoint is
    chosen, and when a scheduler such as ``ReduceOnPlateauLR`` reads the scores.
    """

    # CheckpointHook must first read the path of the best checkpoint so far.
    priority = "LOWEST"

    def before_train(self, runner: Runner) -> None:
        """Validate if the last iteration or epoch should have been validated, but was not."""
        loop = runner.train_loop
        epochs = isinstance(loop, EpochBasedTrainLoop)
        done, end = (loop.epoch, loop.max_epochs) if epochs else (loop.iter, loop.max_iters)
        if not done or runner.val_loop is None or done < loop.val_begin:
            return
        loop._decide_current_val_interval()
        due = done % loop.val_interval == 0 or done == end
        if due and runner.message_hub.runtime_info.get("validated_iter") != loop.iter:
            runner.val_loop.run()


def _model(runner: Runner) -> nn.Module:
    model: nn.Module = runner.model.module if is_model_wrapper(runner.model) else runner.model
    return model
