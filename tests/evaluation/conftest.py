"""Provide a scene with truth and predictions."""

import functools

import numpy as np
import pytest
import torch
from annotated_ellipses import CATEGORIES, HEIGHT, WIDTH, ellipse, encode, tight_box
from coco_reference import pycocotools


@pytest.fixture(scope="module")
def scene():
    """Make four images, the last with 200 small objects, with noisy and missed detections."""
    rng = np.random.default_rng(0)
    annotations, samples = [], []
    for image_id in range(1, 5):
        crowded = image_id == 4
        boxes, labels, scores, bitmaps = [], [], [], []
        for _ in range(200 if crowded else 12):
            label = 0 if crowded else int(rng.integers(3))
            size = (
                rng.uniform(4, 8, 2)
                if crowded
                else rng.choice([8, 40, 100]) * rng.uniform(0.7, 1.2, 2)
            )
            corner = rng.uniform(0, np.array([WIDTH, HEIGHT]) - size)
            bitmap = ellipse(*corner, *size)
            if not bitmap.any():
                continue
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": CATEGORIES[label]["id"],
                    "bbox": tight_box(bitmap),
                    "area": int(bitmap.sum()),
                    "iscrowd": int(rng.random() < 0.05),
                    "segmentation": {
                        **encode(bitmap),
                        "counts": encode(bitmap)["counts"].decode(),
                    },
                }
            )
            for _ in range(rng.choice([0, 1, 1, 1, 2])):
                moved = np.concatenate([corner, size]) + rng.normal(0, 0.07, 4) * size.mean()
                bitmap = ellipse(*moved, rng=rng)
                if not bitmap.any():
                    continue
                x, y, w, h = tight_box(bitmap)
                boxes.append([x, y, x + w + 0.25, y + h - 0.25])
                labels.append(label if crowded or rng.random() < 0.9 else int(rng.integers(3)))
                scores.append(rng.random())
                bitmaps.append(bitmap)
        samples.append(
            {
                "img_id": image_id,
                "ori_shape": (HEIGHT, WIDTH),
                "pred_instances": {
                    "bboxes": torch.tensor(boxes),
                    "labels": torch.tensor(labels),
                    "scores": torch.tensor(scores),
                    "masks": torch.from_numpy(np.stack(bitmaps)),
                },
            }
        )
    images = [
        {"id": i, "file_name": f"{i}.png", "height": HEIGHT, "width": WIDTH} for i in range(1, 5)
    ]
    truth = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    assert len(samples[-1]["pred_instances"]["scores"]) > 150
    return truth, samples


@pytest.fixture(scope="module")
def reference(scene):
    """What pycocotools says of the scene, computed once: ``reference(kind, max_detections)``."""
    return functools.cache(functools.partial(pycocotools, *scene))
