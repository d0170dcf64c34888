"""Choose channels and planes of an image with several of them, and combine planes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg.image_options import UNKNOWN_RANGE, ImageOptions, has_known_range, to_uint8

Values = npt.NDArray[Any]


class RefusedImage(ValueError):
    """A sound image needs other options or is not supported; the text follows the file's path."""


def chosen_bands(options: ImageOptions, count: int, names: Sequence[str] = ()) -> tuple[int, ...]:
    """Return the numbers of the channels that are read.

    Args:
        options: the options of the user.
        count: number of channels of the image.
        names: names of the channels, if they have names.

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
    """Refuse a plane that an image with ``count`` planes does not have.

    Raises:
        RefusedImage: there is no such plane.
    """
    if isinstance(options.plane, int) and options.plane >= count:
        raise RefusedImage(
            f"has {count} plane{'s' * (count > 1)}, but image_options.plane is {options.plane}; "
            "choose a smaller number, 'max' or 'mean'"
        )


def check_range(options: ImageOptions, dtype: npt.DTypeLike, bits: int) -> None:
    """Refuse values whose black and white are unknown.

    Raises:
        RefusedImage: the options have no ``value_range``, and the values need one.
    """
    if options.value_range is None and not has_known_range(dtype, bits):
        raise RefusedImage(UNKNOWN_RANGE)


def part_notes(options: ImageOptions, planes: int, bands: int, bits: int) -> list[str]:
    """Return notes on planes, channels and bits that are not read, worded to follow "these images".

    Args:
        options: the options of the user.
        planes, bands, bits: number of planes and channels of the image, and its bits per channel.
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
    """Return the values of a plane, or of the combination of all planes, and their bits.

    Args:
        read: returns the values of the plane with this number, (H, W, C).
        count: number of planes.
        plane: number of a plane, "max" or "mean".
        bits: bits per channel in the file. Fewer than 8 bits are scaled to 8 bits before values are
            combined.
        white_at_zero: whether low values are bright.
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
