"""Change the look of images at random, to make images of different kinds more similar."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from mmcv.transforms import BaseTransform

from nbseg.image_options import Image
from nbseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class BridgeKinds(BaseTransform):
    """Make an image gray, invert it, and change its gamma and the ranges of its channels.

    Images of different kinds differ in brightness, color and contrast. For example, nuclei are
    bright on black in fluorescence images, and violet on pink in images of stained tissue. A model
    that was trained on images of one kind may find no objects in images of another kind. This
    transform makes the kinds more similar.

    The transform applies four steps in this order, each with its own probability. Pixel values v
    are scaled to [0, 1], and U(a, b) is a uniform random number between a and b:

    1. gray: all channels become the image's gray values, or the mean of the channels if there are
       not three;
    2. invert: v becomes 1 - v;
    3. gamma: v becomes ``v ** exp(U(-gamma, gamma))``;
    4. range: in each channel, v becomes ``low + v * (high - low)``. Here low is U(0, 0.4), and high
       is U(0.6, 1). This step colors a gray image.

    Steps 2 to 4 are applied as one lookup table per channel, so values are rounded only once.
    Pixels stay in place, so boxes and masks stay valid. All random numbers come from numpy's global
    generator, which nbseg seeds for each sample. With ``prob=0``, no random number is drawn.

    Args:
        prob: probability that the four steps are drawn for an image; otherwise, the image stays as
            it is.
        gray_prob, invert_prob, gamma_prob, range_prob: probability of each step, if the steps are
            drawn.
        gamma: limit of step 3, at least 0: the exponent lies between ``exp(-gamma)`` and
            ``exp(gamma)``.

    Raises:
        ValueError: a probability is not in [0, 1], ``gamma`` is negative, or an image is not
            (H, W, C) uint8.
    """

    def __init__(
        self,
        prob: float = 0.8,
        gray_prob: float = 0.3,
        invert_prob: float = 0.5,
        gamma_prob: float = 1.0,
        range_prob: float = 0.7,
        gamma: float = 0.5,
    ) -> None:
        self.probabilities = {
            "prob": prob,
            "gray_prob": gray_prob,
            "invert_prob": invert_prob,
            "gamma_prob": gamma_prob,
            "range_prob": range_prob,
        }
        for name, value in self.probabilities.items():
            if not 0 <= value <= 1:
                raise ValueError(f"BridgeKinds: {name} must be between 0 and 1, found {value}")
        if not gamma >= 0:
            raise ValueError(f"BridgeKinds: gamma must be at least 0, found {gamma}")
        self.gamma = gamma

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if not self._drawn("prob"):
            return results
        image = results["img"]
        if image.dtype != np.uint8 or image.ndim != 3:
            raise ValueError(
                f"BridgeKinds: an image must be (H, W, C) uint8, found {image.shape} "
                f"{image.dtype}; load it with LoadImage(to_float32=False)"
            )
        channels = image.shape[2]
        if self._drawn("gray_prob"):
            image = _gray(image).repeat(channels, axis=2)
        results["img"] = cv2.LUT(image, self._draw_table(channels))
        return results

    def _drawn(self, name: str) -> bool:
        """Return True with the probability that the argument ``name`` of the class sets.

        Otherwise, return False. If the probability is 0, no random number is drawn.
        """
        probability = self.probabilities[name]
        return probability > 0 and np.random.random() < probability

    def _draw_table(self, channels: int) -> npt.NDArray[np.uint8]:
        """Draw the steps 2 to 4 at random, and return them as a lookup table.

        Returns:
            (1, 256, channels) uint8: entry ``[0, v, c]`` is the new value of the pixel value v in
            channel c.
        """
        values: npt.NDArray[Any] = np.linspace(0, 1, 256)[:, None]
        if self._drawn("invert_prob"):
            values = 1 - values
        if self._drawn("gamma_prob"):
            values = values ** np.exp(np.random.uniform(-self.gamma, self.gamma))
        values = values.repeat(channels, axis=1)
        if self._drawn("range_prob"):
            low = np.random.uniform(0, 0.4, channels)
            high = np.random.uniform(0.6, 1, channels)
            values = low + values * (high - low)
        table: npt.NDArray[np.uint8] = np.rint(255 * values).astype(np.uint8)
        return table[None]

    def __repr__(self) -> str:
        arguments = {**self.probabilities, "gamma": self.gamma}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in arguments.items())})"


def _gray(image: Image) -> Image:
    """Return the gray values of an image (H, W, C) uint8, shape (H, W, 1), uint8.

    Three channels are read as BGR. For other numbers of channels, the gray value is their mean.
    """
    if image.shape[2] == 3:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)[..., None], np.uint8)
    return np.asarray(np.rint(image.mean(axis=2, keepdims=True)), np.uint8)
