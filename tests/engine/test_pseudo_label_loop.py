"""What the loop stores of a prediction; the loop itself runs in the pipeline's tests."""

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from nbseg.engine.pseudo_label_loop import image_predictions


def sample(soft_masks, **meta):
    count = len(soft_masks)
    made = DetDataSample(
        metainfo={
            "img_id": 7,
            "img_path": "/data/images/a/b.png",
            "ori_shape": (40, 60, 3),
            "img_shape": (80, 120),
            **meta,
        }
    )
    made.pred_instances = InstanceData(
        bboxes=torch.arange(4.0 * count, dtype=torch.float64).reshape(count, 4),
        scores=torch.full((count,), 0.5),
        labels=torch.arange(count, dtype=torch.int32),
        soft_masks=soft_masks,
    )
    return made


def test_probabilities_become_the_nearest_of_256():
    values = torch.arange(256) / 255
    steps = torch.stack([values, (values + 0.49 / 255).clamp(max=1), (values - 0.49 / 255).abs()])
    stored = image_predictions(sample(steps.reshape(3, 16, 16)), "/data/images").soft_masks
    assert stored.dtype == np.uint8
    assert all(np.array_equal(mask.reshape(-1), np.arange(256)) for mask in stored)


def test_what_is_stored_of_an_image():
    stored = image_predictions(sample(torch.rand(2, 28, 28)), "/data/images/")
    assert stored.image_id == 7
    assert stored.file_name == "a/b.png"
    assert (stored.height, stored.width) == (40, 60)
    assert stored.boxes.dtype == np.float32 and stored.boxes.tolist() == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
    ]
    assert stored.scores.dtype == np.float32
    assert stored.labels.dtype == np.int64 and stored.labels.tolist() == [0, 1]


def test_an_image_without_predictions():
    stored = image_predictions(sample(torch.zeros(0, 28, 28)), "/data/images")
    assert stored.boxes.shape == (0, 4)
    assert stored.soft_masks.shape == (0, 28, 28)
