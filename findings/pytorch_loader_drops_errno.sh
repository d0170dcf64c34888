#!/usr/bin/env bash
# PyTorch 2.13.0: an OSError from a DataLoader's worker has lost its errno and its file name.
#
# A good engineer expects that the same `except` works with and without workers. With num_workers=0
# the OSError arrives as it was raised. With workers the type is the same, but the exception is made
# anew from one text: `errno`, `filename` and `strerror` are None, so code that asks for ENOSPC, or
# names the missing file, goes another way as soon as workers are used.
#
# Output seen on 2026-11-28 (Python 3.11, CPU build of torch, Linux x86_64):
#   num_workers=0: FileNotFoundError, errno 2, filename missing.png, 2 arguments
#   num_workers=1: FileNotFoundError, errno None, filename None, 1 arguments
# The script fails if a line changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.2.6
cat > load.py <<'PY'
from torch.utils.data import DataLoader, Dataset


class Pictures(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return open("missing.png", "rb").read()


for workers in (0, 1):
    try:
        next(iter(DataLoader(Pictures(), num_workers=workers)))
    except OSError as error:
        print(
            f"num_workers={workers}: {type(error).__name__}, errno {error.errno}, "
            f"filename {error.filename}, {len(error.args)} arguments"
        )
PY
env/bin/python load.py | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
num_workers=0: FileNotFoundError, errno 2, filename missing.png, 2 arguments
num_workers=1: FileNotFoundError, errno None, filename None, 1 arguments
TXT
