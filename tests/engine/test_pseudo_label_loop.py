"""Which images the loop predicts and what it stores; it runs whole in the pipeline's tests."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.runner import BaseLoop
from mmengine.structures import InstanceData
from PIL import Image

import nbseg.datasets.image_folder  # noqa: F401  registers the data set
from nbseg.engine.pseudo_label_loop import PseudoLabelLoop, image_predictions
from nbseg.pseudo.predictions import PredictionWriter


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


@pytest.fixture
def indices_of_process(tmp_path, monkeypatch):
    """Ask which of eleven images, in batches of three, a process predicts."""
    for number in range(11):
        path = tmp_path / "images" / f"{number:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    loader = {
        "batch_size": 3,
        "dataset": {
            "type": "ImageFolderDataset",
            "data_prefix": {"img": str(tmp_path / "images")},
            "test_mode": True,
        },
    }
    given = []
    monkeypatch.setattr(BaseLoop, "__init__", lambda self, runner, loader: given.append(loader))
    runner = SimpleNamespace(work_dir=str(tmp_path), logger=logging.getLogger("test"))

    def ask(rank, processes):
        module = "nbseg.engine.pseudo_label_loop"
        monkeypatch.setattr(f"{module}.get_rank", lambda: rank)
        monkeypatch.setattr(f"{module}.get_world_size", lambda: processes)
        PseudoLabelLoop(runner, loader)
        assert len(given[-1]["dataset"]) == 11
        return given[-1]["sampler"]

    return ask


def test_processes_share_whole_batches(indices_of_process):
    assert indices_of_process(0, 1) == list(range(11))
    assert indices_of_process(0, 2) == [0, 1, 2, 6, 7, 8]
    assert indices_of_process(1, 2) == [3, 4, 5, 9, 10]
    assert [indices_of_process(rank, 5) for rank in range(5)] == [
        *([0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10], []),
    ]


def test_what_is_missing_is_predicted_in_the_same_batches(indices_of_process, tmp_path):
    writer = PredictionWriter(tmp_path / "predictions", ["cat"])
    # Ids are places from 1 on: the second batch is finished, of the third an image is missing.
    stored = image_predictions(sample(torch.rand(1, 28, 28)), "/data/images")
    writer.append(
        [
            stored._replace(image_id=index + 1, file_name=f"{index:02d}.png")
            for index in (3, 4, 5, 6, 8)
        ]
    )
    writer.flush()
    assert indices_of_process(0, 1) == [0, 1, 2, 6, 7, 8, 9, 10]
    assert indices_of_process(1, 2) == [6, 7, 8]
