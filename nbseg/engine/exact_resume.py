"""Make a resumed training end with the same weights, bit for bit, as an uninterrupted one."""

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

    MMEngine seeds the random generators once, at the start. A checkpoint does not hold the states
    of these generators, and the workers' states would be lost in any case. This hook seeds the
    generators anew: for each sample from the run's seed and the sample's position
    (``nbseg.datasets.seeded_samples``), and for each iteration from the run's seed, the rank and
    the iteration. Thus neither an interruption nor the number of workers changes a random number,
    and no generator's state has to be saved.

    Gradients that are accumulated over several iterations have to be saved: a checkpoint that is
    written between two steps of the optimizer contains them.

    Set this hook as ``default_hooks.sampler_seed``, in place of MMEngine's ``DistSamplerSeedHook``.
    """

    # This hook runs first, because other hooks may draw random numbers.
    priority = "VERY_HIGH"

    def before_train(self, runner: Runner) -> None:
        """Seed the samples of the training data loader."""
        loader = runner.train_dataloader
        size = loader.batch_sampler.batch_size
        # The loader's iterator starts with the batch of the current iteration. It starts in each
        # epoch, or once when a training by iterations starts or is resumed.
        seed_samples(loader, runner.seed, lambda: int(runner.iter * size))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the generators of this process and its GPU for one iteration."""
        seed = mixed_seed(runner.seed, get_rank(), runner.iter)
        seed_generators(seed)
        torch.manual_seed(seed)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add to the checkpoint the gradients that no optimizer step has used, by parameter."""
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

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Record in later checkpoints that this iteration has been validated."""
        runner.message_hub.update_info("validated_iter", runner.iter)


@HOOKS.register_module()
class ResumedValidationHook(Hook):
    """Runs the validation that a kill cut off, when the training is resumed.

    MMEngine writes an iteration's checkpoint before the iteration's validation. A training that is
    resumed from this checkpoint continues with the next iteration. Without this hook, the score of
    the validation would be missing for the choice of the best checkpoint, and for a scheduler that
    lowers the learning rate when the scores stop rising.
    """

    # CheckpointHook must first read the path of the best checkpoint so far.
    priority = "LOWEST"

    def before_train(self, runner: Runner) -> None:
        """Validate if the last iteration or epoch of a resumed training lacks its validation."""
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
