"""Augment images with albumentations, reproducibly."""

import random
from typing import Any

import albumentations
import mmdet.datasets.transforms
import numpy as np
from mmcv.transforms import BaseTransform

from nbseg.registry import TRANSFORMS


def _color_operations(max_blur: int) -> list[tuple[float, albumentations.ImageOnlyTransform]]:
    """Return the color, noise and blur operations of the paper Noisy Boundaries, with weights.

    The parameters are those of the paper's released code, converted from albumentations 1 to 2. A
    noise variance of up to 12.75 becomes a standard deviation of up to sqrt(12.75) / 255 = 0.014.
    Box blurs have only odd kernel sizes, because albumentations 2 has no even sizes.

    Args:
        max_blur: side of the largest blur kernel in pixels; 0 leaves out the blurs.

    Returns:
        Pairs (weight, operation). The probability of an operation is proportional to its weight.
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

    Five operations are equally frequent: Gaussian blur, box blur, sharpening, Gaussian noise, and a
    change of brightness and contrast. Compared with each of these operations, multiplicative noise
    is half as frequent, and inversion is one twentieth as frequent. Boxes and masks stay valid. All
    random numbers come from numpy's global generator, so a seeded run is repeatable.

    The strong augmentation of the paper (arXiv 2203.13427) consists of this transform and a cutout,
    for which MMDetection has the transform ``CutOut``.

    Args:
        prob: probability of applying an operation; the released code of the paper uses 7/8.
        max_blur: side of the largest blur kernel in pixels, an odd number; 0 leaves out the two
            blurs. The released code uses 7, for images of 1024 by 2048 pixels. If objects are only
            tens of pixels wide, a blur of this size hides their class.

    Raises:
        ValueError: ``prob`` is not in [0, 1], or ``max_blur`` is neither 0 nor an odd number of at
            least 3.
    """

    def __init__(self, prob: float = 7 / 8, max_blur: int = 7) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"StrongColorAugmentation: prob must be between 0 and 1, found {prob}")
        if max_blur != 0 and (max_blur < 3 or max_blur % 2 == 0):
            raise ValueError(
                "StrongColorAugmentation: max_blur must be 0 or an odd number of at least 3, found "
                f"{max_blur}"
            )
        self.prob = prob
        self.max_blur = max_blur
        weights, self.operations = zip(*_color_operations(max_blur), strict=True)
        self.weights = np.array(weights) / sum(weights)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        if np.random.random() >= self.prob:
            return results
        operation = self.operations[np.random.choice(len(self.operations), p=self.weights)]
        # albumentations.OneOf would use the same seed to choose the operation and to draw its
        # strength; the strength would then depend on the choice.
        operation.set_random_seed(np.random.randint(2**31))
        results["img"] = operation(image=results["img"])["image"]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob}, max_blur={self.max_blur})"


@TRANSFORMS.register_module(force=True)
class Albu(mmdet.datasets.transforms.Albu):
    """Makes the random draws of MMDetection's ``Albu`` reproducible; the arguments are the same.

    albumentations 2 has its own random generators, which MMDetection does not seed. In MMDetection,
    two runs with the same seed therefore differ, and all loader workers draw the same numbers. This
    class seeds the generators from numpy's global generator for each image.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any] | None:
        seed = int(np.random.randint(2**31))
        # set_random_seed would give each operation a separate generator with the same seed, so that
        # two operations of equal probability would always be applied together.
        self.aug.set_random_state(np.random.default_rng(seed), random.Random(seed))
        transformed: dict[str, Any] | None = super().transform(results)
        return transformed
