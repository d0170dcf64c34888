#!/usr/bin/env bash
# onedl-mmengine 0.10.12: with EMAHook, Runner.test() after Runner.train() tests other weights.
#
# A good engineer expects `runner.train(); runner.test()` to test what the training validated and
# what the checkpoint holds as its weights: the moving average. `test` (and `val`) begin with the
# hooks' `before_run` again, where EMAHook makes its average anew from the model as trained. So the
# reported metrics are those of the weights that are not averaged, without a warning.
#
# Output seen on 2026-11-29 (Python 3.11, torch 2.13.0, Linux x86_64); the model's only weight is
# 0, 1, 2, 3, 4 in the four iterations, the average has the momentum 0.5:
#   validated while training 3.125, in the checkpoint 3.125, tested after the training 4.0
# The script fails if this line changes. nbseg tests the published file in a new runner
# (tests/engine/test_published_weights.py, test_the_published_weights_are_tested).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.2.6 addict matplotlib \
  opencv-python-headless pyyaml regex rich termcolor yapf
env/bin/pip install -q --disable-pip-version-check --no-deps onedl-mmengine==0.10.12
cat > average.py <<'PY'
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
        return {"loss": -self.weight.sum()} if mode == "loss" else [{"weight": self.weight.item()}]


@METRICS.register_module()
class Weight(BaseMetric):
    seen = []

    def process(self, data_batch, data_samples):
        self.results.append(data_samples[0]["weight"])

    def compute_metrics(self, results):
        self.seen.append(results[0])
        return {"weight": results[0]}


loader = {
    "batch_size": 1,
    "num_workers": 0,
    "dataset": [{"inputs": torch.zeros(1)}] * 4,
    "sampler": {"type": "DefaultSampler"},
}
runner = Runner(
    model=Model(),
    work_dir="run",
    train_dataloader=loader,
    val_dataloader=loader,
    test_dataloader=loader,
    train_cfg={"by_epoch": True, "max_epochs": 1},
    val_cfg={},
    test_cfg={},
    val_evaluator={"type": "Weight"},
    test_evaluator={"type": "Weight"},
    optim_wrapper={"optimizer": {"type": "SGD", "lr": 1.0}},
    custom_hooks=[{"type": "EMAHook", "momentum": 0.5}],
    log_level="ERROR",
)
runner.train()
runner.test()
saved = torch.load("run/epoch_1.pth", weights_only=False)["state_dict"]["weight"].item()
print(
    f"validated while training {Weight.seen[0]}, in the checkpoint {saved}, "
    f"tested after the training {Weight.seen[1]}"
)
PY
env/bin/python average.py > log 2>&1 || { cat log >&2; exit 1; }
grep "^validated" log | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
validated while training 3.125, in the checkpoint 3.125, tested after the training 4.0
TXT
