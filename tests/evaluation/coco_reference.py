"""Compute average precision by pycocotools, which InstanceMetric must reproduce."""

import contextlib
import io
import json

from annotated_ellipses import CATEGORIES, encode
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def pycocotools(truth, samples, kind, max_detections, categories=None):
    """Average COCOeval's precision here, since its summary is limited to 100 detections."""
    coco, results = COCO(), []
    for sample in samples:
        predicted = sample["pred_instances"]
        for i in range(len(predicted["scores"])):
            x1, y1, x2, y2 = predicted["bboxes"][i].tolist()
            results.append(
                {
                    "image_id": sample["img_id"],
                    "category_id": CATEGORIES[int(predicted["labels"][i])]["id"],
                    "score": float(predicted["scores"][i]),
                    **(
                        {"bbox": [x1, y1, x2 - x1, y2 - y1]}
                        if kind == "bbox"
                        else {"segmentation": encode(predicted["masks"][i].numpy())}
                    ),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        coco.dataset = json.loads(json.dumps(truth))
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), kind)
        evaluation.params.maxDets = [max_detections]
        evaluation.params.catIds = categories or [c["id"] for c in CATEGORIES]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0]  # IoU, recall, class, area

    def mean(values):
        known = values[values > -1]
        return known.mean() if known.size else -1

    return {
        "mAP": mean(precision[..., 0]),
        "mAP_50": mean(precision[0, ..., 0]),
        "mAP_75": mean(precision[5, ..., 0]),
        **{f"mAP_{'sml'[i]}": mean(precision[..., i + 1]) for i in range(3)},
    }
