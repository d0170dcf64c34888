"""Measure the pixel values of a data set: their range, and the mean of each channel."""

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
    """Holds the range of values of those images that have more than 8 bits per channel.

    Attributes:
        low, high: the values that become black and white.
        measured: number of images that were examined, including images that cannot be read.
        deep: number of the examined images that have more than 8 bits per channel.
    """

    low: float
    high: float
    measured: int
    deep: int


def measure_channels(
    paths: Sequence[Path], options: ImageOptions
) -> tuple[list[float], list[float]]:
    """Return the means and the standard deviations of the channels, for values from 0 to 255.

    Each image counts the same. The standard deviations are at least 1.

    Args:
        paths: images; up to 100 of them are read. Images that cannot be read are left out.
        options: options with which the images are read.

    Returns:
        Two lists with one number per channel: the means and the standard deviations.

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
        raise ValueError(
            f"none of {min(len(paths), IMAGES)} examined images can be read, so the mean of each "
            "channel cannot be measured; find the reasons with `tools/prepare_data.py check`"
        )
    mean = np.mean(means, axis=0)
    deviation = np.sqrt(np.maximum(np.mean(squares, axis=0) - mean**2, 1))
    return mean.round(2).tolist(), deviation.round(2).tolist()


def measure_value_range(
    paths: Sequence[Path], options: ImageOptions = DEFAULTS
) -> ValueRange | None:
    """Measure the range of the values in images with more than 8 bits per channel.

    The lowest 0.1% and the highest 0.1% of the values lie outside the range. Up to 100 images are
    examined, and up to 20,000 values are drawn at random from each image. Images with at most 8
    bits per channel, and images that cannot be read, are left out.

    Args:
        paths: the labeled and the unlabeled images of a data set.
        options: the channels, plane and level to read; ``value_range`` is not used.

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
