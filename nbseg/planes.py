"""Choose channels and planes of an image with several of them, and combine planes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg.image_options import UNKNOWN_RANGE, ImageOptions, has_known_range, to_uint8

Values = npt.NDArray[Any]


class RefusedImage(ValueError):
    """Reports an image that needs other options, is incomplete or is not supported.

    The caller puts the file's path before the message.
    """


def chosen_bands(options: ImageOptions, count: int, names: Sequence[str] = ()) -> tuple[int, ...]:
    """Return the numbers (from 0) of the channels that are read, in the order of the result.

    Args:
        options: the options of the user. If ``bands`` is None, the first three channels are read;
            if there are fewer than three, only the first is read.
        count: number of channels of the image.
        names: names of the channels; empty if the channels have no names.

    Raises:
        RefusedImage: the options name a channel that the image does not have.
    """
    if options.bands is None:
        return (0, 1, 2) if count >= 3 else (0,)
    numbers = []
    for band in options.bands:
        if isinstance(band, str) and band not in names:
            raise RefusedImage(
                f"has no channel {band!r}; its channels are {list(names) or 'not named'}; correct "
                "image_options.bands"
            )
        numbers.append(list(names).index(band) if isinstance(band, str) else band)
    if max(numbers) >= count:
        raise RefusedImage(
            f"has {count} channels, but image_options.bands is {options.bands}; choose channels "
            f"from 0 to {count - 1}"
        )
    return tuple(numbers)


def check_plane(options: ImageOptions, count: int) -> None:
    """Refuse options that choose a plane which an image with ``count`` planes does not have.

    Raises:
        RefusedImage: there is no such plane.
    """
    if isinstance(options.plane, int) and options.plane >= count:
        raise RefusedImage(
            f"has {count} plane{'s' * (count > 1)}, but image_options.plane is {options.plane}; "
            "choose a smaller number, 'max' or 'mean'"
        )


def check_range(options: ImageOptions, dtype: npt.DTypeLike, bits: int) -> None:
    """Refuse an image if it is unknown which of its values are black and white.

    Args:
        options: the options of the user.
        dtype: dtype of the image's values.
        bits: bits per channel.

    Raises:
        RefusedImage: the options have no ``value_range``, and the values are neither booleans nor
            unsigned integers of at most 16 bits.
    """
    if options.value_range is None and not has_known_range(dtype, bits):
        raise RefusedImage(UNKNOWN_RANGE)


def part_notes(options: ImageOptions, planes: int, bands: int, bits: int) -> list[str]:
    """Return notes on the planes, channels and bits of an image that are not read.

    Each note is worded to follow the words "these images".

    Args:
        options: the options of the user.
        planes: number of planes of the image.
        bands: number of channels of the image.
        bits: bits per channel.
    """
    notes = []
    if bits > 8 and options.value_range is None:
        notes.append(f"have {bits} bits per channel, of which only the upper 8 are read")
    if planes > 1 and isinstance(options.plane, int):
        which = "the first" if options.plane == 0 else f"plane {options.plane}"
        notes.append(
            f"have several frames or pages, of which only {which} is read (image_options.plane "
            "chooses another one)"
        )
    read = chosen_bands(options, bands) if options.bands is None else ()
    if read and bands > len(read):
        notes.append(
            f"have {bands} channels, of which only {', '.join(map(str, read))} "
            f"{'are' if len(read) > 1 else 'is'} read (image_options.bands chooses others)"
        )
    return notes


def combined(
    read: Callable[[int], Values], count: int, plane: int | str, bits: int, white_at_zero: bool
) -> tuple[Values, int]:
    """Read one plane, or combine all planes pixel by pixel.

    Args:
        read: function that returns the values of the plane with a given number, (H, W, C).
        count: number of planes.
        plane: number of the plane to read; "max" for the brightest value of each pixel in all
            planes, "mean" for the mean value.
        bits: bits per channel in the file. Fewer than 8 bits are scaled to 8 bits before planes are
            combined.
        white_at_zero: whether 0 is white, so that the lowest value is the brightest.

    Returns:
        The values, (H, W, C), and their bits per channel.
    """
    if isinstance(plane, int):
        return read(plane), bits

    def scaled(number: int) -> Values:
        values = read(number)
        return values if bits >= 8 else to_uint8(values, bits)

    result = scaled(0)
    # Pixels without a value (NaN) do not count.
    if plane == "max":
        brighter = np.fmin if white_at_zero else np.fmax
        for number in range(1, count):
            result = brighter(result, scaled(number))
        return result, max(bits, 8)
    total, finite_planes = np.zeros(result.shape), np.zeros(result.shape)
    for number in range(count):
        values = result if number == 0 else scaled(number)
        finite = np.isfinite(values)
        total += np.where(finite, values, 0)
        finite_planes += finite
    with np.errstate(invalid="ignore"):
        mean = total / finite_planes
    whole = result.dtype.kind in "iu"
    return np.asarray(np.rint(mean) if whole else mean, result.dtype), max(bits, 8)
