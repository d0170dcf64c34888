"""Read TIFF files: every compression, dtype and layout that tifffile and imagecodecs can decode.

OpenCV decodes many valid TIFFs wrongly without an error, see ``findings/opencv_*tiff*.sh``.
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
    """Read the header of a TIFF without decoding pixels.

    Args:
        file: the path, or the opened file.
        options: the part of the file to describe.

    Raises:
        OSError: the file cannot be opened.
        ValueError: :func:`read_tiff` would refuse the file; the message begins with what the file
            has, and is worded to follow its path.
    """
    with _opened(file, options) as tiff:
        tiff.picture.check_pixels()
        return ImageHeader(*tiff.picture.size, tiff.picture.bits, tuple(tiff.picture.notes()))


def read_tiff(file: str | Path | BinaryIO, options: ImageOptions) -> tuple[Image, int]:
    """Decode a TIFF, and return it as (H, W, 3) uint8 in BGR order, with its bits per channel.

    Of a file with several images, the largest one that is no preview is read. Values that mean
    white at zero (MINISWHITE) are inverted, color tables are applied, CMYK and YCbCr are converted
    to RGB, and the orientation is applied. Channels after the third are left out; they are not used
    as transparency.

    Args:
        file: the path, or the opened file.
        options: the part of the file to read, and the range of its values.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file cannot be decoded, or needs other options; the message is worded to
            follow the file's path.
    """
    with _opened(file, options) as tiff:
        return tiff.read(), tiff.picture.bits


def read_tiff_values(
    file: str | Path | BinaryIO, options: ImageOptions
) -> tuple[npt.NDArray[Any], int]:
    """Return the values of a TIFF that mean something, (N,), with the file's bits per channel.

    Values that are not finite, and the value that marks pixels without a value, are left out. The
    function raises the same errors as :func:`read_tiff`.
    """
    with _opened(file, options) as tiff:
        values, bits = tiff.values.read()
        return tiff.picture.meant(values), bits


class NeedsOpenCV(Exception):
    """The values have a color space that OpenCV converts and tifffile does not decode."""


class TiffFile:
    """An opened TIFF, and the image in it that the options choose.

    Args:
        file: the path, or the opened file.
        options: the part of the file to read.

    Attributes:
        picture: the chosen image.
        values: reads the image's values as they are stored.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file cannot be decoded, or needs other options; the message is worded to
            follow the file's path.
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
        """Turn the errors of tifffile and of the decompressors into ValueErrors."""
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
        """Return the image, or the part of it inside a window, as (H, W, C) uint8; BGR if C is 3.

        Args:
            window: top, bottom, left and right in pixels; needs ``values.are_windowed``.

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
    """Notices tifffile's message on pages that lie behind the end of the file."""

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
