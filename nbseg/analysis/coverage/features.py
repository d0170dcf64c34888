"""Describe images by the features of a pretrained backbone."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from nbseg.deploy.detector import build_detector
from nbseg.image_options import DEFAULTS, Image, ImageOptions
from nbseg.images import read_image
from nbseg.models.pretrained_weights import load_matching, load_pretrained, pretrained_inits

# Shorter side of the scaled images in pixels, as in pretraining on ImageNet.
SHORT_SIDE = 224
# Upper limit of the longer side in pixels. Longer images are squeezed to this length.
LONG_SIDE = 2 * SHORT_SIDE
# Largest factor by which the usual backbones reduce the image size.
STRIDE = 32


class BackboneFeatures:
    """Computes features of images with a detector's data preprocessor and pretrained backbone.

    The features of an image are the mean and the standard deviation of each channel of each feature
    map of the backbone. Both are computed over all positions of the feature map.

    Args:
        detector: a detector with the attributes ``data_preprocessor`` and ``backbone``.
    """

    def __init__(self, detector: Any) -> None:
        detector.eval()  # the method of some backbones returns None
        self.preprocessor, self.backbone = detector.data_preprocessor, detector.backbone

    @torch.inference_mode()
    def __call__(self, pixels: Image) -> npt.NDArray[np.float32]:
        """Return the features of an image, float32, shape (D,).

        Args:
            pixels: BGR, uint8, shape (H, W, 3), of any size.
        """
        height, width = pixels.shape[:2]
        scale = SHORT_SIDE / min(height, width)
        # Round the sides to multiples of the stride. Other sides would need padding, and the
        # padding would change the means.
        size = tuple(
            STRIDE * round(min(scale * side, LONG_SIDE) / STRIDE) for side in (width, height)
        )
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        scaled = cv2.resize(pixels, size, interpolation=interpolation)
        image = torch.from_numpy(scaled).permute(2, 0, 1)
        batch = self.preprocessor({"inputs": [image], "data_samples": None})
        pooled = []
        for maps in self.backbone(batch["inputs"]):
            pooled += [maps.mean((2, 3)), maps.std((2, 3), correction=0)]
        result: npt.NDArray[np.float32] = torch.cat(pooled, 1)[0].float().numpy()
        return result

    def of_files(
        self, paths: Iterable[Path], options: ImageOptions = DEFAULTS
    ) -> tuple[list[Path], npt.NDArray[np.float32]]:
        """Return the features of image files; images that cannot be read are left out.

        Args:
            paths: the files.
            options: which channels, plane and values of the files are read; use those of the
                training.

        Returns:
            The paths of the N images that were read, and their features, shape (N, D). If no image
            was read, the shape is (0, 0).
        """
        read, features = [], []
        for path in paths:
            try:
                pixels = read_image(path, options=options)
            except (OSError, ValueError):
                continue  # other checks of a run report the images that cannot be read
            read.append(path)
            features.append(self(pixels))
        return read, np.stack(features) if features else np.zeros((0, 0), np.float32)


def pretrained_features(plain: Config) -> BackboneFeatures | None:
    """Build ``BackboneFeatures`` with the weights from which a training stage starts.

    Args:
        plain: MMDetection config of the training stage.

    Returns:
        The ``BackboneFeatures``. None if the stage starts from random weights, whose features say
        little about an image.

    Raises:
        FileNotFoundError: a file with weights is missing.
        StageError: the weights do not fit the model.
    """
    source = plain.get("load_from")
    if not source and not pretrained_inits(plain.model.backbone.get("init_cfg")):
        return None
    detector = build_detector(plain)
    if source:
        content = CheckpointLoader.load_checkpoint(source, "cpu", "current")
        load_matching(detector, content, source, "the model", "correct load_from")
    else:
        load_pretrained(detector.backbone)
    return BackboneFeatures(detector)
