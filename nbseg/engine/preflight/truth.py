"""Test a config's evaluator: with the true objects as predictions, the mask AP should be 1."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from nbseg.coco import read_coco, write_coco
from nbseg.coco_masks import to_rle
from nbseg.errors import StageError
from nbseg.image_names import spread
from nbseg.registry import DATASETS, METRICS

# More images would take longer than a few seconds.
IMAGES = 50


def check_truth(dataset: dict[str, Any], evaluator: dict[str, Any], what: str) -> str:
    """Evaluate the true objects of up to 50 images as if they were predictions.

    Args:
        dataset: config of a test set with a COCO json.
        evaluator: config of a metric with an ``ann_file``.
        what: name of the data set, for messages.

    Returns:
        A warning if the evaluator returns a ``segm_mAP`` from 0 to 0.99, otherwise an empty string.

    Raises:
        StageError: the evaluator's ``ann_file`` is not a COCO json, or the data set or the
            evaluator raises an error when it reads this file.
    """
    try:
        # Keep the values as they are in the json: an evaluator that cannot use these values must
        # fail here, not after the training.
        content = read_coco(evaluator["ann_file"], consistent=False, normalized=False)
    except ValueError as error:
        raise StageError(
            f"{what}: the evaluator {evaluator['type']} cannot use its ann_file: {error}"
        ) from error
    kept = spread(content["images"], IMAGES)
    ids = {image["id"] for image in kept}
    annotations = [a for a in content["annotations"] if a["image_id"] in ids]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "truth.json")
        write_coco(path, {**content, "images": kept, "annotations": annotations}.items())
        try:
            values = _evaluate_truth({**dataset, "ann_file": path}, {**evaluator, "ann_file": path})
        except Exception as error:  # a third-party evaluator may raise any error
            reason = str(error).replace(path, str(evaluator["ann_file"]))
            raise StageError(
                f"{what}: to test the evaluator {evaluator['type']}, the true objects were given "
                f"to it as predictions; it failed ({type(error).__name__}: {reason}). Correct the "
                "json or the evaluator"
            ) from error
    score = values.get("segm_mAP")
    if score is None or score < 0 or score > 0.99:
        return ""
    return (
        f"warning: {what}: to test the evaluator, the true objects were given to it as "
        f"predictions; the mask AP is {score:.3f} instead of 1. Check the evaluator's settings and "
        "the json"
    )


def _evaluate_truth(dataset: dict[str, Any], evaluator: dict[str, Any]) -> dict[str, float]:
    read = {"data_root": "", "pipeline": [], "lazy_init": False, "serialize_data": False}
    truth = DATASETS.build({**dataset, **read})
    metric = METRICS.build({**evaluator, "outfile_prefix": None, "format_only": False})
    metric.dataset_meta = truth.metainfo
    samples = [_as_prediction(truth.get_data_info(i)) for i in range(len(truth))]
    metric.process({}, samples)
    metric.ann_file = evaluator["ann_file"]
    values: dict[str, float] = metric.compute_metrics(metric.results)
    return values


def _as_prediction(info: dict[str, Any]) -> dict[str, Any]:
    size = info["height"], info["width"]
    found = [i for i in info["instances"] if not i["ignore_flag"] and i.get("mask")]
    return {
        "img_id": info["img_id"],
        "ori_shape": size,
        "pred_instances": {
            "bboxes": torch.tensor([i["bbox"] for i in found], dtype=torch.float64).reshape(-1, 4),
            "labels": torch.tensor([i["bbox_label"] for i in found], dtype=torch.int64),
            "scores": torch.ones(len(found)),
            "masks": [to_rle(i["mask"], *size) for i in found],
        },
    }
