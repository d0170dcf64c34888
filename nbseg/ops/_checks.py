"""Check arguments before an op runs."""

from collections.abc import Sequence

import torch
from torch import Tensor


def check_tensor(
    name: str,
    tensor: object,
    shape: Sequence[int | str],
    dtypes: Sequence[torch.dtype],
    device: torch.device | None = None,
) -> None:
    """Check a tensor's type, shape, dtype and device.

    Args:
        name: the argument's name, for the message.
        tensor: the argument's value.
        shape: one entry per dimension. A number is the required size. A string is a name for the
            dimension, such as ``"R"``, and accepts any size.
        dtypes: the accepted dtypes.
        device: the required device; None accepts any device.

    Raises:
        TypeError: ``tensor`` is not a tensor, or its dtype is not one of ``dtypes``.
        ValueError: ``tensor`` has another shape than ``shape`` or is not on ``device``.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, found {type(tensor).__name__}")
    if tensor.dtype not in dtypes:
        wanted = " or ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)
        found = str(tensor.dtype).removeprefix("torch.")
        raise TypeError(f"{name} must be {wanted}, found {found}")
    if tensor.dim() != len(shape) or any(
        isinstance(wanted, int) and wanted != found
        for wanted, found in zip(shape, tensor.shape, strict=True)
    ):
        sizes = ", ".join(str(size) for size in shape) + ("," if len(shape) == 1 else "")
        raise ValueError(f"{name} must have shape ({sizes}), found {tuple(tensor.shape)}")
    if device is not None and tensor.device != device:
        raise ValueError(
            f"{name} must be on {device}, found {tensor.device}; put all arguments on one device"
        )
