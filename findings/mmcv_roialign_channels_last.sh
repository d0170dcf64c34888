#!/usr/bin/env bash
# onedl-mmcv 2.3.6, CPU: RoIAlign of a channels_last tensor gives other values, without an error.
#
# A good engineer gives no thought to the memory format: PyTorch's operators give the same values
# for any strides, and `model.to(memory_format=torch.channels_last)` is PyTorch's advice for speed.
# MMCV's CPU kernel reads the memory of a channels_last map as if it were contiguous, so that
# channels and places are mixed up; the result has the right shape.
#
# Output seen on 2026-11-29 (Python 3.11, torch 2.13.0, Linux x86_64), a map of channel 0 = 0,
# channel 1 = 1, one RoI:
#   contiguous: 0.0 1.0
#   channels_last: 0.5 0.5
# The script fails if a line changes. pip compiles MMCV, in about ten minutes on two cores, unless
# it finds a wheel. nbseg makes maps contiguous (tests/deploy/test_onnx_ops.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.2.6 addict matplotlib \
  opencv-python-headless packaging pillow pyyaml regex rich termcolor yapf "setuptools<81" wheel ninja
env/bin/pip install -q --disable-pip-version-check --no-deps onedl-mmengine==0.10.12
CFLAGS="-g0 -O2" PATH="$PWD/env/bin:$PATH" env/bin/pip install -q --disable-pip-version-check \
  --no-deps --no-build-isolation onedl-mmcv==2.3.6
cat > align.py <<'PY'
import torch
from mmcv.ops import roi_align

maps = torch.zeros(1, 2, 8, 8)
maps[:, 1] = 1
roi = torch.tensor([[0.0, 2.0, 2.0, 6.0, 6.0]])
for name in ("contiguous", "channels_last"):
    memory_format = getattr(torch, name if name == "channels_last" else "contiguous_format")
    pooled = roi_align(maps.contiguous(memory_format=memory_format), roi, (1, 1), 1.0, 0, "avg", True)
    print(f"{name}: {pooled[0, 0].item()} {pooled[0, 1].item()}")
PY
env/bin/python align.py 2> log | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
contiguous: 0.0 1.0
channels_last: 0.5 0.5
TXT
