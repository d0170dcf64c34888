"""Detections of many images as one COCO json."""

from collections.abc import Sequence
from typing import Any

from nbseg.deploy.detections import Detections
from nbseg.deploy.images import Image


class CocoPredictions:
    """Images and detections in the form of a COCO json.

    Args:
        classes: names, by label; category ids begin at 1.

    Attributes:
        images, annotations, categories: the json's lists.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.categories = [{"id": i, "name": name} for i, name in enumerate(classes, 1)]

    def add(
        self, image: Image, detections: Detections, min_score: float, **source: str | int
    ) -> None:
        """Add one image and those of its detections that have this score.

        Args:
            image: (H, W, 3), for its size.
            detections: of this image.
            min_score: detections below it are left out.
            **source: where the image is from: ``file_name`` and, of a video, ``frame``.
        """
        height, width = image.shape[:2]
        image_id = len(self.images) + 1
        self.images.append({"id": image_id, "height": height, "width": width, **source})
        for index, rle in enumerate(detections.rles):
            score = float(detections.scores[index])
            if score < min_score:
                continue
            x0, y0, x1, y1 = detections.boxes[index].tolist()
            self.annotations.append(
                {
                    "id": len(self.annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(detections.labels[index]) + 1,
                    "score": score,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                }
            )
