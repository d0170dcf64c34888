"""Collect the detections of many images in one COCO json."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nbseg._native import crops_from_rle
from nbseg.deploy.detections import Detections
from nbseg.image_options import Image
from nbseg.large_images import LargeImage


class CocoPredictions:
    """Collects images and their detections in the lists that make up a COCO json.

    Args:
        classes: class names in the order of the labels. Label i gets the category id i + 1.

    Attributes:
        images, annotations, categories: the lists that the json has under these keys.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.categories = [{"id": i, "name": name} for i, name in enumerate(classes, 1)]

    def add(
        self,
        image: Image | LargeImage,
        detections: Detections,
        min_score: float,
        **source: str | int,
    ) -> None:
        """Add one image and its detections.

        Args:
            image: the image (H, W, 3); only its size is stored.
            detections: detections of this image.
            min_score: detections with a lower score are left out.
            **source: more entries for the image in the json: ``file_name`` is the name or path of
                the image or video file; ``frame`` is a video frame's number, counted from 0.
        """
        height, width = image.shape[:2]
        image_id = len(self.images) + 1
        self.images.append({"id": image_id, "height": height, "width": width, **source})
        for index, rle in enumerate(detections.rles):
            score = float(detections.scores[index])
            if score < min_score:
                continue
            bits, _, _ = crops_from_rle([rle["counts"]], *rle["size"])
            x0, y0, x1, y1 = detections.boxes[index].tolist()
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(detections.labels[index]) + 1,
                    "score": score,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": int(np.unpackbits(bits).sum()),
                    "iscrowd": 0,
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                }
            )
