"""Decode image files; all images that a model sees are decoded here.

Decoding needs NumPy and OpenCV. TIFFs also need tifffile and imagecodecs, and CZI and DICOM files
need the extra ``nbseg[microscopy]``.
"""

import io
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from nbseg.image_names import MICROSCOPE_SUFFIXES
from nbseg.image_options import DEFAULTS, UNKNOWN_RANGE, Image, ImageOptions, to_uint8
from nbseg.microscopes import read_microscope, read_microscope_values
from nbseg.planes import RefusedImage, check_plane, chosen_bands
from nbseg.tiff import SIGNATURES, NeedsOpenCV, read_tiff, read_tiff_values

# An image counts as nearly black if its brightest value, of 255, is at most this.
NEARLY_BLACK = 63

# Header of a PGM or PPM file, with the largest value that a channel can have.
_NETPBM = re.compile(rb"P[2356]" + 3 * rb"(?:\s|#.*\n)+(\d+)")


def read_image(
    path: str | Path,
    size: tuple[int, int] | None = None,
    options: ImageOptions = DEFAULTS,
) -> Image:
    """Read an image file as (H, W, 3) uint8 in BGR order.

    If ``options.bands`` names two channels or more than three, the result has these channels in
    their order. Training, prediction and exported models read images with this function or with
    :func:`decode_image`, so all of them see the same values.

    TIFFs are read by :func:`nbseg.tiff.read_tiff`, and CZI and DICOM files by
    :func:`nbseg.microscopes.read_microscope`. OpenCV decodes other formats, converts gray,
    transparent and CMYK images to BGR, and applies the Exif orientation. A truncated file is
    refused, unless OpenCV can decode it without the missing bytes.

    Without ``options.value_range``, only the upper 8 bits of deeper values are read. If the result
    is nearly black, the values probably use only the lower bits, and the function warns.

    Args:
        path: the image file.
        size: height and width that the image must have, in pixels; None allows any size.
        options: the part of the file to read, and the range of its values.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be decoded, needs other options, or does not have the given
            ``size``.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise unreadable(path)  # a folder or a pipe, which would never end
    if is_tiff(path) or is_microscope(path):
        if is_tiff(path):
            pixels, bits = _read_tiff(path, path, options)
        else:
            with named(path):
                pixels, bits = read_microscope(Path(path), options)
        _warn_if_nearly_black(pixels, bits, options, path)
    else:
        # Decode from memory, as MMDetection does: cv2.imread fails on some photos with an Exif
        # orientation.
        pixels = decode_image(np.fromfile(path, np.uint8), path, options)
    require_image_size(path, pixels.shape[:2], size)
    return pixels


def require_image_size(
    path: str | Path, found: tuple[int, ...], size: tuple[int, int] | None
) -> None:
    """Refuse an image that does not have the size for which its annotations were made.

    Args:
        path: path of the image.
        found: height and width of the image in pixels.
        size: height and width that the image must have; None allows any size.

    Raises:
        ValueError: the sizes differ.
    """
    if size is not None and found != size:
        raise ValueError(
            f"{path} has {found[1]} x {found[0]} pixels, but its annotations are for "
            f"an image of {size[1]} x {size[0]} pixels; give the folder of the annotated images"
        )


def decode_image(
    encoded: npt.NDArray[np.uint8], name: str | Path, options: ImageOptions = DEFAULTS
) -> Image:
    """Decode the content of an image file as :func:`read_image` does, except CZI and DICOM files.

    Args:
        encoded: the content of the file, (N,) uint8.
        name: path of the file, for messages.
        options: see :func:`read_image`.

    Returns:
        The image as :func:`read_image` returns it, by default (H, W, 3) uint8 in BGR order.

    Raises:
        ValueError: the file cannot be decoded, or needs other options.
    """
    if encoded[:4].tobytes() in SIGNATURES:
        pixels, bits = _read_tiff(io.BytesIO(encoded.data), name, options)
    else:
        stored = _decode_bands(encoded, options, name)
        bits = 8 * stored.dtype.itemsize
        if stored.dtype not in (np.uint8, np.uint16) and options.value_range is None:
            raise ValueError(f"{name} {UNKNOWN_RANGE}")
        pixels = to_uint8(stored, bits, options.value_range)
    _warn_if_nearly_black(pixels, bits, options, name)
    return pixels


def _read_tiff(
    file: str | Path | io.BytesIO, name: str | Path, options: ImageOptions
) -> tuple[Image, int]:
    try:
        with named(name):
            return read_tiff(file, options)
    except NeedsOpenCV:
        content = file.getbuffer() if isinstance(file, io.BytesIO) else Path(file).read_bytes()
        pixels = _decode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR, name)
        if pixels is None:
            raise unreadable(name) from None
        return np.asarray(pixels, np.uint8), 8


def refuse_parts(path: str | Path, options: ImageOptions, channels: int) -> None:
    """Refuse options that do not fit an image with one plane, one level and unnamed channels.

    Args:
        path: path of the image, for messages.
        options: the options to read the image with.
        channels: number of channels in the file, including transparency; gray counts as three.

    Raises:
        ValueError: the options ask for a plane, a level or a channel that the image does not have.
    """
    with named(path):
        check_plane(options, 1)
        if options.level > 0:
            raise RefusedImage(
                f"has 1 resolution, but image_options.level is {options.level}; set it to 0"
            )
        chosen_bands(options, channels)


def _decode_bands(
    encoded: npt.NDArray[np.uint8], options: ImageOptions, name: str | Path
) -> npt.NDArray[Any]:
    """Decode the chosen channels of a file that is no TIFF.

    Returns:
        The stored values, (H, W, C) of any dtype. If C is 3, the channels are in BGR order.
    """
    stored = _decode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, name)
    if stored is None:
        raise unreadable(name)
    if 3 in (options.bands or ()):
        # Only this flag keeps the transparency. It leaves turned photos as they are stored.
        unchanged = _decode(encoded, cv2.IMREAD_UNCHANGED, name)
        if unchanged is not None and unchanged.shape == (*stored.shape[:2], 4):
            stored = unchanged
    refuse_parts(name, options, stored.shape[2])
    if options.bands is None:
        return stored
    order = (2, 1, 0, 3)
    chosen = [order[band] for band in chosen_bands(options, stored.shape[2])]
    if len(chosen) == 1:
        chosen *= 3
    return stored[..., chosen[::-1] if len(chosen) == 3 else chosen]


def read_values(path: str | Path, options: ImageOptions = DEFAULTS) -> npt.NDArray[Any] | None:
    """Return the values of an image with more than 8 bits per channel, (N,), before any scaling.

    Args:
        path: the image file.
        options: the part of the file to read.

    Returns:
        The finite values of the chosen channels; None if the file has at most 8 bits per channel.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file cannot be decoded, or needs other options.
    """
    if is_tiff(path) or is_microscope(path):
        with named(path):
            read = read_tiff_values if is_tiff(path) else read_microscope_values
            values, bits = read(Path(path), options)
            return None if bits <= 8 and values.dtype.kind in ("b", "u") else values
    stored = _decode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, path)
    if stored is None:
        raise unreadable(path)
    return None if stored.dtype == np.uint8 else stored[np.isfinite(stored)]


def is_microscope(path: str | Path) -> bool:
    """Tell whether a file is a CZI or DICOM file, judged by its suffix ``.czi`` or ``.dcm``."""
    return Path(path).suffix.lower() in MICROSCOPE_SUFFIXES


def is_tiff(path: str | Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) in SIGNATURES


@contextmanager
def named(path: str | Path) -> Iterator[None]:
    """Put the path of a file before the message of a ValueError that the ``with`` block raises."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error


