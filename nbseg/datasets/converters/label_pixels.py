"""Read the pixels of label images, and number their objects."""

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Objects = npt.NDArray[np.int32]


def read_labels(path: Path) -> Labels:
    """Return the object number of each pixel in a label image, shape (H, W), int64.

    Whole numbers of any dtype are read without loss. This includes int64 TIFFs and the color
    indices of palette images, which OpenCV cannot read.

    Raises:
        ValueError: the file is no image, has several channels or pages, or has a value that is
            negative or not a whole number.
    """
    values = _read_tiff(path) if path.suffix.lower() in (".tif", ".tiff") else None
    if values is None:
        values = _read_with_pillow(path)
    if values.ndim != 2:
        raise ValueError(
            f"{path} has the shape {values.shape}; expected one page with one channel, whose "
            "values are the numbers of the objects. Export a label image with a single channel for "
            "each image"
        )
    numbers = values.astype(np.int64)
    if (numbers != values).any() or (numbers < 0).any():
        raise ValueError(
            f"{path} has a negative value or a fraction among its values, which range from "
            f"{values.min()} to {values.max()}; expected 0 for the background and whole numbers "
            "above 0 for the objects. Export a label image with such values"
        )
    return numbers


def _read_tiff(path: Path) -> npt.NDArray[Any] | None:
    """Read a TIFF; return None if tifffile lacks the decompressor."""
    import tifffile

    try:
        values = tifffile.imread(path)
    except Exception as error:  # the parser and the decompressors raise errors of any kind
        if "imagecodecs" in str(error):
            return None
        raise ValueError(f"{path} cannot be read as a TIFF ({error}); replace the file") from error
    return np.squeeze(values)


def _read_with_pillow(path: Path) -> npt.NDArray[Any]:
    from PIL import Image

    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            if getattr(image, "n_frames", 1) > 1:
                return np.empty((image.n_frames, image.height, image.width))
            return np.asarray(image)
    except Exception as error:  # Pillow's parsers raise errors of any kind
        raise ValueError(
            f"{path} cannot be read as an image ({error}); replace the file"
        ) from error


def renumber(ids: Labels) -> Objects:
    """Return a copy, int32, in which the objects have the numbers 1, 2, ...

    The objects keep their order, and the background stays 0.
    """
    numbers, places = np.unique(ids, return_inverse=True)
    result: Objects = places.reshape(ids.shape).astype(np.int32)
    return result + np.int32(numbers[0] > 0)


def number_parts(ids: Labels | Objects) -> Objects:
    """Return a copy, int32, in which the connected parts of all objects have the numbers 1, 2, ...

    The background stays 0. Pixels of an object that touch at a corner are connected.
    """
    result = np.zeros(ids.shape, np.int32)
    for number in np.unique(ids[ids > 0]):
        _, parts = cv2.connectedComponents((ids == number).astype(np.uint8))
        result[parts > 0] = parts[parts > 0] + result.max()
    return result
