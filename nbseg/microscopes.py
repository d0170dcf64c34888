"""Read files of microscopes and scanners: CZI by pylibCZIrw, DICOM by pydicom.

The extra ``nbseg[microscopy]`` installs these two packages.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from nbseg.image_options import Image, ImageHeader, ImageOptions, central_range, to_uint8
from nbseg.planes import (
    RefusedImage,
    Values,
    check_plane,
    check_range,
    chosen_bands,
    combined,
    part_notes,
)
from nbseg.tiff_colors import as_bgr

# The pixel types of CZI files, with their bits per channel. Color cameras store B, G, R.
_CZI_TYPES = {"Gray8": 8, "Gray16": 16, "Gray32Float": 32, "Bgr24": 8, "Bgr48": 16}


class Facts(NamedTuple):
    """Describes an image without its pixels.

    Attributes:
        size: (height, width) in pixels.
        planes: number of planes, such as frames, focal planes or times.
        bands: number of channels.
        names: names of the channels; empty if the channels have no names.
        bits: bits per channel.
        dtype: dtype of the values.
        white_at_zero: whether 0 is white and high values are dark.
    """

    size: tuple[int, int]
    planes: int
    bands: int
    names: list[str]
    bits: int
    dtype: np.dtype[Any]
    white_at_zero: bool = False


class _File(Protocol):
    facts: Facts

    def read(self, plane: int, bands: tuple[int, ...]) -> Values: ...


def microscope_header(path: Path, options: ImageOptions) -> ImageHeader:
    """Return the header of a CZI or DICOM file without decoding pixels.

    Raises:
        OSError: the file cannot be opened.
        ValueError: :func:`read_microscope` would refuse the file. The caller puts the file's path
            before the message.
    """
    with _opened(path, options) as file:
        facts = file.facts
        notes = part_notes(options, facts.planes, facts.bands, facts.bits)
        return ImageHeader(*facts.size, facts.bits, tuple(notes))


def read_microscope(path: Path, options: ImageOptions) -> tuple[Image, int]:
    """Read a CZI or DICOM file.

    Args:
        path: the file.
        options: the part of the file to read, and the range of its values.

    Returns:
        The image, (H, W, C) uint8, in BGR order if C is 3; and the file's bits per channel.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file cannot be read, or needs other options. The caller puts the file's path
            before the message.
    """
    with _opened(path, options) as file:
        values, bits = _values(file, options)
        value_range = options.value_range
        if value_range == "own" and bits > 8:
            value_range = central_range(values[np.isfinite(values)])
        image = to_uint8(values, bits, value_range)
        return as_bgr(255 - image if file.facts.white_at_zero else image), bits


def read_microscope_values(path: Path, options: ImageOptions) -> tuple[Values, int]:
    """Return the finite values of a CZI or DICOM file, (N,), and its bits per channel.

    The values come from the planes and channels that the options choose; they are not scaled. The
    function raises the same errors as :func:`read_microscope`.
    """
    with _opened(path, options) as file:
        values, bits = _values(file, options)
        return values[np.isfinite(values)], bits


def _values(file: _File, options: ImageOptions) -> tuple[Values, int]:
    facts = file.facts
    bands = chosen_bands(options, facts.bands, facts.names)
    return combined(
        lambda plane: file.read(plane, bands),
        facts.planes,
        options.plane,
        facts.bits,
        facts.white_at_zero,
    )


@contextmanager
def _opened(path: Path, options: ImageOptions) -> Iterator[_File]:
    path.open("rb").close()  # the packages raise other errors for missing files
    kind = "CZI" if path.suffix.lower() == ".czi" else "DICOM"
    try:
        with _opened_czi(path) if kind == "CZI" else _opened_dicom(path) as file:
            facts = file.facts
            if options.level > 0:
                raise RefusedImage(
                    f"is a {kind} file, of which nbseg reads only the full resolution, but "
                    f"image_options.level is {options.level}; set it to 0"
                )
            check_plane(options, facts.planes)
            chosen_bands(options, facts.bands, facts.names)
            check_range(options, facts.dtype, facts.bits)
            yield file
    except ImportError as error:
        raise RefusedImage(
            f"is a {kind} file, which needs the extra nbseg[microscopy] ({error}); install this "
            "extra, or convert the file to OME-TIFF"
        ) from error
    except (RefusedImage, OSError, MemoryError):
        raise
    except Exception as error:  # the packages raise errors of any kind
        detail = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"cannot be read as an image ({detail}); replace or remove it") from error


class _Czi:
    """Reads an opened CZI file.

    Each combination of a time, a focal plane and other positions is one plane.
    """

    def __init__(self, document: Any) -> None:
        self._document = document
        box = document.total_bounding_box
        kinds = set(document.pixel_types.values())
        if len(kinds) != 1 or not kinds <= set(_CZI_TYPES):
            raise RefusedImage(
                f"has pixels of the types {sorted(kinds)}; expected one type of "
                f"{', '.join(_CZI_TYPES)}. Convert the file to OME-TIFF"
            )
        (kind,) = kinds
        self._color = kind.startswith("Bgr")
        channels = box.get("C", (0, 1))
        self._first_channel = channels[0]
        self._starts = {axis: box[axis] for axis in box if axis not in "XYC"}
        rectangle = document.total_bounding_rectangle
        bits = _CZI_TYPES[kind]
        self.facts = Facts(
            (rectangle.h, rectangle.w),
            prod(stop - start for start, stop in self._starts.values()),
            3 if self._color else channels[1] - channels[0],
            [] if self._color else _channel_names(document.metadata),
            bits,
            np.dtype({8: np.uint8, 16: np.uint16, 32: np.float32}[bits]),
        )

    def read(self, plane: int, bands: tuple[int, ...]) -> Values:
        sides = [stop - start for start, stop in self._starts.values()]
        places = np.unravel_index(plane, sides) if sides else ()
        where = {
            axis: start + int(place)
            for (axis, (start, _)), place in zip(self._starts.items(), places, strict=True)
        }
        if self._color:
            image = self._document.read(plane={**where, "C": self._first_channel})
            return np.asarray(image)[..., [2 - band for band in bands]]
        parts = [
            self._document.read(plane={**where, "C": self._first_channel + band})[..., 0]
            for band in bands
        ]
        return np.stack(parts, axis=-1)


def _channel_names(metadata: dict[str, Any]) -> list[str]:
    part: Any = metadata
    for key in ("ImageDocument", "Metadata", "Information", "Image", "Dimensions", "Channels"):
        part = (part or {}).get(key)
    found = (part or {}).get("Channel", [])
    return [str(one.get("@Name", "")) for one in (found if isinstance(found, list) else [found])]


@contextmanager
def _opened_czi(path: Path) -> Iterator[_File]:
    from pylibCZIrw import czi

    with czi.open_czi(str(path)) as document:
        yield _Czi(document)


class _Dicom:
    """Reads an opened DICOM file.

    Each frame is one plane. The rescale slope and intercept are applied to the values.
    """

    def __init__(self, dataset: Any) -> None:
        if "PixelData" not in dataset and "FloatPixelData" not in dataset:
            raise RefusedImage("has no image; replace or remove it")
        self._dataset = dataset
        bits = int(dataset.get("BitsStored", 32))
        self._slope = float(dataset.get("RescaleSlope", 1))
        self._intercept = float(dataset.get("RescaleIntercept", 0))
        scaled = (self._slope, self._intercept) != (1, 0)
        signed = bool(dataset.get("PixelRepresentation", 0)) or scaled or "PixelData" not in dataset
        colors = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
        if colors not in ("MONOCHROME1", "MONOCHROME2") and not colors.startswith(("RGB", "YBR")):
            raise RefusedImage(
                f"has the color space {colors}; expected gray, RGB or YBR. Convert it to RGB"
            )
        self.facts = Facts(
            (int(dataset.Rows), int(dataset.Columns)),
            int(dataset.get("NumberOfFrames", 1) or 1),
            int(dataset.get("SamplesPerPixel", 1)),
            [],
            max(bits, 16) if signed else bits,
            np.dtype(np.float32 if signed else np.uint16 if bits > 8 else np.uint8),
            colors == "MONOCHROME1",
        )

    def read(self, plane: int, bands: tuple[int, ...]) -> Values:
        from pydicom.pixels.utils import pixel_array

        # pydicom converts YBR to RGB.
        frame = pixel_array(self._dataset, index=plane)
        frame = frame if self.facts.bands > 1 else frame[..., None]
        frame = frame[..., list(bands)]
        if self.facts.dtype.kind == "f":
            return np.asarray(frame * self._slope + self._intercept, np.float32)
        return np.asarray(frame, self.facts.dtype)


@contextmanager
def _opened_dicom(path: Path) -> Iterator[_File]:
    import pydicom

    yield _Dicom(pydicom.dcmread(path))
