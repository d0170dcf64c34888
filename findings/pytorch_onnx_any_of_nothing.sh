#!/usr/bin/env bash
# PyTorch 2.13.0 and onnxscript 0.7.2: in an exported model, `any` of an empty tensor is True.
#
# A good engineer writes `(scores > 0.5).any()` and expects False where there are no scores, as in
# Python, NumPy and PyTorch. The exporter converts the booleans to numbers, takes their maximum and
# converts that to a boolean. The maximum of nothing is the lowest number, which is not 0 and thus
# True: the exported model reports a detection in an image without any. `all` is right.
#
# Output seen on 2026-11-29 (Python 3.11, CPU build of torch, onnxruntime 1.32.0, Linux x86_64):
#   operators: Cast ReduceMax Cast ReduceMin Cast
#   any and all of 3 rows of False: exported [False, False], PyTorch [False, False]
#   any and all of 1 rows of False: exported [False, False], PyTorch [False, False]
#   any and all of 0 rows of False: exported [True, True], PyTorch [False, True]
# The script fails if a line changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 onnxruntime==1.32.0 onnx==1.23.2 \
  onnxscript==0.7.2 numpy==2.2.6
cat > any.py <<'PY'
import io

import numpy as np
import onnxruntime
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x.any(), x.all()


rows = torch.export.Dim("rows")
program = torch.onnx.export(
    Model(),
    (torch.zeros(3, 4, dtype=torch.bool),),
    dynamo=True,
    dynamic_shapes={"x": {0: rows}},
    verbose=False,
)
file = io.BytesIO()
program.save(file)
session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
print("operators:", *[node.op_type for node in program.model.graph])
for count in (3, 1, 0):
    x = np.zeros((count, 4), bool)
    exported = [bool(value) for value in session.run(None, {"x": x})]
    eager = [bool(value) for value in Model()(torch.from_numpy(x))]
    print(f"any and all of {count} rows of False: exported {exported}, PyTorch {eager}")
PY
env/bin/python any.py 2> log | grep -v "torch.onnx" | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
operators: Cast ReduceMax Cast ReduceMin Cast
any and all of 3 rows of False: exported [False, False], PyTorch [False, False]
any and all of 1 rows of False: exported [False, False], PyTorch [False, False]
any and all of 0 rows of False: exported [True, True], PyTorch [False, True]
TXT
