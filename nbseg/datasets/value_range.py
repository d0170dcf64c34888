"""Measure the range of values that an image file with more than 8 bits per channel uses."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nbseg.image_names import spread
from nbseg.image_options import DEFAULTS, ImageOptions, central_range
from nbseg.images import read_image, read_values

IMAGES = 100
PIXELS = 20_000  # of each image


class ValueRange(NamedTuple):
    """Holds the range of values of a data set.

    Attributes:
        low, high: the values that become black and white.
        measured: number of images that were measured.
        deep: number of these images that have more than 8 bits per channel.
    """

    low: float
    high: float
    measured: int
    deep: int


def measure_channels(
    paths: Sequence[Path], options: ImageOptions
) -> tuple[list[float], list[float]]:
    """Return the mean and the standard deviation of each channel over all images, of 255.

    Args:
        paths: images; up to 100 of them are read. Images that cannot be read are left out.
        options: options with which the images are read.

    Raises:
        ValueError: no image can be read.
    """
    means, squares = [], []
    for path in spread(paths, IMAGES):
        try:
            pixels = read_image(path, options=options).reshape(-1, options.channels)
        except (OSError, ValueError):
            continue
        means.append(pixels.mean(axis=0))
        squares.append((pixels.astype(np.float64) ** 2).mean(axis=0))
    if not means:
        raise ValueError("no image can be read; run `tools/prepare_data.py check`")
    mean = np.mean(means, axis=0)
    deviation = np.sqrt(np.maximum(np.mean(squares, axis=0) - mean**2, 1))
    return mean.round(2).tolist(), deviation.round(2).tolist()


def measure_value_range(
    paths: Sequence[Path], options: ImageOptions = DEFAULTS
) -> ValueRange | None:
    """Measure the range of all values in up to 100 images, without their extreme 0.1% at each end.

    Each image counts the same: up to 20,000 of its values are drawn. Images with at most 8 bits per
    channel, and images that cannot be read, are left out.

    Args:
        paths: the labeled and the unlabeled images of a data set.
        options: channels and planes to read; ``value_range`` is not used.

    Returns:
        The range; None if no image has more than 8 bits per channel.
    """
    random, values = np.random.default_rng(0), []
    any_range = replace(options, value_range="own")
    chosen = spread(paths, IMAGES)
    for path in chosen:
        try:
            found = read_values(path, any_range)
        except (OSError, ValueError):
            continue  # other checks report the images that cannot be read
        if found is not None and found.size:
            values.append(found[random.integers(0, found.size, min(found.size, PIXELS))])
    if not values:
        return None
    low, high = central_range(np.concatenate(values))
    return ValueRange(low, high, len(chosen), len(values))
