"""Make mask targets of several sizes from cropped masks."""

from collections.abc import Sequence

import torch
from torch import Tensor

from nbseg.ops._checks import check_tensor
from nbseg.ops._extension import check_built_for
from nbseg.structures import CroppedMasks

MAX_SIZES_CUDA = 8  # the CUDA kernel makes at most this many sizes in one launch


def multires_mask_targets(
    masks: CroppedMasks, boxes: Tensor, gt_inds: Tensor, sizes: Sequence[int] = (28, 14)
) -> tuple[Tensor, ...]:
    """Crop each proposal's instance mask to the proposal box, and resize the crop to several sizes.

    The targets equal those of MMDetection's ``mask_target`` on ``BitmapMasks``. They are computed
    in three steps:

    1. Copies of the proposal boxes are clipped to the image.
    2. RoIAlign (``aligned=True``) divides each box into s x s bins, and averages the mask over
       each bin. In a bin of h x w pixels, RoIAlign takes ceil(h) x ceil(w) samples.
    3. The target of a bin is 1 if the average is at least 0.5, otherwise 0.

    Args:
        masks: G instance masks of one image, on the device of ``boxes``.
        boxes: proposals (x0, y0, x1, y1) in image pixels, shape (R, 4), float32.
        gt_inds: index in ``masks`` of the instance that each proposal is assigned to, shape (R,),
            int64 in [0, G).
        sizes: side lengths s of the targets.

    Returns:
        One tensor per size, shape (R, s, s), uint8 of 0 and 1.

    Raises:
        TypeError: an argument has a wrong type or dtype.
        ValueError: shapes or devices do not match, there are no sizes, a size is not positive,
            there are more than 8 sizes on a GPU, a box is inverted or contains NaN, or an entry of
            ``masks.crops`` lies outside the image.
        IndexError: an entry of ``gt_inds`` lies outside [0, G).
        RuntimeError: the tensors are on a GPU, but nbseg was built without CUDA.

    On a GPU, a bad box, a bad index, or an entry of ``masks.crops`` outside the image raises none
    of these errors. Instead, a device-side assert fails, and the process can no longer use the GPU.
    """
    if not isinstance(masks, CroppedMasks):
        raise TypeError(
            f"masks must be CroppedMasks, found {type(masks).__name__}; "
            "convert MMDetection's masks with CroppedMasks.from_instance_masks"
        )
    check_tensor("boxes", boxes, ("R", 4), (torch.float32,))
    check_tensor("gt_inds", gt_inds, (boxes.shape[0],), (torch.int64,), boxes.device)
    check_tensor("masks.bits", masks.bits, ("B",), (torch.uint8,), boxes.device)
    check_tensor("masks.starts", masks.starts, ("G",), (torch.int64,), boxes.device)
    check_tensor("masks.crops", masks.crops, (len(masks.starts), 4), (torch.int32,), boxes.device)
    if len(sizes) == 0 or any(size < 1 for size in sizes):
        raise ValueError(f"sizes must be one or more positive integers, found {tuple(sizes)}")
    check_built_for(boxes)
    if boxes.is_cuda and len(sizes) > MAX_SIZES_CUDA:
        raise ValueError(
            f"the number of sizes must be at most {MAX_SIZES_CUDA} on a GPU, found {len(sizes)}; "
            "split the sizes into several calls"
        )
    targets: list[Tensor] = torch.ops.nbseg.multires_mask_targets(
        masks.bits, masks.starts, masks.crops, masks.height, masks.width, boxes, gt_inds, sizes
    )
    return tuple(targets)


def _fake(
    bits: Tensor,
    starts: Tensor,
    crops: Tensor,
    height: int,
    width: int,
    boxes: Tensor,
    gt_inds: Tensor,
    sizes: Sequence[int],
) -> list[Tensor]:
    return [boxes.new_empty((boxes.shape[0], size, size), dtype=torch.uint8) for size in sizes]


torch.library.register_fake("nbseg::multires_mask_targets", _fake)
