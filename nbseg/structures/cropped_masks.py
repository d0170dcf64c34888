"""Instance masks kept as tight, bit-packed crops."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

UInt8Array = npt.NDArray[np.uint8]


class CroppedMasks:
    """Binary instance masks of one image, each stored as the bits of its tight bounding box.

    G instances of an H x W image take ``G * H * W`` bytes as bitmaps; here an instance takes
    one bit per pixel of its own box. Everything outside the box is background.

    Layout: the crop of instance g has ``h`` rows of ``(w + 7) // 8`` bytes each, the first one at
    ``bits[starts[g]]``. A row begins on a byte boundary, and the pixel in column ``c`` of the crop
    is bit ``c % 8`` (least significant first) of byte ``c // 8``; the spare bits of a row are 0.
    An instance without foreground has the crop (0, 0, 0, 0).

    Args:
        bits (Tensor): all crops one after the other, shape (B,), uint8.
        starts (Tensor): first byte of each crop, shape (G,), int64.
        crops (Tensor): rectangle (x0, y0, w, h) of each crop in image pixels, shape (G, 4), int32.
        height (int): height H of the image.
        width (int): width W of the image.
    """

    def __init__(self, bits: Tensor, starts: Tensor, crops: Tensor, height: int, width: int):
        self.bits = bits
        self.starts = starts
        self.crops = crops
        self.height = height
        self.width = width

    @classmethod
    def from_bitmaps(cls, bitmaps: npt.NDArray[Any] | Tensor) -> CroppedMasks:
        """Pack full-size masks.

        Args:
            bitmaps: shape (G, H, W), bool or integer; non-zero is foreground.
        """
        array = bitmaps.detach().cpu().numpy() if isinstance(bitmaps, Tensor) else bitmaps
        if array.ndim != 3:
            raise ValueError(f"bitmaps must have shape (G, H, W), found {tuple(array.shape)}")
        if array.dtype.kind not in "bui":
            raise TypeError(f"bitmaps must be bool or integer, found {array.dtype}")
        return cls._pack(array, *array.shape[1:])

    @classmethod
    def from_polygons(
        cls, polygons: Sequence[Sequence[Sequence[float]]], height: int, width: int
    ) -> CroppedMasks:
        """Rasterise COCO polygons with pycocotools.

        Args:
            polygons: per instance its polygons, each a flat [x0, y0, x1, y1, ...] in pixels.
            height: height of the image.
            width: width of the image.
        """
        from pycocotools import mask as mask_utils

        def rasterise(instance: Sequence[Sequence[float]]) -> UInt8Array:
            if len(instance) == 0:
                return np.zeros((height, width), np.uint8)
            parts = [np.asarray(polygon, np.float64).ravel().tolist() for polygon in instance]
            bitmap: UInt8Array = mask_utils.decode(
                mask_utils.merge(mask_utils.frPyObjects(parts, height, width))
            )
            return bitmap

        return cls._pack(map(rasterise, polygons), height, width)

    @classmethod
    def from_rle(
        cls,
        rles: Sequence[dict[str, Any]],
        height: int | None = None,
        width: int | None = None,
    ) -> CroppedMasks:
        """Unpack COCO run-length encodings, compressed (counts str or bytes) or not (a list).

        Args:
            rles: per instance a dict with ``size`` [H, W] and ``counts``.
            height: height of the image; only needed where ``rles`` is empty.
            width: width of the image; only needed where ``rles`` is empty.
        """
        from pycocotools import mask as mask_utils

        sizes = {tuple(rle["size"]) for rle in rles}
        if height is not None and width is not None:
            sizes.add((height, width))
        if len(sizes) != 1:
            raise ValueError(
                "the masks of one image must share one size [H, W], "
                f"found {sorted(sizes) if sizes else 'no mask, and no height and width given'}"
            )
        height, width = sizes.pop()

        def decode(rle: dict[str, Any]) -> UInt8Array:
            if isinstance(rle["counts"], list):
                rle = mask_utils.frPyObjects(rle, height, width)
            bitmap: UInt8Array = mask_utils.decode(rle)
            return bitmap

        return cls._pack(map(decode, rles), height, width)

    @classmethod
    def from_instance_masks(cls, masks: Any) -> CroppedMasks:
        """Convert MMDetection's BitmapMasks or PolygonMasks; CroppedMasks pass unchanged."""
        if isinstance(masks, CroppedMasks):
            return masks
        content = getattr(masks, "masks", None)
        if isinstance(content, np.ndarray):
            return cls.from_bitmaps(content)
        if isinstance(content, list):
            return cls.from_polygons(content, masks.height, masks.width)
        raise TypeError(
            f"masks must be BitmapMasks, PolygonMasks or CroppedMasks, found {type(masks).__name__}"
        )

    def to_bitmaps(self) -> UInt8Array:
        """Unpack to full-size masks, shape (G, H, W), uint8 of 0 and 1."""
        bitmaps = np.zeros((len(self), self.height, self.width), np.uint8)
        bits = self.bits.cpu().numpy()
        crops = self.crops.tolist()
        for bitmap, start, (x, y, w, h) in zip(bitmaps, self.starts.tolist(), crops, strict=True):
            stride = (w + 7) // 8
            rows = bits[start : start + h * stride].reshape(h, stride)
            bitmap[y : y + h, x : x + w] = np.unpackbits(rows, axis=1, count=w, bitorder="little")
        return bitmaps

    def to(self, device: torch.device | str) -> CroppedMasks:
        """Copy the three tensors to a device."""
        return type(self)(
            self.bits.to(device),
            self.starts.to(device),
            self.crops.to(device),
            self.height,
            self.width,
        )

    def __len__(self) -> int:
        return self.crops.shape[0]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_masks={len(self)}, height={self.height}, "
            f"width={self.width}, bytes={self.bits.numel()})"
        )

    @classmethod
    def _pack(cls, bitmaps: Iterable[npt.NDArray[Any]], height: int, width: int) -> CroppedMasks:
        packed = [np.zeros(0, np.uint8)]
        crops = []
        for bitmap in bitmaps:
            x0, y0, x1, y1 = _tight_box(bitmap)
            crops.append((x0, y0, x1 - x0, y1 - y0))
            crop = bitmap[y0:y1, x0:x1]
            packed.append(np.packbits(crop != 0, axis=1, bitorder="little").ravel())
        ends = np.cumsum([part.size for part in packed], dtype=np.int64)
        return cls(
            torch.from_numpy(np.concatenate(packed)),
            torch.from_numpy(ends[:-1].copy()),
            torch.tensor(crops, dtype=torch.int32).reshape(-1, 4),
            int(height),
            int(width),
        )


def _tight_box(bitmap: npt.NDArray[Any]) -> tuple[int, int, int, int]:
    """The box (x0, y0, x1, y1), ends exclusive, of the foreground; (0, 0, 0, 0) without any."""
    rows = np.flatnonzero(bitmap.any(axis=1))
    if rows.size == 0:
        return 0, 0, 0, 0
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(bitmap[y0:y1].any(axis=0))
    return int(columns[0]), y0, int(columns[-1]) + 1, y1
