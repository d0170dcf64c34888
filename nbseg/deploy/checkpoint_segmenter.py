"""Find objects in images with a checkpoint.

The methods are those of ``nbseg.deploy.runtime.Segmenter``, which runs exported models.
"""

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
from nbseg.image_options import Image, options_in
from nbseg.images import read_image


class CheckpointSegmenter:
    """Finds objects in images with a checkpoint and the test pipeline of its config.

    The model runs on a GPU if PyTorch finds one, otherwise on the CPU.

    Args:
        config: MMDetection config of the model, for example the result of
            ``nbseg.config.plain_config.student_config``.
        checkpoint: ``.pth`` file with the model's weights.

    Attributes:
        classes: class names in the order of the labels.
        image_options: the channels, the plane and the range of values that the training read from
            image files.
        providers: a tuple of one string with the device in use, such as ``PyTorch on cuda``.

    Raises:
        FileNotFoundError: the checkpoint is missing.
        ValueError: the weights do not fit the config's model, or the number of class names is not
            the model's number of classes.
    """

    def __init__(self, config: Config, checkpoint: str | Path) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.providers: tuple[str, ...] = (f"PyTorch on {device}",)
        self._detector = load_detector(config, checkpoint).to(device)
        self.classes = class_names(config, checkpoint, self._detector)
        pipeline = copy.deepcopy(config.test_dataloader.dataset.pipeline)
        pipeline = [t for t in pipeline if not t["type"].endswith("Annotations")]
        self.image_options = options_in(pipeline)
        pipeline[0] = {"type": "LoadImageFromNDArray"}
        pipeline[-1]["meta_keys"] = ("ori_shape", "img_shape", "scale_factor")
        self._pipeline = Compose(pipeline)

    def __call__(self, image: Image) -> Detections:
        """Return the detections in one image.

        The method raises the same errors as :meth:`predict`.

        Args:
            image: (H, W, 3) uint8 in BGR order.
        """
        return self.predict([image])[0]

    def read(self, path: str | Path) -> Image:
        """Read an image file with the channels and the range of values that the training used.

        Args:
            path: an image file; TIFFs need the packages tifffile and imagecodecs.

        Returns:
            (H, W, 3) uint8 in BGR order; if ``image_options.bands`` names two channels or more than
            three, (H, W, C).

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file cannot be decoded, or lacks a channel that the training used.
        """
        return read_image(path, options=self.image_options)

    def predict(self, images: Sequence[Image]) -> list[Detections]:
        """Return the detections in each image, in the order of the images.

        Args:
            images: images of any sizes, each (H, W, 3) uint8 in BGR order.

        Raises:
            TypeError: an image is not an array of uint8.
            ValueError: an image does not have the shape (H, W, 3), or has no pixels.
        """
        results = []
        for image in images:
            checked = check_image(image, self.image_options.channels)
            data = pseudo_collate([self._pipeline({"img": checked})])
            with torch.no_grad():
                (sample,) = self._detector.test_step(data)
            results.append(as_detections(sample.pred_instances.cpu()))
        return results


def as_detections(instances: InstanceData) -> Detections:
    """Convert MMDetection's predictions for one image to ``Detections``.

    Args:
        instances: predictions, whose tensors are on the CPU. The masks are a list of COCO RLEs, or
            bitmaps of the image's size, shape (N, H, W).
    """
    masks = instances.masks
    if not isinstance(masks, list):
        bitmaps = np.asarray(masks, np.uint8).transpose(1, 2, 0)
        masks = coco_mask.encode(np.asfortranarray(bitmaps))
    return Detections(
        instances.bboxes.numpy(), instances.scores.numpy(), instances.labels.numpy(), masks
    )
