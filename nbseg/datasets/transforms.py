"""The student's strong augmentation."""

from typing import Any

import albumentations
import numpy as np
from mmcv.transforms import BaseTransform

from nbseg.registry import TRANSFORMS


def _color_operations(max_blur: int) -> list[tuple[float, albumentations.ImageOnlyTransform]]:
    """The paper's photometric operations, each with its weight in the draw.

    They leave every pixel in its place. Both blurs go up to ``max_blur`` pixels. Values are those
    of the released code, in the terms of albumentations 2, which ignores the names of version 1: a
    noise variance up to 12.75 is a standard deviation up to sqrt(12.75) / 255 = 0.014, and a box
    blur has an odd size.
    """
    operations = [
        (1, albumentations.Sharpen(alpha=(0, 1), lightness=(0.75, 1.5), p=1)),
        (1, albumentations.GaussNoise(std_range=(0, 0.014), p=1)),
        (0.05, albumentations.InvertImg(p=1)),
        (0.5, albumentations.MultiplicativeNoise(multiplier=(0.5, 1.5), p=1)),
        (
            1,
            albumentations.RandomBrightnessContrast(
                brightness_limit=(0.1, 0.3), contrast_limit=(0.1, 0.3), p=1
            ),
        ),
    ]
    if max_blur:
        operations += [
            (1, albumentations.GaussianBlur(blur_limit=(3, max_blur), sigma_limit=(0, 3), p=1)),
            (1, albumentations.Blur(blur_limit=(3, max_blur), p=1)),
        ]
    return operations


@TRANSFORMS.register_module()
class StrongColorAugmentation(BaseTransform):
    """Apply one photometric operation, drawn at random, to ``results["img"]`` (H, W, 3) uint8.

    One of Gaussian blur, box blur, sharpening, Gaussian noise, inversion (seldom), multiplicative
    noise (less often), and brightness with contrast. Boxes and masks stay valid as they are.
    Every draw comes from numpy's global generator, which MMEngine seeds in each worker, so
    workers differ and a seeded run repeats itself. MMDetection's ``CutOut`` completes the
    paper's augmentation (arXiv 2203.13427).

    Args:
        prob: of applying any operation at all; the paper's is 7/8.
        max_blur: side of the largest blur kernel in pixels, odd; 0 is without blur. The paper's 7
            is for images of 1024 by 2048: where objects are only tens of pixels wide it blurs
            their class away.
    """

    def __init__(self, prob: float = 7 / 8, max_blur: int = 7) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must lie in 0 to 1, found {prob}")
        if max_blur != 0 and (max_blur < 3 or max_blur % 2 == 0):
            raise ValueError(f"max_blur must be 0 or an odd number from 3 on, found {max_blur}")
        self.prob = prob
        self.max_blur = max_blur
        weights, self.operations = zip(*_color_operations(max_blur), strict=True)
        self.weights = np.array(weights) / sum(weights)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.random() >= self.prob:
            return results
        operation = self.operations[np.random.choice(len(self.operations), p=self.weights)]
        # albumentations.OneOf would hand one seed to the choice and to the chosen operation, and
        # so tie the operation's strength to the choice.
        operation.set_random_seed(np.random.randint(2**31))
        results["img"] = operation(image=results["img"])["image"]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob}, max_blur={self.max_blur})"
