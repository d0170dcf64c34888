#!/usr/bin/env bash
# onedl-mmengine 0.10.12: a training killed while it validates never makes up for that validation.
#
# A good engineer expects that a resumed training validates when an uninterrupted one does. The
# checkpoint of an iteration is written before its validation; a training that is resumed from it
# goes on with the next iteration. If the last validation was the one that was interrupted, the
# resumed training ends at once, successfully, without any metrics and without a best checkpoint.
#
# Output seen on 2026-11-29 (Python 3.11, torch 2.13.0, Linux x86_64), 4 iterations, a checkpoint and
# a validation every 2:
#   validated after: not interrupted [2, 4]
#   validated after: interrupted in the first [], resumed [4]
#   validated after: interrupted in the last [2], resumed []
# The script fails if a line changes. nbseg makes up for it (tests/engine/test_exact_resume.py,
# test_a_validation_that_was_killed_is_made_up_for).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.2.6 addict matplotlib \
  opencv-python-headless pyyaml regex rich termcolor yapf
env/bin/pip install -q --disable-pip-version-check --no-deps onedl-mmengine==0.10.12
cat > resume.py <<'PY'
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import METRICS
from mmengine.runner import Runner


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return {"loss": self.weight.sum()} if mode == "loss" else [self.weight.item()]


class Killed(Exception):
    pass


@METRICS.register_module()
class Recorded(BaseMetric):
    runner, done, kill_at = None, [], None

    def process(self, data_batch, data_samples):
        if self.runner.iter == self.kill_at:
            raise Killed
        self.results.append(0)

    def compute_metrics(self, results):
        self.done.append(self.runner.iter)
        return {"score": 0.0}


def train(folder, kill_at=None, resume=False):
    loader = {
        "batch_size": 1,
        "num_workers": 0,
        "dataset": [{"inputs": torch.zeros(1)}] * 4,
        "sampler": {"type": "InfiniteSampler"},
    }
    runner = Runner(
        model=Model(),
        work_dir=folder,
        train_dataloader=loader,
        val_dataloader={**loader, "sampler": {"type": "DefaultSampler"}},
        train_cfg={"by_epoch": False, "max_iters": 4, "val_interval": 2},
        val_cfg={},
        val_evaluator={"type": "Recorded"},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        default_hooks={"checkpoint": {"type": "CheckpointHook", "interval": 2, "by_epoch": False}},
        log_level="ERROR",
        resume=resume,
        experiment_name=f"{folder}{resume}",
    )
    Recorded.runner, Recorded.done, Recorded.kill_at = runner, [], kill_at
    try:
        runner.train()
    except Killed:
        pass
    return Recorded.done


print(f"validated after: not interrupted {train('whole')}")
for kill_at, name in ((2, "first"), (4, "last")):
    before = train(name, kill_at)
    print(f"validated after: interrupted in the {name} {before}, resumed {train(name, resume=True)}")
PY
env/bin/python resume.py > log 2>&1 || { cat log >&2; exit 1; }
grep "^validated" log | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
validated after: not interrupted [2, 4]
validated after: interrupted in the first [], resumed [4]
validated after: interrupted in the last [2], resumed []
TXT
