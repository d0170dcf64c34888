#!/usr/bin/env bash
# onedl-mmdetection 3.5.1: TranslateX and TranslateY move an image by whole tenths of its size.
#
# `max_mag` is the largest translation as a share of the image. The draw is rounded to one decimal.
# That is harmless for the degrees of Rotate and ShearX, but a translation of up to 10% (as in STAC)
# is 0 in half of the draws, and else 10%.
#
# Output seen on 2026-11-30 (Python 3.11, torch 2.13.0, onedl-mmcv 2.3.6, Linux x86_64), 2000 draws:
#   TranslateX, max_mag 0.1, translations in pixels of 100: [-10, 0, 10]
#   half of the images stay where they are: True
# The script fails if these lines change. nbseg's STAC enlarges the canvas and crops instead
# (configs/_base_/methods/two_kinds.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 numpy==2.2.6 addict matplotlib \
  opencv-python-headless packaging pillow pycocotools==2.0.11 pyyaml regex rich scipy shapely \
  albumentations==2.0.8 imaug termcolor terminaltables tqdm yapf "setuptools<81" wheel ninja
env/bin/pip install -q --disable-pip-version-check --no-deps onedl-mmengine==0.10.12 \
  onedl-mmdetection==3.5.1
CFLAGS="-g0 -O2" PATH="$PWD/env/bin:$PATH" env/bin/pip install -q --disable-pip-version-check \
  --no-deps --no-build-isolation onedl-mmcv==2.3.6
cat > run.py <<'PY'
import numpy as np
from mmdet.datasets.transforms import TranslateX

np.random.seed(0)
moved = []
for _ in range(2000):
    image = np.zeros((1, 100, 3), np.uint8)
    image[0, 50] = 255
    transform = TranslateX(prob=1.0, max_mag=0.1)
    result = transform({"img": image, "img_shape": (1, 100)})
    moved.append(int(result["img"][0, :, 0].argmax()) - 50)
print(f"TranslateX, max_mag 0.1, translations in pixels of 100: {sorted(set(moved))}")
print(f"half of the images stay where they are: {0.45 < moved.count(0) / len(moved) < 0.55}")
PY
env/bin/python run.py > log 2>&1 || { cat log >&2; exit 1; }
grep "TranslateX\|half" log | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
TranslateX, max_mag 0.1, translations in pixels of 100: [-10, 0, 10]
half of the images stay where they are: True
TXT
