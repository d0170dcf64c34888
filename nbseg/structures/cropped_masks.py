"""Store instance masks as tight, bit-packed crops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nbseg._native import crops_from_rle, select_pixels
from nbseg.structures.mask_conversions import compressed_counts, pack_bitmaps, pack_crops

UInt8Array = npt.NDArray[np.uint8]
Masks = TypeVar("Masks", bound="CroppedMasks")


class CroppedMasks:
    """Holds the binary instance masks of one image; each mask is cropped to its bounding box.

    A bitmap takes one byte per pixel of the image. A crop takes one bit per pixel of the
    instance's tight bounding box. Everything outside the box is background. Converting polygons or
    uncompressed run lengths needs pycocotools. The subclass ``CroppedBitmapMasks`` works in
    MMDetection's transforms.

    Layout: the crop of instance g starts at ``bits[starts[g]]`` and has ``h`` rows of
    ``(w + 7) // 8`` bytes. The pixel in column ``c`` of the crop is bit ``c % 8`` (least
    significant first) of the row's byte ``c // 8``. The spare bits of a row are 0. An instance
    without foreground has the crop (0, 0, 0, 0). No method changes masks in place, so several
    ``CroppedMasks`` may share the same ``bits``.

    Args:
        bits (Tensor): bytes of all crops, one crop after the other, shape (B,), uint8.
        starts (Tensor): first byte of each crop, shape (G,), int64.
        crops (Tensor): rectangle (x0, y0, w, h) of each crop in image pixels, shape (G, 4), int32.
        height (int): height H of the image in pixels.
        width (int): width W of the image in pixels.
    """

    def __init__(self, bits: Tensor, starts: Tensor, crops: Tensor, height: int, width: int):
        self.bits = bits
        self.starts = starts
        self.crops = crops
        self.height = height
        self.width = width

    @classmethod
    def from_bitmaps(cls: type[Masks], bitmaps: npt.NDArray[Any] | Tensor) -> Masks:
        """Pack full-size masks.

        Args:
            bitmaps: shape (G, H, W), bool or integer; non-zero is foreground.

        Raises:
            TypeError: ``bitmaps`` has a wrong dtype.
            ValueError: ``bitmaps`` has a wrong shape.
        """
        array = bitmaps.detach().cpu().numpy() if isinstance(bitmaps, Tensor) else bitmaps
        if array.ndim != 3:
            raise ValueError(f"bitmaps must have shape (G, H, W), found {tuple(array.shape)}")
        if array.dtype.kind not in "bui":
            raise TypeError(f"bitmaps must be bool or integer, found {array.dtype}")
        return cls._from_arrays(*pack_bitmaps(array), *array.shape[1:])

    @classmethod
    def from_segmentations(
        cls: type[Masks], segmentations: Sequence[Any], height: int, width: int
    ) -> Masks:
        """Convert the segmentations of COCO annotations; no full-size masks are created.

        Args:
            segmentations: one entry per instance, either an RLE or a list of polygons. An RLE is a
                dict of ``size`` [H, W] and ``counts``, compressed (str or bytes) or uncompressed (a
                list). A polygon is a flat list [x0, y0, x1, y1, ...] of at least three points in
                pixels. pycocotools rasterizes polygons.
            height: height of the image in pixels.
            width: width of the image in pixels.

        Raises:
            ValueError: the size of an RLE is not [height, width], the counts of an RLE do not add
                up to height * width, or a coordinate of a polygon is not a number from -2**20 to
                2**20.
        """
        counts = [compressed_counts(mask, height, width) for mask in segmentations]
        return cls._from_arrays(*crops_from_rle(counts, height, width), height, width)

    @classmethod
    def from_instance_masks(cls: type[Masks], masks: Any) -> Masks:
        """Convert MMDetection's BitmapMasks or PolygonMasks, or other CroppedMasks, to this class.

        CroppedMasks are not copied: the result shares their tensors.

        Raises:
            TypeError: ``masks`` has another type.
        """
        if isinstance(masks, cls):
            return masks
        if isinstance(masks, CroppedMasks):
            return cls(masks.bits, masks.starts, masks.crops, masks.height, masks.width)
        content = getattr(masks, "masks", None)
        if isinstance(content, np.ndarray):
            return cls.from_bitmaps(content)
        if isinstance(content, list):
            return cls.from_segmentations(content, masks.height, masks.width)
        raise TypeError(
            f"masks must be BitmapMasks, PolygonMasks or CroppedMasks, found {type(masks).__name__}"
        )

    def to_bitmaps(self) -> UInt8Array:
        """Unpack to full-size masks, shape (G, H, W), uint8 of 0 and 1."""
        bitmaps = np.zeros((len(self), self.height, self.width), np.uint8)
        for bitmap, (crop, (x, y)) in zip(bitmaps, self.iterate_crops(), strict=True):
            bitmap[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        return bitmaps

    def iterate_crops(self) -> Iterator[tuple[UInt8Array, tuple[int, int]]]:
        """Yield each instance's crop (h, w), uint8 of 0 and 1, and the crop's top left (x0, y0)."""
        bits = self.bits.cpu().numpy()
        for start, (x, y, w, h) in zip(self.starts.tolist(), self.crops.tolist(), strict=True):
            stride = (w + 7) // 8
            rows = bits[start : start + h * stride].reshape(h, stride)
            yield np.unpackbits(rows, axis=1, count=w, bitorder="little"), (x, y)

    def union(self) -> UInt8Array:
        """Return the union of all instances, shape (H, W), uint8 of 0 and 1."""
        bitmap = np.zeros((self.height, self.width), np.uint8)
        for crop, (x, y) in self.iterate_crops():
            bitmap[y : y + crop.shape[0], x : x + crop.shape[1]] |= crop
        return bitmap

    def select_pixels(self: Masks, rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> Masks:
        """Return the masks of a new image that consists of rows and columns of this image.

        Pixel (i, j) of the new image is pixel ``(rows[i], columns[j])`` of this image. If either
        index is -1, the pixel is background.

        Args:
            rows: shape (H',), integers in [-1, H); H' is the height of the new image.
            columns: shape (W',), integers in [-1, W); W' is the width of the new image.

        Raises:
            ValueError: an index lies outside the image.
        """
        arrays = select_pixels(
            self.bits.cpu().numpy(),
            self.starts.cpu().numpy(),
            self.crops.cpu().numpy(),
            self.height,
            self.width,
            rows.astype(np.int32),
            columns.astype(np.int32),
        )
        return self._from_arrays(*arrays, len(rows), len(columns))

    def transpose(self: Masks) -> Masks:
        """Return the masks with rows and columns swapped: pixel (i, j) becomes pixel (j, i)."""
        bits, starts = pack_crops(crop.T for crop, _ in self.iterate_crops())
        crops = self.crops[:, [1, 0, 3, 2]].cpu().numpy()
        return self._from_arrays(bits, starts, crops, self.width, self.height)

    def to(
        self: Masks,
        device: torch.device | str | torch.dtype | None = None,
        dtype: torch.dtype | None = None,
        non_blocking: bool = False,
    ) -> Masks:
        """Return the masks on a device.

        A copy from the CPU to a CUDA device is always asynchronous. This is safe because the masks
        are first copied to a new buffer in pinned memory, which nothing else uses. A dtype, which
        ``InstanceData.to`` may pass, is ignored. Without a device, the masks are returned as they
        are.
        """
        if device is None or isinstance(device, torch.dtype):
            return self
        if self.bits.device.type == "cpu" and torch.device(device).type == "cuda":
            buffer = self._to_buffer(pin_memory=True).to(device, non_blocking=True)
            return self._from_buffer(buffer, len(self), self.height, self.width)
        bits, starts, crops = (
            tensor.to(device, non_blocking=non_blocking)
            for tensor in (self.bits, self.starts, self.crops)
        )
        return type(self)(bits, starts, crops, self.height, self.width)

    @classmethod
    def cat(cls: type[Masks], masks: Sequence[Masks]) -> Masks:
        """Concatenate the instances of several masks objects, whose images have the same size.

        Args:
            masks: one or more CroppedMasks, BitmapMasks or PolygonMasks.

        Raises:
            ValueError: ``masks`` is empty, or the images have different sizes.
        """
        masks = [cls.from_instance_masks(part) for part in masks]
        sizes = {(part.height, part.width) for part in masks}
        if len(sizes) != 1:
            raise ValueError(
                "CroppedMasks.cat expects one or more objects with images of the same size "
                f"(height, width), found the sizes {sorted(sizes)}"
            )
        bits, shifts = [masks[0].bits], [0] * len(masks)
        if any(part.bits is not masks[0].bits for part in masks):
            bits = [part.bits for part in masks]
            shifts = np.cumsum([0] + [part.numel() for part in bits[:-1]]).tolist()
        starts = [part.starts + shift for part, shift in zip(masks, shifts, strict=True)]
        crops = torch.cat([part.crops for part in masks])
        return cls(torch.cat(bits), torch.cat(starts), crops, *sizes.pop())

    def __getitem__(self: Masks, index: Any) -> Masks:
        """Select instances by an int, a slice, or a list or array of integers or booleans.

        The result has the same class as this object. For an int, the result has one instance.
        """
        if isinstance(index, Tensor):
            index = index.cpu().numpy()
        chosen = torch.from_numpy(np.arange(len(self))[index].reshape(-1).copy())
        starts, crops = self.starts[chosen], self.crops[chosen]
        return type(self)(self.bits, starts, crops, self.height, self.width)

    def __iter__(self) -> Iterator[UInt8Array]:
        """Yield the full-size masks, shape (H, W), one by one."""
        for g in range(len(self)):
            yield self[g].to_bitmaps()[0]

    def __len__(self) -> int:
        return self.crops.shape[0]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_masks={len(self)}, height={self.height}, "
            f"width={self.width}, bytes={self.bits.numel()})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # A data loader's worker sends one array through a pipe. For three tensors it would need
        # three file descriptors.
        buffer = self._to_buffer()
        content = buffer if buffer.is_cuda else buffer.numpy()
        return self._from_buffer, (content, len(self), self.height, self.width)

    def _byte_counts(self) -> Tensor:
        """Return the number of bytes of each crop, shape (G,), int64."""
        return (self.crops[:, 2].long() + 7) // 8 * self.crops[:, 3]

    def _to_buffer(self, pin_memory: bool = False) -> Tensor:
        """Return crops, starts and bits in one uint8 tensor.

        Bits that belong to none of the instances are left out.
        """
        sizes = self._byte_counts()
        ends = sizes.cumsum(0)
        buffer = torch.empty(
            24 * len(self) + int(sizes.sum()),
            dtype=torch.uint8,
            device=self.bits.device,
            pin_memory=pin_memory,
        )
        copy = self._from_buffer(buffer, len(self), self.height, self.width)
        copy.crops.copy_(self.crops)
        copy.starts.copy_(ends - sizes)
        parts = zip(self.starts.tolist(), sizes.tolist(), strict=True)
        torch.cat([self.bits[:0], *(self.bits[s : s + n] for s, n in parts)], out=copy.bits)
        return buffer

    @classmethod
    def _from_buffer(
        cls: type[Masks], buffer: Tensor | UInt8Array, instances: int, height: int, width: int
    ) -> Masks:
        tensor = torch.as_tensor(buffer)
        if tensor.numel() == 0:
            tensor = tensor.new_empty(0)  # ``view`` may reject the stride of an empty numpy array
        crops = tensor[: 16 * instances].view(torch.int32).view(-1, 4)
        starts = tensor[16 * instances : 24 * instances].view(torch.int64)
        return cls(tensor[24 * instances :], starts, crops, height, width)

    @classmethod
    def _from_arrays(
        cls: type[Masks],
        bits: UInt8Array,
        starts: npt.NDArray[np.int64],
        crops: npt.NDArray[np.int32],
        height: int,
        width: int,
    ) -> Masks:
        return cls(
            torch.from_numpy(bits),
            torch.from_numpy(starts),
            torch.from_numpy(crops),
            int(height),
            int(width),
        )
