"""A training of a toy network, whose dropout and whose data draw from every generator."""

import random
from itertools import count

import numpy as np
import torch
from mmengine.model import BaseModel

from nbseg.engine.stage_runner import StageRunner

ITERATIONS = 6
# Runners of one name share their curves, as if they were one.
NAMES = count()


class Noise(torch.utils.data.Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        draws = [index, random.random(), np.random.normal(), torch.rand(()).item()]
        return {"inputs": torch.tensor(draws, dtype=torch.float32)}


class Network(BaseModel):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5)
        )

    def forward(self, inputs, mode="tensor"):
        output = self.layers(inputs)
        return {"loss": output.square().mean()} if mode == "loss" else [output]


def runner(folder, epochs=False, workers=0, persistent=False, seed=0, **changes):
    by = {"by_epoch": epochs}
    loop = {"max_epochs": 2} if epochs else {"max_iters": ITERATIONS}
    loop |= {"val_interval": changes.pop("val_interval", 1), **by}
    loader = {
        "dataset": Noise(),
        "batch_size": 3,
        "num_workers": workers,
        "persistent_workers": persistent,
        "sampler": {"type": "DefaultSampler" if epochs else "InfiniteSampler"},
        "collate_fn": {"type": "default_collate"},
    }
    torch.manual_seed(0)
    return StageRunner(
        model=Network(),
        work_dir=str(folder),
        train_dataloader=loader,
        train_cfg=loop,
        optim_wrapper={
            "optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9},
            **changes.pop("optim_wrapper", {}),
        },
        param_scheduler=changes.pop("param_scheduler", None)
        or {"type": "CosineAnnealingLR", "T_max": ITERATIONS, **by},
        default_hooks={
            "checkpoint": {
                "type": "CheckpointHook",
                "interval": 1,
                **by,
                "backend_args": {"backend": "AtomicBackend"},
                **changes.pop("checkpoint", {}),
            },
            "sampler_seed": {"type": "ExactResumeHook"},
            "resumed_validation": {"type": "ResumedValidationHook"},
        },
        randomness={"seed": seed, "deterministic": True},
        default_scope="mmdet",
        experiment_name=str(next(NAMES)),
        log_level="ERROR",
        **changes,
    )
