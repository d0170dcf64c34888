"""One image of a TIFF file: which pages and channels belong to it, and how to decode them."""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any
from xml.etree import ElementTree

import cv2
import numpy as np
import numpy.typing as npt

from nbseg.image_options import Image, ImageOptions, has_known_range, to_uint8
from nbseg.tiff_colors import from_cmyk, turned
from nbseg.tiff_window import page_window
from nbseg.tiles import Window

_ORIENTATION, _NODATA = 274, 42113
# CIELAB is refused: OpenCV 4.12 converts its white to (255, 252, 222).
_KNOWN_COLORS = ("MINISWHITE", "MINISBLACK", "RGB", "PALETTE", "SEPARATED", "YCBCR")


class RefusedTiff(ValueError):
    """The file is a sound TIFF, but it needs other options or is not supported."""


class TiffPicture:
    """The image of a TIFF file that the options choose.

    Args:
        tif: the opened ``tifffile.TiffFile``.
        options: the part of the file to read.
    """

    def __init__(self, tif: Any, options: ImageOptions) -> None:
        images = [s for s in tif.series if {"Y", "X"} <= set(s.axes) and not s.keyframe.is_mask]
        full = [series for series in images if not series.keyframe.is_reduced] or images
        if not full:
            raise RefusedTiff(
                "cannot be read as an image (it has no complete page); replace or remove it"
            )
        series = max(full, key=lambda one: one.keyframe.imagewidth * one.keyframe.imagelength)
        # The other images of a slide are a thumbnail and photos of the label.
        self.others = 0 if tif.is_svs else len(full) - 1
        self.options = options
        self.tif = tif
        levels = series.levels
        if options.level >= len(levels):
            raise RefusedTiff(
                f"has {len(levels)} resolution levels, but image_options.level is {options.level}; "
                "choose a smaller level"
            )
        self.level = levels[options.level]
        self.page = self.level.keyframe
        self.axes, self.shape = self.level.axes, self.level.shape
        self.band_axis = next((axis for axis in "SC" if axis in self.axes), "")
        self.plane_axes = [axis for axis in self.axes if axis not in ("Y", "X", self.band_axis)]
        self.bits = int(np.max(self.page.bitspersample))
        self.colors = getattr(self.page.photometric, "name", str(self.page.photometric))

    def _count(self, axes: Sequence[str]) -> int:
        return prod(self.shape[self.axes.index(axis)] for axis in axes)

    @property
    def planes(self) -> int:
        """Return the number of planes: pages, focal planes and times."""
        return self._count(self.plane_axes)

    @property
    def bands(self) -> int:
        """Return the number of channels."""
        return self._count(self.band_axis)

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in pixels, after the orientation is applied."""
        height, width = self._count("Y"), self._count("X")
        return (width, height) if self._orientation >= 5 else (height, width)

    @property
    def _orientation(self) -> int:
        value = int(self.page.tags.valueof(_ORIENTATION, 1))
        return value if 1 <= value <= 8 else 1

    @property
    def nodata(self) -> float | None:
        """Return the value that marks pixels without a value, which GDAL stores."""
        try:
            return float(self.page.tags.valueof(_NODATA))
        except (TypeError, ValueError):
            return None

    def check(self) -> None:
        """Raise RefusedTiff if the options do not fit the file, or the file cannot be decoded."""
        options = self.options
        if isinstance(options.plane, int) and options.plane >= self.planes:
            raise RefusedTiff(
                f"has {self.planes} planes, but image_options.plane is {options.plane}; choose a "
                "smaller number, 'max' or 'mean'"
            )
        self.chosen_bands()
        # tifffile returns a function that raises the reason if it cannot decode a page.
        if self.page.decode.__name__.startswith("decode_raise"):
            try:
                self.page.decode(b"", 0)
            except Exception as error:
                raise RefusedTiff(
                    f"cannot be decoded ({error}); convert it to a TIFF without compression, or to "
                    "PNG"
                ) from error
        dtype = self.level.dtype
        if dtype is None or dtype.kind not in "biuf":
            raise RefusedTiff(f"has values of the type {dtype}; convert it to PNG")
        if self.colors not in _KNOWN_COLORS:
            raise RefusedTiff(f"has the color space {self.colors}; convert it to RGB")
        if options.value_range is None and not has_known_range(dtype, self.bits):
            raise RefusedTiff(
                "has signed, floating-point or 32-bit values, so it is unknown which values are "
                "black and white; set image_options.value_range in the config, which "
                "`tools/prepare_data.py init` measures, or convert the image to 8 bits per channel"
            )

    def chosen_bands(self) -> tuple[int, ...]:
        """Return the numbers of the channels that are read: one or three.

        Raises:
            RefusedTiff: the options name a channel that the file does not have.
        """
        bands = self.options.bands
        if bands is None:
            return (0, 1, 2) if self.bands >= 3 else (0,)
        names = self._band_names() if any(isinstance(band, str) for band in bands) else []
        numbers = []
        for band in bands:
            if isinstance(band, str) and band not in names:
                raise RefusedTiff(
                    f"has no channel {band!r}; its channels are {names or 'not named'}; correct "
                    "image_options.bands"
                )
            numbers.append(names.index(band) if isinstance(band, str) else band)
        if max(numbers) >= self.bands:
            raise RefusedTiff(
                f"has {self.bands} channels, but image_options.bands is {bands}; choose channels "
                f"from 0 to {self.bands - 1}"
            )
        return tuple(numbers)

    def _band_names(self) -> list[str]:
        if not self.tif.ome_metadata:
            return []
        root = ElementTree.fromstring(self.tif.ome_metadata)
        channels = root.findall(".//{*}Image[1]/{*}Pixels/{*}Channel")
        return [channel.get("Name", "") for channel in channels]

    def notes(self) -> Iterator[str]:
        """Yield notes on what is not read, with the option that changes this."""
        options, bands = self.options, self.chosen_bands()
        if self.bits > 8 and options.value_range is None:
            yield f"have {self.bits} bits per channel, of which only the upper 8 are read"
        if self.planes > 1 and isinstance(options.plane, int):
            which = "the first" if options.plane == 0 else f"plane {options.plane}"
            yield (
                f"have several frames or pages, of which only {which} is read "
                "(image_options.plane chooses another one)"
            )
        if self.others:
            yield "have several images, of which only the largest is read"
        if self.bands > len(bands) and options.bands is None and self.colors != "SEPARATED":
            yield (
                f"have {self.bands} channels, of which only {_listed(bands)} "
                f"{'are' if len(bands) > 1 else 'is'} read (image_options.bands chooses others)"
            )
        if self.nodata is not None:
            yield f"have pixels without a value ({self.nodata:g}), which are read as stored"

    def read(self, window: Window | None = None) -> Image:
        """Return the image, or the part of it inside a window, as (H, W, 3) uint8 in BGR order.

        Args:
            window: top, bottom, left and right in pixels; needs ``is_windowed``.
        """
        return turned(self._read(window), self._orientation)

    def _read(self, window: Window | None) -> Image:
        jpeg = getattr(self.page.compression, "name", "") in ("JPEG", "JPEG_LOSSY", "OJPEG")
        if self.colors == "YCBCR" and not jpeg:
            # tifffile converts only JPEGs. OpenCV takes Cr before Cb.
            stored = self.values((0, 2, 1), window)
            shown = to_uint8(stored, self.bits, self.options.value_range)
            return np.asarray(cv2.cvtColor(shown, cv2.COLOR_YCrCb2BGR), np.uint8)
        if self.colors == "SEPARATED":
            values = self.values((0, 1, 2, 3) if self.bands >= 4 else (0, 1, 2), window)
            return from_cmyk(to_uint8(values, self.bits, self.options.value_range))
        values = self.values(self.chosen_bands(), window)
        if self.colors == "PALETTE":
            table = np.asarray(self.page.colormap)
            # Some programs write color tables of 8 bits.
            table = (table >> 8 if table.max() > 255 else table).astype(np.uint8)
            return np.ascontiguousarray(table[::-1].T[values[..., 0]])
        gray_or_rgb = to_uint8(values, self.bits, self.options.value_range)
        if self.colors == "MINISWHITE":
            gray_or_rgb = 255 - gray_or_rgb
        convert = cv2.COLOR_GRAY2BGR if gray_or_rgb.shape[2] == 1 else cv2.COLOR_RGB2BGR
        return np.asarray(cv2.cvtColor(gray_or_rgb, convert), np.uint8)

    @property
    def is_windowed(self) -> bool:
        """Whether windows can be read without decoding the whole image."""
        by_page = self._is_stored_by_page and self.page.axes in ("YX", "YXS", "SYX")
        return self._orientation == 1 and (by_page or self._is_mapped)

    @property
    def _is_stored_by_page(self) -> bool:
        """Whether each page of the file is one plane, or one channel of a plane."""
        return self.axes == self._leading + self.page.axes and self._count(self._leading) == len(
            self.level.pages
        )

    @property
    def _is_mapped(self) -> bool:
        """Whether the values lie in the file as in an array, so that only a part is read."""
        return self.level.dataoffset is not None and self.page.is_memmappable

    @property
    def _leading(self) -> str:
        """Return the axes that several pages span."""
        return str(self.axes[: len(self.axes) - len(self.page.axes)])

    def values(self, bands: tuple[int, ...], window: Window | None = None) -> npt.NDArray[Any]:
        """Return the stored values of the chosen plane or of the projection, (H, W, bands)."""
        chosen = self.options.plane
        planes = range(self.planes) if isinstance(chosen, str) else [chosen]
        read = self._plane_reader(bands, window)
        result: npt.NDArray[Any] = read(planes[0])
        if self.options.plane == "max":
            for plane in planes[1:]:
                result = np.maximum(result, read(plane))
        elif self.options.plane == "mean":
            total = result.astype(np.float64)
            for plane in planes[1:]:
                total += read(plane)
            mean = total / len(planes)
            whole = result.dtype.kind in "iu"
            result = np.asarray(np.rint(mean) if whole else mean, result.dtype)
        return result

    def _plane_reader(
        self, bands: tuple[int, ...], window: Window | None
    ) -> Callable[[int], npt.NDArray[Any]]:
        """Return a function from the number of a plane to its values, (H, W, bands)."""
        if self._is_mapped or not self._is_stored_by_page:
            values = self.level.asarray(out="memmap" if self._is_mapped else None)
            block = self._sorted(values, self.axes)
            top, bottom, left, right = window or (0, block.shape[1], 0, block.shape[2])
            return lambda plane: block[plane, top:bottom, left:right][..., list(bands)]
        sides = [self._count(axis) for axis in self._leading]
        order: npt.NDArray[np.int64] = np.arange(len(self.level.pages)).reshape(sides)
        if self.band_axis and self.band_axis in self._leading:
            order = np.moveaxis(order, self._leading.index(self.band_axis), -1)
            order = order.reshape(self.planes, self.bands)
            return lambda plane: np.stack(
                [self._page(order[plane, band], window) for band in bands], axis=-1
            )
        order = order.reshape(-1)

        def read(plane: int) -> npt.NDArray[Any]:
            page = self._sorted(self._page(order[plane], window), self.page.axes)[0]
            values: npt.NDArray[Any] = page[..., list(bands)]
            return values

        return read

    def _page(self, number: int, window: Window | None) -> npt.NDArray[Any]:
        page = self.level.pages[int(number)]
        if page is None:
            raise RefusedTiff("lacks some of its pages; replace or remove it")
        values: npt.NDArray[Any] = page.asarray() if window is None else page_window(page, window)
        return values

    def _sorted(self, values: npt.NDArray[Any], axes: str) -> npt.NDArray[Any]:
        """Return values as (planes, H, W, bands)."""
        planes = [axis for axis in axes if axis in self.plane_axes]
        order = [axes.index(axis) for axis in (*planes, "Y", "X")]
        if self.band_axis in axes and self.band_axis:
            values = values.transpose(*order, axes.index(self.band_axis))
        else:
            values = values.transpose(order)[..., None]
        return values.reshape(-1, *values.shape[-3:])


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
