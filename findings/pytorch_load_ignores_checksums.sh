#!/usr/bin/env bash
# PyTorch 2.13.0: torch.load takes a checkpoint with changed bytes, though the file has checksums.
#
# A good engineer expects that a file which carries a CRC-32 of each part is compared with it when
# it is read, as zip programs do. torch.save writes the checksums, but torch.load does not compare
# them: a bit that changed on the disk or in a copy becomes another weight, without a warning.
# Python's zipfile finds the change.
#
# Output seen on 2026-11-28 (Python 3.11, CPU build of torch, Linux x86_64):
#   saved [1.0, 1.0], loaded [1.0, -1.0]
#   zipfile: the first damaged part is weights/data/0
# The script fails if a line changes. nbseg compares the checksums (tests/test_checkpoint.py,
# test_a_damaged_file_is_named_with_the_reason).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.2.6
cat > change.py <<'PY'
import zipfile
from pathlib import Path

import torch

path = Path("weights.pth")
torch.save({"w": torch.ones(2)}, path)
before = torch.load(path)["w"].tolist()
content = bytearray(path.read_bytes())
content[content.index(torch.ones(2).numpy().tobytes()) + 7] ^= 0x80  # the sign of the second one
path.write_bytes(content)
print(f"saved {before}, loaded {torch.load(path)['w'].tolist()}")
print(f"zipfile: the first damaged part is {zipfile.ZipFile(path).testzip()}")
PY
env/bin/python change.py | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
saved [1.0, 1.0], loaded [1.0, -1.0]
zipfile: the first damaged part is weights/data/0
TXT
