"""Define the options for reading image files, and convert pixel values to 8 bits."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

PROJECTIONS = ("max", "mean")
UNKNOWN_RANGE = (
    "has signed, floating-point or 32-bit values, so it is unknown which values are black and "
    "white; set image_options.value_range in the config to the range that "
    "`tools/prepare_data.py init` measures, or convert the image to 8 bits per channel"
)


class ImageHeader(NamedTuple):
    """Describes an image as :func:`nbseg.images.read_image` decodes it.

    Attributes:
        height, width: size in pixels, after the Exif or TIFF orientation is applied.
        bits: bits per channel in the file.
        notes: notes on parts of the file that are not read. Each note is worded to follow the words
            "these images", for example "have several images, of which only the largest is read".
    """

    height: int
    width: int
    bits: int
    notes: tuple[str, ...]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


@dataclass(frozen=True)
class ImageOptions:
    """Says which part of an image file is read, and which values become black and white.

    All files of a data set are read with the same options. Otherwise, a model would see equal
    objects with different brightness in two files.

    Attributes:
        value_range: the values that become 0 and 255. The values between them are scaled linearly,
            and the values outside become 0 or 255. Files with at most 8 bits per channel are not
            scaled. If None, the upper 8 bits of unsigned values with up to 16 bits are read, and
            files with signed, floating-point or 32-bit values are refused. "own" takes the range of
            each file, without the lowest and the highest 0.1% of its values. Use "own" only for
            pictures that people look at, never for a model.
        bands: the channels to read, each as a number (0 is the first) or as the channel's name in
            an OME-TIFF or CZI file. One channel becomes a gray image, and three become red, green
            and blue. Two channels, or more than three, stay as they are. If None, a file with at
            least three channels gives its first three, and any other file gives its first.
        plane: the plane to read if a file has several pages, frames, focal planes or times, as a
            number (0 is the first). "max" and "mean" combine all planes pixel by pixel.
        level: level of a TIFF's image pyramid; 0 is the full resolution.

    Raises:
        ValueError: an option has a value that is not allowed.
    """

    value_range: tuple[float, float] | Literal["own"] | None = None
    bands: tuple[int | str, ...] | None = None
    plane: int | str = 0
    level: int = 0

    def __post_init__(self) -> None:
        if self.value_range is not None and self.value_range != "own":
            given: Any = self.value_range
            ends = given if isinstance(given, list | tuple) else ()
            numbers = all(isinstance(end, int | float) and np.isfinite(end) for end in ends)
            if len(ends) != 2 or not numbers or not ends[0] < ends[1]:
                raise ValueError(
                    "image_options.value_range must be two numbers, the smaller one first, found "
                    f"{given!r}"
                )
            object.__setattr__(self, "value_range", (float(ends[0]), float(ends[1])))
        if self.bands is not None:
            # On a command line, one channel is a number or a word.
            bands = (self.bands,) if isinstance(self.bands, int | str) else tuple(self.bands)
            object.__setattr__(self, "bands", bands)
            whole = all(isinstance(band, str) or _is_count(band) for band in self.bands)
            if not self.bands or not whole:
                raise ValueError(
                    "image_options.bands must list channels by their numbers (0 is the first) or "
                    f"names, found {self.bands}"
                )
        if self.plane not in PROJECTIONS and not _is_count(self.plane):
            raise ValueError(
                "image_options.plane must be 'max', 'mean' or the number of a plane (0 is the "
                f"first), found {self.plane!r}"
            )
        if not _is_count(self.level):
            raise ValueError(
                "image_options.level must be the number of a resolution level (0 is the full "
                f"resolution), found {self.level!r}"
            )

    @classmethod
    def of(cls, options: "ImageOptions | Mapping[str, Any] | None") -> "ImageOptions":
        """Create options from the dict ``image_options`` of a config; None gives the defaults.

        Raises:
            ValueError: the dict has an unknown key, or a value that is not allowed.
        """
        if isinstance(options, ImageOptions):
            return options
        if not isinstance(options, Mapping | None):
            raise ValueError(
                "image_options must be a dictionary such as dict(value_range=(0, 4095)), found "
                f"{options!r}"
            )
        given: dict[str, Any] = {**(options or {})}
        known = asdict(cls())
        if unknown := set(given) - set(known):
            raise ValueError(
                f"image_options has the unknown key {min(unknown)!r}; choose from "
                f"{', '.join(known)}"
            )
        return cls(**given)

    @property
    def channels(self) -> int:
        """Return the number of channels of an image that is read with these options."""
        return 3 if self.bands is None or len(self.bands) == 1 else len(self.bands)

    def changed(self) -> dict[str, Any]:
        """Return {name: value} of the options that differ from the defaults."""
        defaults = asdict(ImageOptions())
        return {key: value for key, value in asdict(self).items() if value != defaults[key]}


def options_in(pipeline: Iterable[Any]) -> ImageOptions:
    """Return the options of the transform ``LoadImage`` in the config of a pipeline.

    A pipeline without this transform gives the defaults.
    """
    for step in pipeline:
        if isinstance(step, Mapping) and step.get("type") == "LoadImage":
            return ImageOptions.of(step.get("options"))
        inner = step.get("transforms") if isinstance(step, Mapping) else step
        if isinstance(inner, list | tuple) and (found := options_in(inner)) != ImageOptions():
            return found
    return ImageOptions()


DEFAULTS = ImageOptions()
# For pictures that only people look at, and for sizes.
FOR_DISPLAY = ImageOptions(value_range="own")


def for_display(options: ImageOptions) -> ImageOptions:
    """Return options for pictures that show people the part of an image that a model sees.

    If ``value_range`` is None, it becomes "own". If ``bands`` lists at least three channels, only
    the first three are kept. If it lists one or two, only the first is kept.
    """
    bands = options.bands and options.bands[: 3 if len(options.bands) >= 3 else 1]
    return replace(options, value_range=options.value_range or "own", bands=bands)


def to_uint8(
    values: npt.NDArray[Any],
    bits: int,
    value_range: tuple[float, float] | Literal["own"] | None = None,
) -> Image:
    """Convert pixel values to uint8.

    Booleans become 0 and 255, and values of fewer than 8 bits are scaled to 0 to 255. Values of
    uint8 are returned unchanged. Other values are scaled by ``value_range``; if it is None, their
    upper 8 bits are returned.

    Args:
        values: array of any shape.
        bits: bits per value in the file, for example 12 if an array of uint16 holds 12-bit values.
        value_range: see :class:`ImageOptions`.

    Returns:
        uint8 array of the same shape.

    Raises:
        ValueError: there is no ``value_range``, and the values are not unsigned integers of at most
            16 bits.
    """
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint8 and bits >= 8:
        return values
    if values.dtype.kind == "u" and bits < 8:
        steps: Image = np.rint(np.arange(2**bits) * (255 / (2**bits - 1))).astype(np.uint8)
        return np.asarray(steps[values], np.uint8)
    if value_range is None:
        if not has_known_range(values.dtype, bits):
            raise ValueError(
                f"values of {bits} bits and the type {values.dtype} need a value_range, the two "
                "values that become 0 and 255; found None"
            )
        return np.asarray(values >> (bits - 8), np.uint8)
    if value_range == "own":
        value_range = central_range(values[np.isfinite(values)])
    if values.dtype.itemsize <= 2 and values.dtype.kind in "iu":
        # A table is several times as fast as arithmetic on each pixel.
        table = _scale(np.arange(2**16).astype(np.uint16).view(np.int16), value_range)
        if values.dtype.kind == "u":
            table = _scale(np.arange(2**16), value_range)
        unsigned = values if values.dtype.kind == "u" else values.astype(np.int16).view(np.uint16)
        return np.asarray(table[unsigned], np.uint8)
    return _scale(values, value_range)


def central_range(values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the range of values without the lowest and the highest 0.1%.

    Args:
        values: finite values, (N,).

    Returns:
        Two numbers, the first below the second. Both are whole if the values are integers. If
        there are no values, the range is (0, 1).
    """
    if not values.size:
        return 0.0, 1.0
    low, high = (float(end) for end in np.quantile(values, (0.001, 0.999)))
    if values.dtype.kind in "iu":
        low, high = float(np.floor(low)), float(np.ceil(high))
    return low, high if high > low else low + 1.0


def has_known_range(dtype: npt.DTypeLike, bits: int) -> bool:
    """Return whether it is known, without a ``value_range``, which values are black and white.

    It is known for booleans and for unsigned integers of at most 16 bits.
    """
    return np.dtype(dtype).kind in ("b", "u") and bits <= 16


def _scale(values: npt.NDArray[Any], value_range: tuple[float, float]) -> Image:
    low, high = value_range
    scaled = (values.astype(np.float64) - low) * 255 / (high - low) + 0.5
    # A pixel without a value (NaN) becomes black.
    return np.asarray(np.nan_to_num(np.clip(scaled, 0, 255)), np.uint8)
