#!/usr/bin/env bash
# opencv-python-headless 4.12.0.88: cv2.imwrite returns True for a GIF or AVIF that was cut off.
#
# A good engineer knows that cv2.imwrite returns False instead of raising, and checks that value.
# The check finds a full disk or a file-size limit for PNG, JPEG, BMP and WebP (OpenCV then removes
# the file) and for TIFF (a part of the file stays), but not for GIF and AVIF: imwrite returns True
# and leaves a part of the file, which OpenCV itself cannot read. Only reading it back helps.
#
# Output seen on 2026-11-28 (Python 3.11, Linux x86_64), with room for 4096 bytes a file:
#   png: imwrite returned False, 0 bytes are left
#   jpg: imwrite returned False, 0 bytes are left
#   tif: imwrite returned False, 4096 bytes are left, unreadable
#   gif: imwrite returned True, 4096 bytes are left, unreadable
#   avif: imwrite returned True, 4096 bytes are left, unreadable
# The script fails if a line changes. nbseg writes PNG and JPEG only, and checks the value.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check opencv-python-headless==4.12.0.88 numpy==2.2.6
cat > write.py <<'PY'
import resource
import signal
from pathlib import Path

import cv2
import numpy as np

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write then fails, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
pixels = np.random.RandomState(0).randint(0, 256, (200, 200, 3), np.uint8)
for suffix in ("png", "jpg", "tif", "gif", "avif"):
    path = Path(f"picture.{suffix}")
    returned = cv2.imwrite(str(path), pixels)
    size = path.stat().st_size if path.exists() else 0
    readable = size and cv2.imread(str(path)) is not None
    end = "" if not size else ", readable" if readable else ", unreadable"
    print(f"{suffix}: imwrite returned {returned}, {size} bytes are left{end}")
PY
env/bin/python write.py 2> log | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
png: imwrite returned False, 0 bytes are left
jpg: imwrite returned False, 0 bytes are left
tif: imwrite returned False, 4096 bytes are left, unreadable
gif: imwrite returned True, 4096 bytes are left, unreadable
avif: imwrite returned True, 4096 bytes are left, unreadable
TXT
