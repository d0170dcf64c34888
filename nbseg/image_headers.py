"""Read the headers of image files, without decoding pixels where this is possible.

All headers need Pillow. TIFFs also need tifffile and imagecodecs, and CZI and DICOM files also need
the extra ``nbseg[microscopy]``.
"""

import re
import warnings
from pathlib import Path

from nbseg.image_options import DEFAULTS, FOR_DISPLAY, ImageHeader, ImageOptions, for_display
from nbseg.images import is_microscope, is_tiff, named, read_image, refuse_parts, unreadable
from nbseg.microscopes import microscope_header
from nbseg.tiff import tiff_header

_EXIF_ORIENTATION = 0x0112
_EXIF_QUARTER_TURNS = (5, 6, 7, 8)


def image_size(path: Path, options: ImageOptions = FOR_DISPLAY) -> tuple[int, int] | None:
    """Return the (height, width) of an image in pixels; None if the file cannot be read.

    The size is that of the array that :func:`read_image` returns with these options.
    """
    try:
        # The size does not depend on the range of the values.
        return image_header(path, for_display(options))[:2]
    except (OSError, ValueError):
        return None


def image_header(path: Path, options: ImageOptions = DEFAULTS) -> ImageHeader:
    """Return the size and the bits per channel of an image, and notes on parts that are not read.

    Pixels are decoded only in two cases: Pillow does not know the format, or the Exif orientation
    swaps height and width. Some versions of OpenCV ignore the orientation in some formats, so only
    decoding tells the size.

    Args:
        path: the image file.
        options: the options with which :func:`read_image` will read the image.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the header shows that :func:`read_image` cannot read the file; the message says
            why.
    """
    # Import Pillow here, because an exported model must run without Pillow.
    from PIL import Image as PillowImage
    from PIL import UnidentifiedImageError

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; correct the path")
    if is_tiff(path) or is_microscope(path):
        with named(path):
            read = tiff_header if is_tiff(path) else microscope_header
            return read(path, options)
    bits, channels, notes = 8, 3, []
    try:
        with warnings.catch_warnings(), PillowImage.open(path) as image:
            warnings.simplefilter("ignore")
            width, height = image.size
            raw_modes = str([tile[3] for tile in image.tile])
            # A PPM file has its largest value in place of a raw mode.
            deep = image.mode.startswith("I") or re.search(";16|65535", raw_modes)
            bits = 16 if deep else 8
            channels = 4 if image.mode == "RGBA" else 3
            if deep and options.value_range is None:
                notes.append("have 16 bits per channel, of which only the upper 8 are read")
            # The second picture of a JPEG (MPO) is a thumbnail or a depth map.
            if image.format != "MPO" and getattr(image, "is_animated", False):
                notes.append("have several frames or pages, of which only the first is read")
            # PngImageFile.getexif would decode all pixels to find a chunk at the end of the file.
            exif = PillowImage.Image.getexif(image)
            turned = exif.get(_EXIF_ORIENTATION) in _EXIF_QUARTER_TURNS
    except (UnidentifiedImageError, PillowImage.DecompressionBombError):
        turned = True
    except Exception as error:  # Pillow's parsers raise errors of any kind
        raise unreadable(path) from error
    refuse_parts(path, options, channels)
    if turned:
        height, width = read_image(path, options=options).shape[:2]
    return ImageHeader(height, width, bits, tuple(notes))
