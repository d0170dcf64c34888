"""Choose one image of a TIFF file, describe it, and check whether it can be read."""

from collections.abc import Iterator
from math import prod
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from nbseg.image_options import ImageOptions
from nbseg.planes import RefusedImage, check_plane, check_range, chosen_bands, part_notes

_ORIENTATION, _INK_SET, _NODATA = 274, 332, 42113
_COLORS = ("MINISWHITE", "MINISBLACK", "RGB", "PALETTE", "SEPARATED", "YCBCR")
# OpenCV refuses larger images, too.
MOST_PIXELS = 2**30
Values = npt.NDArray[Any]


class TiffPicture:
    """Describes the image of a TIFF file that the options choose.

    Args:
        tif: the opened ``tifffile.TiffFile``.
        options: the part of the file to read.

    Raises:
        RefusedImage: the options do not fit the file, or the file cannot be decoded.
    """

    def __init__(self, tif: Any, options: ImageOptions) -> None:
        images = [s for s in tif.series if {"Y", "X"} <= set(s.axes) and not s.keyframe.is_mask]
        full = [series for series in images if not series.keyframe.is_reduced] or images
        if not full:
            raise RefusedImage(
                "cannot be read as an image (it has no complete page); replace or remove it"
            )
        series = max(full, key=lambda one: one.keyframe.imagewidth * one.keyframe.imagelength)
        self._number = tif.series.index(series)
        # The other images of a slide are a thumbnail and photos of the label.
        self.others = 0 if tif.is_svs else len(full) - 1
        self.options = options
        self.tif = tif
        if options.level >= len(series.levels):
            raise RefusedImage(
                f"has {len(series.levels)} resolution levels, but image_options.level is "
                f"{options.level}; choose a smaller level"
            )
        self.level = series.levels[options.level]
        self.page = self.level.keyframe
        self.axes, self.shape = self.level.axes, self.level.shape
        self.band_axis = next((axis for axis in "SC" if axis in self.axes), "")
        self.bits = int(np.max(self.page.bitspersample))
        self.colors = getattr(self.page.photometric, "name", str(self.page.photometric))
        self._is_jpeg = getattr(self.page.compression, "name", "") in (
            "JPEG",
            "JPEG_LOSSY",
            "OJPEG",
        )
        if self._is_jpeg and self.colors != "YCBCR":
            self._keep_colors_of_jpeg()
        self._check()

    def _keep_colors_of_jpeg(self) -> None:
        """Stop libjpeg from converting channels that the file does not declare as YCbCr."""
        photometrics = type(self.page.photometric)
        if self.page.planarconfig == 2:
            self.page.photometric = photometrics.MINISBLACK
        elif self.page.samplesperpixel == 3:
            self.page.photometric, self.page.extrasamples = photometrics.RGB, ()

    def side(self, axis: str) -> int:
        """Return the length of the axis with this letter, such as "Y"; the first if several."""
        return int(self.shape[self.axes.index(axis)])

    @property
    def planes(self) -> int:
        """Return the number of planes: combinations of a page, a focal plane and a time."""
        return prod(
            side
            for axis, side in zip(self.axes, self.shape, strict=True)
            if axis not in ("Y", "X", self.band_axis)
        )

    @property
    def bands(self) -> int:
        """Return the number of channels."""
        return self.side(self.band_axis) if self.band_axis else 1

    @property
    def size(self) -> tuple[int, int]:
        """Return (height, width) in pixels, after the orientation is applied."""
        height, width = self.side("Y"), self.side("X")
        return (width, height) if self.orientation >= 5 else (height, width)

    @property
    def orientation(self) -> int:
        """Return the TIFF orientation, 1 to 8; 1 if the file has no valid orientation."""
        value = int(self.page.tags.valueof(_ORIENTATION, 1))
        return value if 1 <= value <= 8 else 1

    @property
    def nodata(self) -> float | None:
        """Return the value that marks pixels without data (GDAL's nodata); None if not set."""
        try:
            return float(self.page.tags.valueof(_NODATA))
        except (TypeError, ValueError):
            return None

    def _check(self) -> None:
        options, dtype = self.options, self.level.dtype
        check_plane(options, self.planes)
        self.chosen_bands()
        inks = self.page.tags.valueof(_INK_SET, 1) != 1 or self.bands not in (3, 4)
        if self.colors not in _COLORS or (self.colors == "SEPARATED" and inks):
            raise RefusedImage(
                f"has the color space {self.colors} with {self.bands} channels; expected gray, "
                "RGB, a color table, YCbCr, or the inks CMY or CMYK. Convert it to RGB"
            )
        if self.colors == "PALETTE" and isinstance(options.plane, str):
            raise RefusedImage(
                "has a color table, so its planes cannot be combined; set image_options.plane to "
                "the number of a plane"
            )
        # tifffile returns a function that raises the reason if it cannot decode a page.
        if self.page.decode.__name__.startswith("decode_raise") and not self.needs_opencv:
            try:
                self.page.decode(b"", 0)
            except Exception as error:
                raise RefusedImage(
                    f"cannot be decoded ({error}); convert it to a TIFF without compression, or to "
                    "PNG"
                ) from error
        bits = self.page.bitspersample
        if dtype is None or dtype.kind not in "biuf" or isinstance(bits, tuple):
            raise RefusedImage(
                f"has values of the type {dtype} ({bits} bits), which nbseg does not read; convert "
                "it to PNG"
            )
        check_range(options, dtype, self.bits)

    @property
    def needs_opencv(self) -> bool:
        """Whether OpenCV has to decode the file."""
        return self.colors == "YCBCR" and not self._is_jpeg

    def chosen_bands(self) -> tuple[int, ...]:
        """Return the numbers (from 0) of the channels that are read, in the order of the result.

        Raises:
            RefusedImage: the options name a channel that the file does not have, or a channel alone
                means nothing, as in CMYK.
        """
        bands = self.options.bands
        if self.colors in ("PALETTE", "SEPARATED", "YCBCR"):
            if bands is not None:
                raise RefusedImage(
                    f"has the color space {self.colors}, so single channels cannot be read; remove "
                    "image_options.bands, or convert the image to RGB"
                )
            return (0,) if self.colors == "PALETTE" else tuple(range(min(self.bands, 4)))
        names = self._band_names() if any(isinstance(band, str) for band in bands or ()) else []
        return chosen_bands(self.options, self.bands, names)

    def _band_names(self) -> list[str]:
        # The samples of a color camera's channel have no names of their own.
        if not self.tif.ome_metadata or self.band_axis != "C":
            return []
        root = ElementTree.fromstring(self.tif.ome_metadata)
        images = root.findall(".//{*}Image")
        if self._number >= len(images):
            return []
        channels = images[self._number].findall("{*}Pixels/{*}Channel")
        return [channel.get("Name", "") for channel in channels]

    def notes(self) -> Iterator[str]:
        """Yield notes on parts that are not read, worded to follow the words "these images"."""
        # CMYK and color tables have no channels of their own.
        bands = self.bands if self.colors in ("MINISWHITE", "MINISBLACK", "RGB") else 1
        yield from part_notes(self.options, self.planes, bands, self.bits)
        if self.others:
            yield "have several images, of which only the largest is read"
        if self.nodata is not None:
            yield f"have pixels without a value ({self.nodata:g}), which are read as stored"

    def check_pixels(self) -> None:
        """Refuse an image that is too large to be read as a whole.

        Raises:
            RefusedImage: the image has more than 2**30 pixels.
        """
        if self.side("Y") * self.side("X") > MOST_PIXELS:
            raise RefusedImage(
                f"has {self.size[1]} x {self.size[0]} pixels, too many to read at once; cut it "
                "with `tools/prepare_data.py tile`, predict it with `tools/infer.py --tile`, or "
                "set image_options.level"
            )

    def meant(self, values: Values) -> Values:
        """Return the valid values, (N,): those that are finite and not GDAL's nodata value."""
        flat = values.ravel()
        flat = flat[np.isfinite(flat)]
        return np.asarray(flat if self.nodata is None else flat[flat != self.nodata])
