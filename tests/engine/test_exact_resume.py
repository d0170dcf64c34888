"""A training that was killed after any iteration ends with the bits of one that was not."""

import random

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from toy_training import Noise, runner

from nbseg.engine.exact_resume import ExactResumeHook
from nbseg.engine.training_checkpoints import latest_checkpoint
from nbseg.registry import METRICS


@METRICS.register_module()
class ScoreOfIteration(BaseMetric):
    """The score is the highest after the fourth iteration, and later ones do not improve it."""

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return {"score": -abs(self.runner.iter - 4)}


class Kill(Hook):
    """End a training before the validation that follows an iteration."""

    def __init__(self, iteration):
        self.iteration = iteration

    def before_val(self, runner):
        if runner.iter == self.iteration:
            raise KeyboardInterrupt


def content(folder):
    """Return the state that a training ends with, as one flat list of arrays and numbers."""
    checkpoint = torch.load(latest_checkpoint(folder), weights_only=False)
    flat = []

    def visit(value):
        if isinstance(value, dict):
            for key in sorted(value, key=str):
                visit(value[key])
        elif isinstance(value, list | tuple):
            for entry in value:
                visit(entry)
        else:
            flat.append(value.tolist() if isinstance(value, torch.Tensor) else value)

    for part in ("state_dict", "optimizer", "param_schedulers", "ema_state_dict"):
        visit(checkpoint.get(part))
    losses = checkpoint["message_hub"]["log_scalars"]["train/loss"]._log_history
    return flat, losses.tolist()


def resumed(folder, checkpoint, **options):
    made = runner(folder, **options)
    made._load_from, made._resume = str(checkpoint), True
    made.train()
    return content(folder)


@pytest.fixture(autouse=True)
def generators_as_before():
    """Leave other tests neither the deterministic mode nor the seeds."""
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False


CASES = {
    "plain": ((1, 4), {}),
    "epochs": ((1,), {"epochs": True}),
    "workers": ((3,), {"workers": 1}),
    "average": ((1, 3), {"custom_hooks": [{"type": "EMAHook", "momentum": 0.3, "begin_iter": 2}]}),
    "average of buffers": (
        (2,),
        {"custom_hooks": [{"type": "EMAHook", "momentum": 0.3, "update_buffers": True}]},
    ),
    # Both checkpoints lie between two steps of the optimizer.
    "accumulated": ((1, 5), {"optim_wrapper": {"accumulative_counts": 3}}),
}


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_training_ends_with_the_same_bits(tmp_path, case):
    moments, options = CASES[case]
    runner(tmp_path / "whole", **options).train()
    expected = content(tmp_path / "whole")
    for finished in moments:
        # Where the training is resumed, the generators stand elsewhere than where it was killed.
        torch.rand(finished)
        name = f"{'epoch' if case == 'epochs' else 'iter'}_{finished}.pth"
        checkpoint = tmp_path / "whole" / name
        assert resumed(tmp_path / str(finished), checkpoint, **options) == expected


def validated(folder, epochs=False):
    """A training with validations, of which the best checkpoint and the learning rate depend."""
    options = {"monitor": "score", "rule": "greater", "patience": 0}
    made = runner(
        folder,
        epochs,
        param_scheduler={"type": "ReduceOnPlateauLR", "factor": 0.5, **options},
        checkpoint={"save_best": "score", "rule": "greater"},
        val_dataloader={
            "dataset": Noise(),
            "batch_size": 3,
            "sampler": {"type": "DefaultSampler", "shuffle": False},
            "collate_fn": {"type": "default_collate"},
        },
        val_cfg={},
        val_evaluator={"type": "ScoreOfIteration"},
        **({} if epochs else {"val_interval": 2}),
    )
    ScoreOfIteration.runner = made
    return made


@pytest.mark.parametrize(("iteration", "epochs"), [(2, False), (4, False), (6, False), (4, True)])
def test_a_validation_that_was_killed_is_made_up_for(tmp_path, iteration, epochs):
    validated(tmp_path / "whole", epochs).train()
    killed = validated(tmp_path / "killed", epochs)
    killed.register_hook(Kill(iteration))
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    again = validated(tmp_path / "killed", epochs)
    again._load_from, again._resume = latest_checkpoint(tmp_path / "killed"), True
    again.train()
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    best = "best_score_epoch_2.pth" if epochs else "best_score_iter_4.pth"
    for folder in ("whole", "killed"):
        assert [path.name for path in (tmp_path / folder).glob("best_*")] == [best]


@pytest.mark.parametrize("finished", [2, 4])
def test_a_validation_is_not_repeated(tmp_path, finished):
    """The schedule would take a second validation for one without progress."""
    validated(tmp_path / "whole").train()
    # Both validations improved the score, so that the checkpoint was written again after them.
    again = validated(tmp_path / "again")
    again._load_from = str(tmp_path / "whole" / f"iter_{finished}.pth")
    again._resume = True
    again.train()
    assert content(tmp_path / "again") == content(tmp_path / "whole")


def test_neither_workers_nor_earlier_draws_matter(tmp_path):
    runner(tmp_path / "none").train()
    other = runner(tmp_path / "one", workers=1)
    random.random(), np.random.random(), torch.rand(())
    other.train()
    assert content(tmp_path / "one") == content(tmp_path / "none")


def test_another_seed_trains_otherwise(tmp_path):
    runner(tmp_path / "first").train()
    runner(tmp_path / "second", seed=1).train()
    assert content(tmp_path / "first")[1] != content(tmp_path / "second")[1]


def test_ranks_draw_otherwise(monkeypatch):
    draws = set()
    for rank in (0, 1):
        monkeypatch.setattr("nbseg.engine.exact_resume.get_rank", lambda rank=rank: rank)
        for iteration in (0, 1):
            run = type("Run", (), {"seed": 0, "iter": iteration})
            ExactResumeHook().before_train_iter(run, 0)
            draws |= {random.random(), np.random.random(), torch.rand(()).item()}
    assert len(draws) == 12
