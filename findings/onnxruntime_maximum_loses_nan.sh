#!/usr/bin/env bash
# onnxruntime 1.32.0, CPU: whether a maximum is NaN depends on where the NaN stands.
#
# A good engineer expects that ReduceMax, which torch.amax is exported as, tells of a NaN as NumPy
# and PyTorch do, or always passes over it. It gives NaN only if the NaN comes first: a model's
# check "is the largest score a number" then passes for most broken inputs. Max of two tensors
# always gives NaN; MaxPool never does here.
#
# Output seen on 2026-11-28 (Python 3.11, Linux x86_64):
#   ReduceMax of nan 1 0: nan
#   ReduceMax of 1 nan 0: 1.0
#   Max of nan and 1: nan, of 1 and nan: nan
#   MaxPool of 1 nan 0: 1.0
# The script fails if a line changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.2.6
cat > maximum.py <<'PY'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper


def run(operator, *inputs, **attributes):
    names = [f"input{number}" for number in range(len(inputs))]
    arrays = [np.array(values, np.float32) for values in inputs]
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["output"], **attributes)],
        "graph",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
            for name, array in zip(names, arrays)
        ],
        [helper.make_empty_tensor_value_info("output")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(zip(names, arrays)))[0].item()


nan = float("nan")
print(f"ReduceMax of nan 1 0: {run('ReduceMax', [nan, 1, 0])}")
print(f"ReduceMax of 1 nan 0: {run('ReduceMax', [1, nan, 0])}")
print(f"Max of nan and 1: {run('Max', [nan], [1])}, of 1 and nan: {run('Max', [1], [nan])}")
print(f"MaxPool of 1 nan 0: {run('MaxPool', [[[1, nan, 0]]], kernel_shape=[3])}")
PY
env/bin/python maximum.py | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
ReduceMax of nan 1 0: nan
ReduceMax of 1 nan 0: 1.0
Max of nan and 1: nan, of 1 and nan: nan
MaxPool of 1 nan 0: 1.0
TXT
