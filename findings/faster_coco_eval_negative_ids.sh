#!/usr/bin/env bash
# faster-coco-eval 1.8.0: objects whose annotation ids are negative can never be found.
#
# A good engineer expects the numbers of pycocotools, which faster-coco-eval replaces; ids only have
# to be unique. With negative ids, which tools give to objects that are not saved yet, perfect
# predictions get the AP 0, without a warning; pycocotools 2.0.11 gives 1.
#
# Output seen on 2026-11-28 (Python 3.11, Linux x86_64):
#   ids 1, 2: pycocotools 1.0, faster-coco-eval 1.0
#   ids -1, -2: pycocotools 1.0, faster-coco-eval 0.0
# The script fails if a line changes. nbseg numbers the objects anew before it evaluates
# (tests/evaluation/test_instance_metric_inputs.py).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install -q --disable-pip-version-check faster-coco-eval==1.8.0 pycocotools==2.0.11 \
  numpy==2.2.6
cat > evaluate.py <<'PY'
import contextlib
import io

from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def average_precision(coco_class, eval_class, ids):
    boxes = [[20.0 * number, 0.0, 10.0, 10.0] for number in range(len(ids))]
    coco = coco_class()
    coco.dataset = {
        "images": [{"id": 1, "width": 100, "height": 100, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "cell"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "bbox": box, "area": 100.0, "iscrowd": 0}
            for i, box in zip(ids, boxes)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        found = [{"image_id": 1, "category_id": 1, "bbox": box, "score": 0.9} for box in boxes]
        evaluation = eval_class(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return round(float(evaluation.stats[0]), 3)


for ids in ([1, 2], [-1, -2]):
    print(
        f"ids {ids[0]}, {ids[1]}: pycocotools {average_precision(COCO, COCOeval, ids)}, "
        f"faster-coco-eval {average_precision(FasterCOCO, COCOeval_faster, ids)}"
    )
PY
env/bin/python evaluate.py 2> log | tee output
diff output - <<'TXT' || { echo "the behavior has changed" >&2; exit 1; }
ids 1, 2: pycocotools 1.0, faster-coco-eval 1.0
ids -1, -2: pycocotools 1.0, faster-coco-eval 0.0
TXT
