"""Read TIFF files with tifffile and imagecodecs.

OpenCV is not used, because it decodes many valid TIFFs wrongly without an error. The scripts
``findings/opencv_*tiff*.sh`` show examples.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from nbseg.image_options import Image, ImageHeader, ImageOptions, central_range, to_uint8
from nbseg.planes import RefusedImage
from nbseg.tiff_colors import as_bgr, from_cmyk, turned
from nbseg.tiff_picture import TiffPicture
from nbseg.tiff_values import TiffValues
from nbseg.tiles import Window

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def tiff_header(file: str | Path | BinaryIO, options: ImageOptions) -> ImageHeader:
    """Return the header of a TIFF without decoding pixels.

    Args:
        file: the path, or the opened file.
        options: the part of the file to describe.

    Raises:
        OSError: the file cannot be opened.
        ValueError: :func:`read_tiff` would refuse the file. The caller puts the file's path before
            the message.
    """
    with _opened(file, options) as tiff:
        tiff.picture.check_pixels()
        return ImageHeader(*tiff.picture.size, tiff.picture.bits, tuple(tiff.picture.notes()))


def read_tiff(file: str | Path | BinaryIO, options: ImageOptions) -> tuple[Image, int]:
    """Decode a TIFF.

    If a file has several images, the largest image that is no preview is read. If 0 means white
    (MINISWHITE), the values are inverted. Color tables and the orientation are applied, and CMYK
    and JPEG-compressed YCbCr are converted. By default, channels after the third are left out; they
    are not used as transparency.

    Args:
        file: the path, or the opened file.
        options: the part of the file to read, and the range of its values.

    Returns:
        The image, by default (H, W, 3) uint8 in BGR order; and the file's bits per channel.

    Raises:
        OSError: the file cannot be opened.
        NeedsOpenCV: the file has YCbCr values without JPEG compression.
        ValueError: the file cannot be decoded, or needs other options. The caller puts the file's
            path before the message.
    """
    with _opened(file, options) as tiff:
        return tiff.read(), tiff.picture.bits


def read_tiff_values(
    file: str | Path | BinaryIO, options: ImageOptions
) -> tuple[npt.NDArray[Any], int]:
    """Return the valid values of a TIFF, (N,), and the file's bits per channel.

    The values are not scaled. NaN, infinity, and the value that marks pixels without data (GDAL's
    nodata) are left out. The function raises the same errors as :func:`read_tiff`, except
    ``NeedsOpenCV``.
    """
    with _opened(file, options) as tiff:
        values, bits = tiff.values.read()
        return tiff.picture.meant(values), bits


class NeedsOpenCV(Exception):
    """Reports a TIFF with YCbCr values without JPEG compression, which OpenCV has to decode."""


class TiffFile:
    """Opens a TIFF, and reads the image in it that the options choose.

    Args:
        file: the path, or the opened file.
        options: the part of the file to read.

    Attributes:
        picture: describes the chosen image.
        values: reads the image's values as they are stored.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file cannot be decoded, or needs other options. The caller puts the file's
            path before the message.
    """

    def __init__(self, file: str | Path | BinaryIO, options: ImageOptions) -> None:
        try:
            import imagecodecs  # noqa: F401  tifffile would find its absence only when it decodes
            import tifffile
        except ImportError as error:
            raise ValueError(
                "is a TIFF, which needs the packages tifffile and imagecodecs; install them"
            ) from error
        with self.errors():
            # A file of an OME data set names the other files; only the file itself is read.
            self._tif = tifffile.TiffFile(file, _multifile=False)
            try:
                with _refusing_cut_files():
                    self.picture = TiffPicture(self._tif, options)
                self.values = TiffValues(self.picture)
            except BaseException:
                self._tif.close()
                raise

    @staticmethod
    @contextmanager
    def errors() -> Iterator[None]:
        """Turn errors of tifffile and the decompressors in a ``with`` block into ValueErrors."""
        try:
            yield
        except (RefusedImage, NeedsOpenCV, OSError, MemoryError):
            raise
        except Exception as error:  # tifffile and the decompressors raise errors of any kind
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"cannot be read as an image ({detail}); replace or remove it"
            ) from error

    def read(self, window: Window | None = None) -> Image:
        """Decode the image, or only the part of the image inside a window.

        Args:
            window: top, bottom, left and right in pixels; bottom and right are exclusive. None
                reads the whole image. A window is allowed only if ``values.are_windowed`` is True.

        Returns:
            (H, W, C) uint8, in BGR order if C is 3.

        Raises:
            NeedsOpenCV: OpenCV has to decode the file.
            ValueError: the file cannot be decoded, or the whole image has too many pixels.
        """
        picture = self.picture
        if picture.needs_opencv:
            raise NeedsOpenCV
        if window is None:
            picture.check_pixels()
        values, bits = self.values.read(window)
        if picture.colors == "PALETTE":
            table = np.asarray(picture.page.colormap)
            # Some programs write color tables of 8 bits.
            table = (table >> 8 if table.max() > 255 else table).astype(np.uint8)
            return turned(table[::-1].T[values[..., 0].astype(np.intp)], picture.orientation)
        value_range = picture.options.value_range
        if value_range == "own" and bits > 8:
            value_range = central_range(picture.meant(values))
        image = to_uint8(values, bits, value_range)
        if picture.colors == "MINISWHITE":
            image = 255 - image
        image = from_cmyk(image) if picture.colors == "SEPARATED" else as_bgr(image)
        return turned(image, picture.orientation)

    def close(self) -> None:
        """Close the file."""
        self._tif.close()


class _LostPages(logging.Handler):
    """Sets ``found`` if tifffile logs that a page lies behind the end of the file."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found = False
        self._thread = get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread and "invalid page offset" in record.getMessage():
            self.found = True


@contextmanager
def _refusing_cut_files() -> Iterator[None]:
    """Refuse a file that lacks pages; tifffile only logs an error and reads the other pages."""
    logger, handler = logging.getLogger("tifffile"), _LostPages()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
    if handler.found:
        raise RefusedImage("is cut off: some of its pages are missing; copy it again")


@contextmanager
def _opened(file: str | Path | BinaryIO, options: ImageOptions) -> Iterator[TiffFile]:
    opened = TiffFile(file, options)
    try:
        with opened.errors():
            yield opened
    finally:
        opened.close()
