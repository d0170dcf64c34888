"""Move pseudo-labels from the teacher's view of an image to the student's view.

Both views may be flipped, cropped and scaled. The point (x, y) of the teacher's view lies in the
student's view at

    x' = sx * x + tx        y' = sy * y + ty

where sx and sy are scales (negative for a flip), and tx and ty are shifts in pixels.

A pseudo-label has a box and a soft mask, which is a grid of probabilities over the box. Cropping
and scaling therefore change only the box; only a flip changes the grid. The binary mask is drawn
once, at the resolution of the student's view.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks
from nbseg.ops import paste_rle


class Motion(NamedTuple):
    """Maps points of the teacher's view to the student's view.

    The point (x, y) moves to (scale_x * x + shift_x, scale_y * y + shift_y), in pixels. A negative
    scale is a flip.
    """

    scale_x: float
    scale_y: float
    shift_x: float
    shift_y: float

    @classmethod
    def between(cls, teacher: DetDataSample, student: DetDataSample) -> "Motion":
        """Return the motion from the teacher's view of an image to the student's view.

        Args:
            teacher: sample of the teacher's view. Its ``homography_matrix``, (3, 3), maps pixels of
                the image to pixels of the view; without this matrix, the view is the image.
            student: sample of the student's view, with a matrix of the same kind.

        Raises:
            ValueError: one view is rotated, sheared or seen in perspective relative to the other.
        """
        to_teacher, to_student = (
            np.asarray(sample.metainfo.get("homography_matrix", np.eye(3)), np.float64)
            for sample in (teacher, student)
        )
        matrix = to_student @ np.linalg.inv(to_teacher)
        matrix = matrix / matrix[2, 2]
        allowed = np.diag(np.diag(matrix))
        allowed[:2, 2] = matrix[:2, 2]
        if not np.allclose(matrix, allowed, rtol=0, atol=1e-6) or not np.diag(matrix).all():
            raise ValueError(
                f"the student's view of {student.metainfo.get('img_path', 'an image')} is rotated, "
                "sheared or warped relative to the teacher's view (homography "
                f"{np.round(matrix, 4).tolist()}). Masks of pseudo-labels can only be flipped, "
                "cropped and scaled; put all other geometric transforms before MultiBranch, where "
                "they change both views"
            )
        return cls(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])

    def boxes(self, boxes: Tensor) -> Tensor:
        """Return boxes of the teacher's view in pixels of the student's view, without clipping.

        Args:
            boxes: (N, 4) xyxy in pixels of the teacher's view.

        Returns:
            Shape (N, 4), xyxy, with the dtype of ``boxes``.
        """
        corners = boxes.double().reshape(-1, 2, 2)
        scale, shift = corners.new_tensor(self).view(2, 2)
        moved = corners * scale + shift
        return torch.cat([moved.amin(dim=1), moved.amax(dim=1)], dim=1).to(boxes.dtype)

    def soft_masks(self, soft_masks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return soft masks, (N, S, S), flipped in the directions in which the motion flips."""
        rows = slice(None, None, -1 if self.scale_y < 0 else 1)
        columns = slice(None, None, -1 if self.scale_x < 0 else 1)
        return np.ascontiguousarray(soft_masks[:, rows, columns])


def move_instances(
    instances: InstanceData,
    motion: Motion,
    shape: Sequence[int],
    pixel_threshold: float,
    min_size: float = 1.0,
) -> InstanceData:
    """Move pseudo-labels from the teacher's view to the student's view.

    Args:
        instances: pseudo-labels with ``bboxes``, (N, 4) xyxy in pixels of the teacher's view, and
            ``soft_masks``, (N, S, S) uint8; value / 255 is the probability. Other fields, such as
            ``labels``, are copied to the result.
        motion: motion from the teacher's view to the student's view.
        shape: height and width of the student's view in pixels.
        pixel_threshold: lowest probability of a foreground pixel.
        min_size: smallest width and height of a box in pixels, after clipping to the student's
            view. Instances with smaller boxes are left out.

    Returns:
        The instances whose masks have a pixel in the student's view. ``masks``, of the type
        ``CroppedBitmapMasks``, replaces ``soft_masks``.
    """
    height, width = int(shape[0]), int(shape[1])
    whole = motion.boxes(instances.bboxes)
    soft_masks = motion.soft_masks(instances.soft_masks.cpu().numpy())
    rles = paste_rle(soft_masks, whole.cpu().numpy(), height, width, pixel_threshold)
    moved = InstanceData(**{k: v for k, v in instances.items() if k != "soft_masks"})
    moved.bboxes = clip(whole, height, width)
    moved.masks = CroppedBitmapMasks.from_segmentations(rles, height, width)
    visible = (moved.masks.crops[:, 2:] > 0).all(dim=1).to(whole.device)
    return moved[visible & _large(moved.bboxes, min_size)]


def move_boxes(
    boxes: Tensor, motion: Motion, shape: Sequence[int], min_size: float = 1.0
) -> Tensor:
    """Move boxes to the student's view, clip them, and leave out boxes that are then too small.

    Args:
        boxes: (N, 4) xyxy in pixels of the teacher's view.
        motion: motion from the teacher's view to the student's view.
        shape: height and width of the student's view in pixels.
        min_size: smallest width and height of a box in pixels, after clipping.

    Returns:
        Boxes, (M, 4) xyxy in pixels of the student's view, M <= N.
    """
    moved = clip(motion.boxes(boxes), int(shape[0]), int(shape[1]))
    return moved[_large(moved, min_size)]


def clip(boxes: Tensor, height: int, width: int) -> Tensor:
    """Return boxes, (N, 4) xyxy, clipped to an image of ``height`` x ``width`` pixels."""
    limit = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limit)


def _large(boxes: Tensor, min_size: float) -> Tensor:
    return ((boxes[:, 2:] - boxes[:, :2]) >= min_size).all(dim=1)
