"""Benchmark nbseg's COCO metric, InstanceMetric, on images of 1024x2048 pixels.

The peer for boundary AP is faster-coco-eval. Box and mask AP have no peer.
"""

import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.case import Case, CaseTimes
from benchmarks.scenes import boxes_of, outlines, run_lengths
from faster_coco_eval import COCO, COCOeval_faster

from nbseg.evaluation.instance_metric import InstanceMetric

HEIGHT, WIDTH, INSTANCES, CLASSES = 1024, 2048, 30, 8
RATIO = 0.005  # dilation ratio of Cityscapes
KINDS = ["bbox", "segm", "boundary"]


@dataclass
class Scenes:
    """Holds predictions and, as a COCO json in a temporary folder, the ground truth."""

    folder: tempfile.TemporaryDirectory[str]
    truth: Path
    samples: list[dict[str, Any]]


def make_scenes(rng: np.random.Generator, images: int) -> Scenes:
    """Make scenes whose predictions differ a little from the truth."""
    annotations: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        polygons = outlines(rng, INSTANCES, HEIGHT, WIDTH)
        labels = rng.integers(CLASSES, size=INSTANCES)
        rles = run_lengths(polygons, HEIGHT, WIDTH)
        for rle, box, label in zip(rles, boxes_of(polygons).tolist(), labels, strict=True):
            x0, y0, x1, y1 = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(label) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                }
            )
        shaken = [[(np.array(p) + rng.normal(0, 4, len(p))).tolist()] for (p,) in polygons]
        instances = {
            "bboxes": torch.from_numpy(boxes_of(shaken)),
            "labels": torch.from_numpy(labels),
            "scores": torch.from_numpy(rng.random(INSTANCES, np.float32)),
            "masks": run_lengths(shaken, HEIGHT, WIDTH),
        }
        samples.append({"img_id": image, "ori_shape": (HEIGHT, WIDTH), "pred_instances": instances})
    sizes = {"height": HEIGHT, "width": WIDTH}
    document = {
        "images": [{"id": i, "file_name": f"{i}.png", **sizes} for i in range(1, images + 1)],
        "annotations": annotations,
        "categories": [{"id": i + 1, "name": str(i)} for i in range(CLASSES)],
    }
    folder = tempfile.TemporaryDirectory()
    truth = Path(folder.name) / "truth.json"
    truth.write_text(json.dumps(document))
    return Scenes(folder, truth, samples)


def evaluate(scenes: Scenes, metric: list[str]) -> dict[str, float]:
    """Evaluate all predictions as a test loop does, with batches of one image; return the metrics.

    Args:
        scenes: the predictions and the ground truth.
        metric: which AP to compute: "bbox", "segm" or "boundary", or several of these.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = InstanceMetric(str(scenes.truth), metric, boundary_dilation_ratio=RATIO)
        evaluator.dataset_meta = {"classes": [str(i) for i in range(CLASSES)]}
        for sample in scenes.samples:
            evaluator.process({}, [sample])
        return dict(evaluator.evaluate(len(scenes.samples)))


def library(scenes: Scenes) -> dict[str, float]:
    """Return the boundary AP that faster-coco-eval computes on all CPU cores."""
    coco = COCO(str(scenes.truth))
    results = []
    for sample in scenes.samples:
        predicted = sample["pred_instances"]
        instances = (predicted[key] for key in ("labels", "scores", "masks"))
        for label, score, rle in zip(*instances, strict=True):
            ids = {"image_id": sample["img_id"], "category_id": int(label) + 1}
            results.append({**ids, "score": float(score), "segmentation": rle})
    evaluation = COCOeval_faster(
        coco, coco.loadRes(results), "boundary", boundary_dilation_ratio=RATIO
    )
    evaluation.run()
    return {"coco/boundary_mAP": float(evaluation.stats[0])}


def agree(ours: dict[str, float], theirs: dict[str, float]) -> bool:
    return all(abs(ours[name] - value) < 1e-9 for name, value in theirs.items())


def pace(images: int) -> Callable[[CaseTimes], str]:
    return lambda measured: f"{measured.seconds['nbseg'] / images * 500:.0f} s"


def cases(threads: int, device: str) -> Iterator[Case]:
    for images, metric in ((10, ["boundary"]), (10, KINDS), (40, KINDS)):
        scenes = make_scenes(np.random.default_rng(0), images)
        alone = metric == ["boundary"]
        yield Case(
            name=f"{images} images, {'boundary' if alone else 'all three'}",
            nbseg=partial(evaluate, scenes, metric),
            peers={"faster-coco-eval": partial(library, scenes)} if alone else {},
            agree=agree,
            facts={"500 images": pace(images)},
        )
