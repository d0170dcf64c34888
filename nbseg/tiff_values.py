"""Read the stored values of one image of a TIFF, as a whole or inside a window."""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from nbseg.planes import RefusedImage, Values, combined
from nbseg.tiff_picture import TiffPicture
from nbseg.tiff_window import page_window
from nbseg.tiles import Window


class TiffValues:
    """Reads the values of an image of a TIFF as they are stored.

    Args:
        picture: the image, with the options that choose planes and channels.
    """

    def __init__(self, picture: TiffPicture) -> None:
        self._picture = picture
        self._level, self._page_axes = picture.level, str(picture.page.axes)
        # Axes that several pages span, and the number of entries along each of these axes.
        count = len(picture.axes) - len(self._page_axes)
        self._leading, self._sides = str(picture.axes[:count]), picture.shape[:count]

    @property
    def are_windowed(self) -> bool:
        """Whether windows can be read without decoding the whole image."""
        by_page = self._is_stored_by_page and self._page_axes in ("YX", "YXS", "SYX")
        return (
            self._picture.orientation == 1
            and not self._picture.needs_opencv
            and (by_page or self._mapped_file is not None)
        )

    @property
    def _is_stored_by_page(self) -> bool:
        """Whether each page of the file is one plane, or one channel of a plane."""
        of_page = set(self._page_axes) - {"Y", "X", self._picture.band_axis}
        return (
            self._picture.axes == self._leading + self._page_axes
            and not of_page
            and prod(self._sides) == len(self._level.pages)
        )

    @property
    def _mapped_file(self) -> Any:
        """Return the file if its values can be mapped into memory as one array; otherwise None."""
        file = self._picture.tif.filehandle
        return file if self._level.dataoffset is not None and file.is_file else None

    def read(self, window: Window | None = None) -> tuple[Values, int]:
        """Return the values that the options choose, (H, W, C), and their bits per channel.

        The values come from one plane, or from the maximum or mean of all planes.

        Args:
            window: top, bottom, left and right in pixels; None reads the whole image.
        """
        picture = self._picture
        return combined(
            self._plane_reader(picture.chosen_bands(), window),
            picture.planes,
            picture.options.plane,
            picture.bits,
            white_at_zero=picture.colors == "MINISWHITE",
        )

    def _plane_reader(
        self, bands: tuple[int, ...], window: Window | None
    ) -> Callable[[int], Values]:
        """Return a function that returns the values of the plane with a given number.

        The values have the shape (H, W, C), with the channels ``bands``.
        """
        file = self._mapped_file
        if file is not None or not self._is_stored_by_page:
            # All planes lie in the file as one block, or a page holds several planes.
            if file is None:
                values = self._level.asarray(maxworkers=1)
            else:
                typecode = self._picture.tif.byteorder + self._level.dtype.char
                values = file.memmap_array(typecode, self._picture.shape, self._level.dataoffset)
            block = self._sorted(values, self._picture.axes)
            top, bottom, left, right = window or (0, block.shape[1], 0, block.shape[2])

            def from_block(plane: int) -> Values:
                native = self._level.dtype.newbyteorder("=")
                return np.asarray(block[plane, top:bottom, left:right][..., list(bands)], native)

            return from_block
        order: npt.NDArray[np.int64] = np.arange(len(self._level.pages))
        if self._picture.band_axis and self._picture.band_axis in self._leading:
            sides = self._picture.shape[: len(self._leading)]
            order = np.moveaxis(
                order.reshape(sides), self._leading.index(self._picture.band_axis), -1
            )
            order = order.reshape(self._picture.planes, self._picture.bands)
            return lambda plane: np.stack(
                [self._page(order[plane, band], window) for band in bands], axis=-1
            )

        def from_page(plane: int) -> Values:
            values = self._sorted(self._page(order[plane], window), self._page_axes)[0]
            return np.asarray(values[..., list(bands)])

        return from_page

    def _page(self, number: int, window: Window | None) -> Values:
        page = self._level.pages[int(number)]
        if page is None:
            raise RefusedImage("lacks some of its pages; replace or remove it")
        if window is not None:
            return page_window(page, window)
        # A data loader has its own processes, so threads for the tiles of an image do not help.
        return np.asarray(page.asarray(maxworkers=1))

    def _sorted(self, values: Values, axes: str) -> Values:
        """Return values as (planes, H, W, channels); ``axes`` has a letter for each axis."""
        ends = [axes.index("Y"), axes.index("X")]
        if has_bands := bool(self._picture.band_axis) and self._picture.band_axis in axes:
            ends.append(axes.index(self._picture.band_axis))
        planes = [place for place in range(len(axes)) if place not in ends]
        values = values.transpose(*planes, *ends)
        values = values if has_bands else values[..., None]
        return values.reshape(-1, *values.shape[-3:])
