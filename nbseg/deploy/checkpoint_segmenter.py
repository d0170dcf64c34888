"""Predict with a checkpoint through the interface of ``nbseg.deploy.runtime.Segmenter``."""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.structures import InstanceData
from pycocotools import mask as coco_mask

from nbseg.deploy.detections import Detections
from nbseg.deploy.detector import class_names, load_detector
from nbseg.deploy.preprocessing import check_image
from nbseg.images import Image


class CheckpointSegmenter:
    """Runs a checkpoint with its config's test pipeline, on a GPU if the machine has one.

    Args:
        config: plain MMDetection config with which the checkpoint was trained.
        checkpoint: ``.pth`` file of that config's model.

    Attributes:
        classes: class names by label.
        providers: the PyTorch device in use.

    Raises:
        FileNotFoundError: the checkpoint is missing.
        ValueError: the checkpoint belongs to another model.
    """

    def __init__(self, config: Config, checkpoint: str | Path) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.providers: tuple[str, ...] = (f"PyTorch on {device}",)
        self._detector = load_detector(config, checkpoint).to(device)
        self.classes = class_names(config, checkpoint, self._detector)
        pipeline = copy.deepcopy(config.test_dataloader.dataset.pipeline)
        pipeline = [t for t in pipeline if not t["type"].endswith("Annotations")]
        pipeline[0] = {"type": "LoadImageFromNDArray"}
        pipeline[-1]["meta_keys"] = ("ori_shape", "img_shape", "scale_factor")
        self._pipeline = Compose(pipeline)

    def __call__(self, image: Image) -> Detections:
        """Return the objects in one image, as ``Segmenter`` does."""
        return self.predict([image])[0]

    def predict(self, images: Sequence[Image]) -> list[Detections]:
        """Return the objects in each image."""
        results = []
        for image in images:
            data = pseudo_collate([self._pipeline({"img": check_image(image)})])
            with torch.no_grad():
                (sample,) = self._detector.test_step(data)
            results.append(as_detections(sample.pred_instances.cpu()))
        return results


def as_detections(instances: InstanceData) -> Detections:
    """Convert MMDetection's predictions for one image; masks may be run lengths or bitmaps."""
    masks = instances.masks
    if not isinstance(masks, list):
        bitmaps = np.asarray(masks, np.uint8).transpose(1, 2, 0)
        masks = coco_mask.encode(np.asfortranarray(bitmaps))
    return Detections(
        instances.bboxes.numpy(), instances.scores.numpy(), instances.labels.numpy(), masks
    )
