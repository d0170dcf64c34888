#!/usr/bin/env bash
# pycocotools 2.0.11: a polygon in a two-dimensional NumPy array is taken for a box.
#
# A good engineer expects that `frPyObjects` reads polygons alike from lists and from an array, for
# instance after `np.array(segmentation) * scale`, or refuses the array. It takes any array for
# boxes, whatever its width: of each row it uses the first four numbers as x, y, width, height. The
# mask is a rectangle elsewhere, without an error. A list that holds an array is read as a polygon.
#
# Output seen on 2026-11-28 (Python 3.11, Linux x86_64), a triangle with the corners (10, 2),
# (10, 18) and (2, 10):
#   list: 64 pixels, box 2 2 8 15
#   list of an array: 64 pixels, box 2 2 8 15
#   array: 180 pixels, box 10 2 10 18
# The script fails if a line changes. nbseg makes a list of arrays (nbseg/structures; masks are
# compared with pycocotools' in tests/fuzz).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check pycocotools==2.0.11 numpy==2.2.6
cat > triangle.py <<'PY'
import numpy as np
from pycocotools import mask

POLYGON = [10.0, 2.0, 10.0, 18.0, 2.0, 10.0]
for name, value in {
    "list": [POLYGON],
    "list of an array": [np.array(POLYGON)],
    "array": np.array([POLYGON]),
}.items():
    rle = mask.merge(mask.frPyObjects(value, 20, 20))
    box = " ".join(f"{number:.0f}" for number in mask.toBbox(rle))
    print(f"{name}: {mask.area(rle)} pixels, box {box}")
PY
env/bin/python triangle.py | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
list: 64 pixels, box 2 2 8 15
list of an array: 64 pixels, box 2 2 8 15
array: 180 pixels, box 10 2 10 18
TXT