def _warn_if_nearly_black(
    pixels: Image, bits: int, options: ImageOptions, path: str | Path
) -> None:
    if bits > 8 and options.value_range is None and pixels.max() <= NEARLY_BLACK:
        warnings.warn(
            f"{path} has {bits} bits per channel, of which only the upper 8 are read. The image is "
            f"nearly black: its brightest value becomes {pixels.max()} of 255. Set "
            "image_options.value_range in the config to the range that "
            "`tools/prepare_data.py init` measures",
            stacklevel=3,
        )


def unreadable(path: str | Path) -> ValueError:
    return ValueError(f"{path} cannot be read as an image; replace or remove it")


def write_image(path: str | Path, pixels: npt.NDArray[Any], options: Sequence[int] = ()) -> None:
    """Write an image in the format that the path's suffix names.

    Unlike ``cv2.imwrite`` of OpenCV 4.12, this function does not crash if the path is not UTF-8.

    Args:
        path: file to write.
        pixels: gray image (H, W) or BGR image (H, W, 3), uint8.
        options: parameters of ``cv2.imencode``.

    Raises:
        OSError: the file cannot be written.
        ValueError: OpenCV knows no format for the suffix.
    """
    try:
        _, encoded = cv2.imencode(Path(path).suffix, pixels, options)
    except cv2.error as error:
        raise ValueError(
            f"OpenCV knows no image format for the suffix {Path(path).suffix!r}; use .jpg or .png"
        ) from error
    Path(path).write_bytes(encoded.tobytes())


def _refuse_netpbm(path: str | Path, start: bytes) -> None:
    """Refuse the PGM, PPM and PAM files that OpenCV decodes to wrong values."""
    header = _NETPBM.match(start)
    if start.startswith(b"P7\n") or header and header[3] not in (b"255", b"65535"):
        what = f"values up to {int(header[3])}" if header else "the format PAM"
        raise ValueError(
            f"{path} has {what}, which OpenCV decodes wrongly; convert the image to PNG"
        )


def read_label_image(path: str | Path) -> npt.NDArray[Any]:
    """Read an image whose pixels are ids, and return the stored values without conversion.

    Returns:
        (H, W), or (H, W, C) with the channels in the order BGR or BGRA.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: OpenCV cannot decode the file.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        ids = None
    else:
        ids = _decode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED, path)
    if ids is None:
        raise ValueError(f"{path} cannot be read as an image; unpack the data set's archive again")
    return ids


def _decode(
    encoded: npt.NDArray[np.uint8], flags: int, name: str | Path
) -> npt.NDArray[Any] | None:
    if not encoded.size:
        return None
    _refuse_netpbm(name, encoded[:1000].tobytes())
    try:
        return cv2.imdecode(encoded, flags)
    except cv2.error:  # more pixels than OpenCV accepts
        return None
