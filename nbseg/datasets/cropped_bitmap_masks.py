"""Make masks that are stored only inside their tight boxes work in MMDetection's pipelines."""

from __future__ import annotations

from typing import Any

import mmcv
import numpy as np
import numpy.typing as npt
import torch
from mmdet.structures.bbox import BaseBoxes, get_box_type
from mmdet.structures.mask import BitmapMasks
from torch import Tensor

from nbseg.ops import multires_mask_targets
from nbseg.structures.cropped_masks import CroppedMasks


class CroppedBitmapMasks(CroppedMasks, BitmapMasks):
    """Makes ``CroppedMasks`` usable wherever MMDetection takes ``BitmapMasks``.

    ``CroppedMasks`` stores only a crop of each mask: the pixels in the mask's tight box, one bit
    per pixel.

    Nearest-neighbor resizing, flips, cropping, expanding, padding with 0, indexing, areas and boxes
    read only the stored crops. ``crop_and_resize`` also reads only the crops if its result is
    square and binary and all boxes lie inside the image. Other operations (e.g. rotation) and any
    access to ``masks`` create full-size bitmaps on demand. The results equal those of
    ``BitmapMasks``.

    The attribute ``masks`` can be assigned, but its value is a read-only array. MMDetection's
    ``RandomErasing`` therefore fails, because ``RandomErasing`` modifies the array in place.

    Args:
        *args, **kwargs: either the five arguments of ``CroppedMasks`` (bits, starts, crops, height,
            width), or the three arguments of ``BitmapMasks`` (full-size masks of shape (G, H, W),
            height, width).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if len(args) + len(kwargs) == 3:
            self._pack(BitmapMasks(*args, **kwargs))
        else:
            super().__init__(*args, **kwargs)

    @property
    def masks(self) -> npt.NDArray[np.uint8]:
        """Return the full-size masks, shape (G, H, W), uint8 of 0 and 1, read-only."""
        bitmaps = self.to_bitmaps()
        bitmaps.setflags(write=False)
        return bitmaps

    @masks.setter
    def masks(self, bitmaps: npt.NDArray[Any]) -> None:
        self._pack(BitmapMasks(bitmaps, *bitmaps.shape[1:]))

    def rescale(
        self, scale: float | tuple[int, int], interpolation: str = "nearest"
    ) -> CroppedBitmapMasks:
        width, height = mmcv.rescale_size((self.width, self.height), scale)
        return self.resize((height, width), interpolation)

    def resize(
        self, out_shape: tuple[int, int], interpolation: str = "nearest"
    ) -> CroppedBitmapMasks:
        if interpolation != "nearest":
            return self._by_bitmaps("resize", out_shape, interpolation)
        rows, columns = (
            _nearest_indices(size, new_size)
            for size, new_size in zip((self.height, self.width), out_shape, strict=True)
        )
        return self.select_pixels(rows, columns)

    def flip(self, flip_direction: str = "horizontal") -> CroppedBitmapMasks:
        if flip_direction not in ("horizontal", "vertical", "diagonal"):
            raise ValueError(
                'flip_direction must be "horizontal", "vertical" or "diagonal", '
                f"found {flip_direction!r}"
            )
        rows, columns = np.arange(self.height), np.arange(self.width)
        return self.select_pixels(
            rows if flip_direction == "horizontal" else rows[::-1],
            columns if flip_direction == "vertical" else columns[::-1],
        )

    def pad(self, out_shape: tuple[int, int], pad_val: int = 0) -> CroppedBitmapMasks:
        height, width = out_shape
        if pad_val or height < self.height or width < self.width:
            return self._by_bitmaps("pad", out_shape, pad_val)
        return type(self)(self.bits, self.starts, self.crops, int(height), int(width))

    def crop(self, bbox: npt.NDArray[Any]) -> CroppedBitmapMasks:
        x0, x1 = np.clip(bbox[0::2], 0, self.width).astype(int)
        y0, y1 = np.clip(bbox[1::2], 0, self.height).astype(int)
        rows = np.arange(y0, max(y1, y0 + 1))
        columns = np.arange(x0, max(x1, x0 + 1))
        return self.select_pixels(
            np.where(rows < self.height, rows, -1), np.where(columns < self.width, columns, -1)
        )

    def expand(self, expanded_h: int, expanded_w: int, top: int, left: int) -> CroppedBitmapMasks:
        rows, columns = np.full(expanded_h, -1), np.full(expanded_w, -1)
        rows[top : top + self.height] = np.arange(self.height)
        columns[left : left + self.width] = np.arange(self.width)
        return self.select_pixels(rows, columns)

    def crop_and_resize(
        self,
        bboxes: npt.NDArray[Any] | Tensor,
        out_shape: tuple[int, int],
        inds: npt.NDArray[Any] | Tensor,
        device: torch.device | str = "cpu",
        interpolation: str = "bilinear",
        binarize: bool = True,
    ) -> BitmapMasks:
        corners = torch.as_tensor(bboxes)
        limit = torch.tensor([self.width, self.height] * 2, device=corners.device)
        # multires_mask_targets clips boxes to the image, but BitmapMasks does not.
        clipped = bool(((corners < 0) | (corners > limit)).any())
        if clipped or not binarize or out_shape[0] != out_shape[1] or len(self) == 0:
            return self.to_bitmap_masks().crop_and_resize(
                bboxes, out_shape, inds, device, interpolation, binarize
            )
        boxes = torch.as_tensor(bboxes, dtype=torch.float32, device=device)
        gt_inds = torch.as_tensor(inds, dtype=torch.int64, device=device)
        (targets,) = multires_mask_targets(self.to(device), boxes, gt_inds, sizes=out_shape[:1])
        return BitmapMasks(targets.cpu().numpy(), *out_shape)

    def translate(self, *args: Any, **kwargs: Any) -> CroppedBitmapMasks:
        return self._by_bitmaps("translate", *args, **kwargs)

    def shear(self, *args: Any, **kwargs: Any) -> CroppedBitmapMasks:
        return self._by_bitmaps("shear", *args, **kwargs)

    def rotate(self, *args: Any, **kwargs: Any) -> CroppedBitmapMasks:
        return self._by_bitmaps("rotate", *args, **kwargs)

    @property
    def areas(self) -> npt.NDArray[np.int64]:
        """Return the number of foreground pixels of each instance, shape (G,), int64."""
        sizes = self._byte_counts()
        counts = np.unpackbits(self.bits.cpu().numpy()).reshape(-1, 8).sum(axis=1)
        sums = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        areas: npt.NDArray[np.int64] = (
            sums[(self.starts + sizes).cpu().numpy()] - sums[self.starts.cpu().numpy()]
        )
        return areas

    def get_bboxes(self, dst_type: str = "hbox") -> BaseBoxes:
        _, box_type = get_box_type(dst_type)
        boxes = self.crops.float()
        boxes[:, 2:] += boxes[:, :2]
        return box_type(boxes)

    def to_bitmap_masks(self) -> BitmapMasks:
        """Return MMDetection's ``BitmapMasks`` with full-size bitmaps."""
        return BitmapMasks(self.to_bitmaps(), self.height, self.width)

    def _pack(self, bitmap_masks: BitmapMasks) -> None:
        packed = CroppedMasks.from_bitmaps(bitmap_masks.masks)
        super().__init__(
            packed.bits, packed.starts, packed.crops, bitmap_masks.height, bitmap_masks.width
        )

    def _by_bitmaps(self, method: str, *args: Any, **kwargs: Any) -> CroppedBitmapMasks:
        bitmap_masks = getattr(self.to_bitmap_masks(), method)(*args, **kwargs)
        return self.from_instance_masks(bitmap_masks)


def _nearest_indices(size: int, new_size: int) -> npt.NDArray[np.int64]:
    """Return, for each pixel of a resized axis, the index of the pixel that it copies.

    The indices are those of OpenCV's nearest-neighbor resizing.

    Args:
        size: number of pixels of the axis before resizing.
        new_size: number of pixels of the axis after resizing.

    Returns:
        Indices from 0 to ``size - 1``, shape (new_size,), int64.
    """
    # Divide twice, as OpenCV does: size / new_size would sometimes round to another pixel.
    scale = 1.0 / (new_size / size)
    indices: npt.NDArray[np.int64] = np.floor(np.arange(new_size) * scale).astype(np.int64)
    return np.minimum(indices, size - 1)
