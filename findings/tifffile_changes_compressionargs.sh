#!/usr/bin/env bash
# tifffile 2026.3.3: imwrite changes the caller's dict compressionargs, and a later call then fails.
#
# A good engineer keeps the options of a compression in a dict and passes this dict to every call.
# For a JPEG of a color image, imwrite adds the image's color spaces to the caller's dict. If a gray
# image is then written with the same dict, imwrite takes these color spaces for the options of the
# gray image and raises "ValueError: invalid data shape". Pass a copy of the dict to each call.
#
# Output seen on 2026-11-30 (Python 3.11, Linux x86_64, imagecodecs 2026.3.6):
#   after a color image: ['colorspace', 'level', 'outcolorspace', 'subsampling']
#   gray image with the same dict: ValueError invalid data shape
#   gray image with a new dict: (64, 64)
# The script fails if a line changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check numpy==2.2.6 tifffile==2026.3.3 \
  imagecodecs==2026.3.6
cat > write.py <<'PY'
import numpy as np
import tifffile

gray = (np.arange(64 * 64).reshape(64, 64) // 16).astype(np.uint8)
color = np.stack([gray] * 3, -1)
options = {"level": 95}
tifffile.imwrite("color.tif", color, photometric="rgb", compression="jpeg", compressionargs=options)
print("after a color image:", sorted(options))
try:
    tifffile.imwrite("gray.tif", gray, compression="jpeg", compressionargs=options)
    print("gray image with the same dict: written")
except ValueError as error:
    print("gray image with the same dict: ValueError", error)
tifffile.imwrite("gray.tif", gray, compression="jpeg", compressionargs={"level": 95})
print("gray image with a new dict:", tifffile.imread("gray.tif").shape)
PY
env/bin/python write.py | tee output
cat > expected <<'TXT'
after a color image: ['colorspace', 'level', 'outcolorspace', 'subsampling']
gray image with the same dict: ValueError invalid data shape
gray image with a new dict: (64, 64)
TXT
diff expected output || { echo "the behavior has changed" >&2; exit 1; }
