#!/usr/bin/env bash
# onedl-mmdetection 3.5.1: LoadAnnotations drops a mask whose run lengths are bytes.
#
# `pycocotools.mask.encode` returns run lengths as bytes. A data set that puts such a mask into its
# instances looks right, but LoadAnnotations accepts only text and lists: it replaces the mask by an
# empty one and marks the object as ignored, without a warning. The model then trains without
# objects.
#
# Output seen on 2026-11-30 (Python 3.11, torch 2.13.0, onedl-mmcv 2.3.6, Linux x86_64):
#   bytes: 0 pixels, ignored True
#   text: 36 pixels, ignored False
# The script fails if these lines change. nbseg decodes the run lengths that it writes
# (nbseg/coco_masks.py).
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
from mmdet.datasets.transforms import LoadAnnotations
from pycocotools import mask as coco_mask

bitmap = np.zeros((20, 20), np.uint8, order="F")
bitmap[5:11, 4:10] = 1
rle = coco_mask.encode(bitmap)
for name, counts in (("bytes", rle["counts"]), ("text", rle["counts"].decode())):
    instance = {
        **{"bbox": [4, 5, 10, 11], "bbox_label": 0, "ignore_flag": 0},
        **{"mask": {"size": rle["size"], "counts": counts}},
    }
    image = {"instances": [instance], "ori_shape": (20, 20), "img_shape": (20, 20)}
    loaded = LoadAnnotations(with_bbox=True, with_mask=True)(image)
    pixels = int(loaded["gt_masks"].masks.sum())
    print(f"{name}: {pixels} pixels, ignored {bool(loaded['gt_ignore_flags'][0])}")
PY
env/bin/python run.py > log 2>&1 || { cat log >&2; exit 1; }
grep " pixels, ignored " log | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
bytes: 0 pixels, ignored True
text: 36 pixels, ignored False
TXT
