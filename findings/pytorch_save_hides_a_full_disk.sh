#!/usr/bin/env bash
# PyTorch 2.13.0: torch.save does not raise OSError when the file cannot be written.
#
# A good engineer writes `except OSError` around a save, to tell a full disk, a quota or a file-size
# limit from a fault of the program. torch.save raises RuntimeError for all of them; the message
# names positions in the file, neither the reason nor the file, and has no errno. Even if torch.save
# is given a Python file object, whose write raises OSError, the exception that arrives is a
# RuntimeError without a cause. A folder that does not exist is a RuntimeError, too.
#
# Output seen on 2026-11-29 (Python 3.11, CPU build of torch, Linux x86_64), with room for 4096 bytes:
#   a name: RuntimeError, errno None, cause None, says "File too large": False
#   a file object: RuntimeError, errno None, cause None, says "File too large": False
#   open and write: OSError, errno 27, cause None, says "File too large": True
#   no folder: RuntimeError, errno None, cause None, says "File too large": False
# The script fails if a line changes. nbseg saves into memory and writes the bytes
# (tests/test_checkpoint.py, test_on_a_full_disk_the_published_file_stays).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.2.6
cat > save.py <<'PY'
import io
import resource
import signal

import torch

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
WEIGHTS = {"w": torch.ones(100_000)}


def to_object():
    with open("object.pth", "wb", buffering=0) as file:
        torch.save(WEIGHTS, file)


def by_hand():
    buffer = io.BytesIO()
    torch.save(WEIGHTS, buffer)
    with open("hand.pth", "wb") as file:
        file.write(buffer.getvalue())


for name, save in {
    "a name": lambda: torch.save(WEIGHTS, "name.pth"),
    "a file object": to_object,
    "open and write": by_hand,
    "no folder": lambda: torch.save(WEIGHTS, "none/name.pth"),
}.items():
    try:
        save()
    except Exception as error:
        print(
            f"{name}: {type(error).__name__}, errno {getattr(error, 'errno', None)}, cause "
            f'{error.__cause__}, says "File too large": {"File too large" in str(error)}'
        )
PY
env/bin/python save.py 2> log | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
a name: RuntimeError, errno None, cause None, says "File too large": False
a file object: RuntimeError, errno None, cause None, says "File too large": False
open and write: OSError, errno 27, cause None, says "File too large": True
no folder: RuntimeError, errno None, cause None, says "File too large": False
TXT
