#!/usr/bin/env bash
# PyTorch 2.13.0 and onnxscript 0.7.2: logsigmoid is exported as Log(Sigmoid(x)), which is -inf early.
#
# A good engineer uses logsigmoid because it is exact for logits far below 0, and expects the export
# to keep that; the ONNX operator Softplus could. The exported model computes a sigmoid first, which
# rounds to 0, so its logarithm is -inf, and a product of such scores with 0 is NaN. A check that
# compares both models on ordinary logits does not see the difference.
#
# Output seen on 2026-11-29 (Python 3.11, CPU build of torch, onnxruntime 1.32.0, Linux x86_64):
#   operators: Sigmoid Log
#   logsigmoid(-200): exported -inf, PyTorch -200
#   logsigmoid(-100): exported -inf, PyTorch -100
#   logsigmoid(-50): exported -inf, PyTorch -50
#   logsigmoid(-10): exported -10, PyTorch -10
#   logsigmoid(10): exported -4.542e-05, PyTorch -4.54e-05
# The script fails if a line changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 onnxruntime==1.32.0 onnx==1.23.2 \
  onnxscript==0.7.2 numpy==2.2.6
cat > logsigmoid.py <<'PY'
import io

import numpy as np
import onnxruntime
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.logsigmoid(x)


program = torch.onnx.export(Model(), (torch.zeros(5),), dynamo=True, verbose=False)
file = io.BytesIO()
program.save(file)
session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
print("operators:", *[node.op_type for node in program.model.graph])
x = np.array([-200, -100, -50, -10, 10], np.float32)
exported = session.run(None, {"x": x})[0]
for value, ours, eager in zip(x, exported, Model()(torch.from_numpy(x))):
    print(f"logsigmoid({value:.0f}): exported {ours:.4g}, PyTorch {eager:.4g}")
PY
env/bin/python logsigmoid.py 2> log | grep -v "torch.onnx" | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
operators: Sigmoid Log
logsigmoid(-200): exported -inf, PyTorch -200
logsigmoid(-100): exported -inf, PyTorch -100
logsigmoid(-50): exported -inf, PyTorch -50
logsigmoid(-10): exported -10, PyTorch -10
logsigmoid(10): exported -4.542e-05, PyTorch -4.54e-05
TXT
