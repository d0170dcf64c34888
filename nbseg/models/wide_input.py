"""Build backbones and normalize images for any number of channels, not only three."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.registry import MODELS
from torch import Tensor, nn


@MODELS.register_module()
def WideInput(in_channels: int, narrow_type: str, **backbone: Any) -> nn.Module:  # noqa: N802
    """Build a backbone whose first convolution takes images with any number of channels.

    The backbone can load weights of a backbone for images with three channels. Unless
    ``in_channels`` is 3, each filter of the first convolution is then averaged over its three
    channels. The average is multiplied by 3 / in_channels and used for every channel. So an image
    whose channels are all equal gives the same features as three such channels give in the loaded
    backbone.

    Args:
        in_channels: number of channels of an image.
        narrow_type: type of the backbone, such as ``MobileNetV2``.
        **backbone: further keys of the backbone's config.

    Returns:
        A backbone of the type ``narrow_type``, whose weights keep their usual names.

    Raises:
        ValueError: ``in_channels`` is less than 1, or the backbone's first layer with weights is
            not a convolution of three channels.
    """
    if in_channels < 1:
        raise ValueError(f"WideInput: in_channels must be at least 1, found {in_channels}")
    built: nn.Module = MODELS.build({"type": narrow_type, **backbone})
    name, first = next(
        (name, part) for name, part in built.named_modules() if list(part.parameters(recurse=False))
    )
    if not isinstance(first, nn.Conv2d) or first.in_channels != 3 or first.groups != 1:
        raise ValueError(
            f"WideInput: the first layer of {narrow_type} must be a convolution of three channels, "
            f"found {first}; choose another backbone, or choose three channels of the images with "
            "image_options.bands"
        )
    with torch.no_grad():
        first.weight = nn.Parameter(widened(first.weight, in_channels))
    first.in_channels = in_channels

    def widen(state: dict[str, Tensor], prefix: str, *_: Any) -> None:
        weight = state.get(f"{prefix}weight")
        if weight is not None and weight.ndim == 4 and weight.shape[1] == 3 != in_channels:
            state[f"{prefix}weight"] = widened(weight, in_channels)

    register: Any = first._register_load_state_dict_pre_hook
    register(widen)
    return built


@MODELS.register_module()
class WideDataPreprocessor(DetDataPreprocessor):
    """Normalizes and pads images with any number of channels.

    MMEngine's preprocessor normalizes only images with one or three channels.

    Args:
        mean: mean of each channel, for pixel values from 0 to 255.
        std: standard deviation of each channel, for pixel values from 0 to 255.
        **kwargs: further arguments of ``DetDataPreprocessor``. ``bgr_to_rgb`` and ``rgb_to_bgr``
            must be False.

    Raises:
        ValueError: ``mean`` and ``std`` have different lengths, or ``bgr_to_rgb`` or ``rgb_to_bgr``
            is True.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], **kwargs: Any) -> None:
        if len(mean) != len(std):
            raise ValueError(
                "WideDataPreprocessor: mean and std must each have one value per channel, found "
                f"{len(mean)} values in mean and {len(std)} values in std"
            )
        if kwargs.get("bgr_to_rgb") or kwargs.get("rgb_to_bgr"):
            raise ValueError(
                "WideDataPreprocessor cannot swap red and blue, but bgr_to_rgb or rgb_to_bgr is "
                "True; set both to False"
            )
        super().__init__(**kwargs)
        self._enable_normalize = True
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).view(-1, 1, 1), persistent=False)


def widened(weight: Tensor, in_channels: int) -> Tensor:
    """Return the filters of a convolution for another number of input channels.

    Each filter is averaged over its three channels. The average is multiplied by 3 / in_channels
    and used for every channel.

    Args:
        weight: C filters of K x K pixels, shape (C, 3, K, K).
        in_channels: number of input channels of the result.

    Returns:
        Filters, shape (C, in_channels, K, K), with the dtype of ``weight``.
    """
    mean = weight.mean(dim=1, keepdim=True) * (weight.shape[1] / in_channels)
    return mean.repeat(1, in_channels, 1, 1)
