#!/usr/bin/env bash
# Builds nbseg's ops on a machine with a GPU, tests them (also under compute-sanitizer) and times them.
#
#   tools/gpu_check.sh [DIR]
#
# The script writes the results to DIR/<date>-<GPU>.json. DIR is tools/benchmarks/results by default.
# The script needs no network. It needs the Python packages torch (a CUDA build), numpy, pytest and
# torchvision, with which mask targets are compared. The variable PYTHON names the Python to use.
# NBSEG_COMMIT names the commit if this folder is a copy without git.
# If a part fails, the script ends with a status other than 0 and writes no result.
set -euo pipefail
cd "$(dirname "$0")/.."
results=${1:-tools/benchmarks/results}
python=${PYTHON:-python3}

missing=()
for tool in "$python" "${CUDACXX:-nvcc}" cmake ninja nvidia-smi compute-sanitizer; do
  command -v "$tool" > /dev/null || missing+=("$tool")
done
for package in torch torchvision numpy pytest; do
  "$python" -c "import $package" 2> /dev/null || missing+=("$package for $python")
done
if ((${#missing[@]})); then
  printf 'gpu_check: %s is missing\n' "${missing[@]}" >&2
  echo "gpu_check: install what is missing (nvcc and compute-sanitizer: the CUDA toolkit)" >&2
  exit 1
fi
if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "gpu_check: torch finds no GPU; check that nvidia-smi lists one and that torch is a CUDA build" >&2
  exit 1
fi
commit=${NBSEG_COMMIT:-$(git describe --always --dirty --abbrev=40)} || {
  echo "gpu_check: git cannot tell which commit this is; set NBSEG_COMMIT to the commit" >&2
  exit 1
}

echo "== build"
if directory=$("$python" -m pybind11 --cmakedir 2> /dev/null); then
  pybind11="-Dpybind11_DIR=$directory"
else
  torch=$("$python" -c 'import torch; print(torch.__path__[0])')
  pybind11="-DNBSEG_PYBIND11_INCLUDE=$torch/include"
fi
cmake -S . -B build/gpu -G Ninja -DNBSEG_CUDA=ON "-DNBSEG_OUTPUT_DIR=$PWD/nbseg" \
  "-DPython_EXECUTABLE=$(command -v "$python")" "$pybind11"
cmake --build build/gpu
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
"$python" -c 'import sys; from nbseg.ops import _extension; sys.exit(not _extension.HAS_CUDA)'

# Pass --noconftest, because the fixtures of the other tests need MMEngine.
tests=("$python" -m pytest -q -p no:cacheprovider --noconftest
  tests/ops/test_bpm_mask_loss_cuda.py tests/ops/test_mask_targets_cuda.py)
echo "== tests"
"${tests[@]}"

# Allocate each tensor separately, so that compute-sanitizer sees accesses outside a tensor.
for tool in memcheck racecheck initcheck synccheck; do
  echo "== compute-sanitizer $tool"
  PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool "$tool" --error-exitcode 1 \
    --report-api-errors no "${tests[@]}" -k "every_size or every_dtype or smooth or small_image"
done

echo "== benchmarks"
"$python" tools/benchmark.py bpm_mask_loss mask_targets --device cuda --json build/gpu/benchmark.json

mkdir -p "$results"
"$python" - "$results" "$commit" << 'PYTHON'
import json, re, subprocess, sys
from datetime import datetime, timezone
from pathlib import Path

import torch

folder, commit = sys.argv[1:]
device = torch.cuda.get_device_properties(0)
smi = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
now = datetime.now(timezone.utc)
result = {
    "date": now.isoformat(timespec="seconds"),
    "commit": commit,
    "device": device.name,
    "capability": f"{device.major}.{device.minor}",
    "driver": subprocess.run(smi, capture_output=True, text=True, check=True).stdout.strip(),
    "torch": torch.__version__,
    "cuda": torch.version.cuda,
    "passed": ["tests", "memcheck", "racecheck", "initcheck", "synccheck"],
    "benchmark": json.loads(Path("build/gpu/benchmark.json").read_text()),
}
name = re.sub(r"[^a-z0-9]+", "-", device.name.lower()).strip("-")
path = Path(folder) / f"{now:%Y-%m-%d}-{name}.json"
path.write_text(json.dumps(result, indent=2) + "\n")
print(f"gpu_check: all passed; results are in {path}")
PYTHON
