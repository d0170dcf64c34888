"""Read TIFF files: every compression, dtype and layout that tifffile and imagecodecs can decode.

OpenCV decodes many valid TIFFs wrongly without an error, see ``findings/opencv_*tiff*.sh``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from nbseg.image_options import Image, ImageOptions
from nbseg.tiff_picture import RefusedTiff, TiffPicture

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class TiffHeader:
    """Describes a TIFF as :func:`read_tiff` decodes it.

    Attributes:
        height, width: size in pixels, after the orientation is applied.
        bits: bits per channel in the file.
        notes: notes on parts of the file that are not read, worded to follow "these images".
    """

    height: int
    width: int
    bits: int
    notes: tuple[str, ...]


def tiff_header(file: str | Path | BinaryIO, options: ImageOptions) -> TiffHeader:
    """Read the header of a TIFF without decoding pixels.

    Args:
        file: the path, or the opened file.
        options: the part of the file to describe.

    Raises:
        OSError: the file cannot be opened.
        ValueError: :func:`read_tiff` would refuse the file; the message begins with what the file
            has, and is worded to follow its path.
    """
    with _opened(file, options) as picture:
        height, width = picture.size
        return TiffHeader(height, width, picture.bits, tuple(picture.notes()))


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
    with _opened(file, options) as picture:
        return picture.read(), picture.bits


def read_tiff_values(
    file: str | Path | BinaryIO, options: ImageOptions
) -> tuple[npt.NDArray[Any], int]:
    """Return the values of a TIFF that mean something, (N,), with the file's bits per channel.

    Values that are not finite, and the value that marks pixels without a value, are left out. The
    function raises the same errors as :func:`read_tiff`.
    """
    with _opened(file, options) as picture:
        values = picture.values(picture.chosen_bands()).ravel()
        values = values[np.isfinite(values)]
        if (nodata := picture.nodata) is not None:
            values = values[values != nodata]
        return values, picture.bits


class TiffFile:
    """An opened TIFF, and the image in it that the options choose.

    Args:
        file: the path, or the opened file.
        options: the part of the file to read.

    Attributes:
        picture: the chosen image.

    Raises:
        OSError: the file cannot be opened.
        ValueError: the file cannot be decoded, or needs other options; the message is worded to
            follow the file's path.
    """

    def __init__(self, file: str | Path | BinaryIO, options: ImageOptions) -> None:
        try:
            import tifffile
        except ImportError as error:
            raise ValueError(
                "is a TIFF, which needs the packages tifffile and imagecodecs; install them"
            ) from error
        with self.errors():
            # A file of an OME data set names the other files; only the file itself is read.
            self._tif = tifffile.TiffFile(file, _multifile=False)
            try:
                self.picture = TiffPicture(self._tif, options)
                self.picture.check()
            except BaseException:
                self._tif.close()
                raise

    @staticmethod
    @contextmanager
    def errors() -> Iterator[None]:
        """Turn the errors of tifffile and of the decompressors into ValueErrors."""
        try:
            yield
        except (RefusedTiff, OSError, MemoryError):
            raise
        except Exception as error:  # tifffile and the decompressors raise errors of any kind
            detail = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(
                f"cannot be read as an image ({detail}); replace or remove it"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._tif.close()


@contextmanager
def _opened(file: str | Path | BinaryIO, options: ImageOptions) -> Iterator[TiffPicture]:
    opened = TiffFile(file, options)
    try:
        with opened.errors():
            yield opened.picture
    finally:
        opened.close()
