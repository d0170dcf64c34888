"""Find and decode image files; no other module decodes images for a model.

Decoding needs only NumPy and OpenCV. Reading a header without decoding the image needs Pillow.
"""

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]
T = TypeVar("T")

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")

# An image counts as nearly black if its brightest value, of 255, is at most this.
NEARLY_BLACK = 63

# Header of a PGM or PPM file, with the largest value that a channel can have.
_NETPBM = re.compile(rb"P[2356]" + 3 * rb"(?:\s|#.*\n)+(\d+)")
_EXIF_ORIENTATION = 0x0112
_EXIF_QUARTER_TURNS = (5, 6, 7, 8)


class ImageHeader(NamedTuple):
    """Describes an image as :func:`read_image` decodes it.

    Attributes:
        height, width: size in pixels, after the Exif orientation is applied.
        bits: bits per channel in the file, 8 or 16. :func:`read_image` keeps the upper 8 of 16.
        several: whether the file has several frames or pages, of which only the first is read.
    """

    height: int
    width: int
    bits: int
    several: bool

    def notes(self) -> list[str]:
        """Return notes about unread bits and frames, worded to follow "these images"."""
        notes = []
        if self.bits > 8:
            notes.append(f"have {self.bits} bits per channel, of which only the upper 8 are read")
        if self.several:
            notes.append("have several frames or pages, of which only the first is read")
        return notes


def files_below(folder: Path, suffixes: tuple[str, ...] = ()) -> list[str]:
    """Return the sorted paths of all files below a folder, relative to this folder.

    Hidden files and folders, such as ``._x.png`` and ``.ipynb_checkpoints``, are left out. Links
    are followed, except a link to a folder that contains the link.

    Args:
        folder: the folder.
        suffixes: suffixes of the wanted files, in lower case; if empty, all files are wanted.

    Raises:
        FileNotFoundError: there is no wanted file; the message counts the other files by suffix.
        OSError: the folder or one of its sub-folders cannot be listed.
    """
    names = sorted(Path(path).relative_to(folder).as_posix() for path in _walk(folder))
    chosen = [name for name in names if not suffixes or Path(name).suffix.lower() in suffixes]
    if not chosen:
        counts = Counter(Path(name).suffix.lower() or "without a suffix" for name in names)
        others = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())
        wanted = "image" if set(IMAGE_SUFFIXES) & set(suffixes) else "usable file"
        expected = f"files ending in {', '.join(suffixes)}" if suffixes else "files"
        found = f"other files ({others}). Convert them, or name" if others else "no file. Name"
        raise FileNotFoundError(
            f"there is no {wanted} in {folder}: expected {expected}; found {found} another folder"
        )
    return chosen


def image_names(folder: Path) -> list[str]:
    """Return the sorted paths of all images below a folder, relative to this folder.

    Raises:
        FileNotFoundError: there is no image.
        ValueError: a path is not UTF-8, so that jsons, logs and reports cannot name the image.
    """
    names = files_below(folder, IMAGE_SUFFIXES)
    if others := other_encodings(names):
        raise ValueError(
            f"{folder} has {len(others)} file names that are not UTF-8, the first: {others[0]!a}; "
            "rename these files, for example with the program convmv"
        )
    return names


def other_encodings(names: Sequence[str]) -> list[str]:
    """Return the names that are not UTF-8. In Python, such names contain lone surrogates."""
    return [name for name in names if any("\ud800" <= letter <= "\udfff" for letter in name)]


def _walk(folder: str | Path, above: frozenset[str] = frozenset()) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        # DirEntry.is_dir() raises for a link to itself.
        if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
            yield from _walk(entry.path, above | {real})
        else:
            yield entry.path


def image_size(path: Path) -> tuple[int, int] | None:
    """Return the (height, width) of an image in pixels; None if the file cannot be read.

    The size is that of the array that :func:`read_image` returns.
    """
    try:
        return image_header(path)[:2]
    except (OSError, ValueError):
        return None


def spread(items: Sequence[T], count: int) -> list[T]:
    """Return up to ``count`` items at equal distances in a sequence."""
    count = min(count, len(items))
    return [items[i * len(items) // count] for i in range(count)]


def image_header(path: Path) -> ImageHeader:
    """Read the header of an image file.

    Pillow reads the header without decoding the image. OpenCV decodes the image to find its size if
    Pillow does not know the format. OpenCV also decodes the image if the Exif orientation swaps
    height and width, because some versions of OpenCV ignore the orientation in some formats.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: :func:`read_image` cannot read the file; the message says why.
    """
    # Import Pillow here, because an exported model must run without Pillow.
    from PIL import Image as PillowImage
    from PIL import UnidentifiedImageError

    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; correct the path")
    bits, several, integers = 8, False, True
    try:
        with warnings.catch_warnings(), PillowImage.open(path) as image:
            warnings.simplefilter("ignore")
            width, height = image.size
            integers = image.format != "TIFF" or image.mode not in ("I", "F")
            raw_modes = str([tile[3] for tile in image.tile])
            # A PPM file has its largest value in place of a raw mode.
            deep = image.mode.startswith("I") or re.search(";16|65535", raw_modes)
            bits = 16 if deep else 8
            # The second picture of a JPEG (MPO) is a thumbnail or a depth map.
            several = image.format != "MPO" and getattr(image, "is_animated", False)
            # PngImageFile.getexif would decode all pixels to find a chunk at the end of the file.
            exif = PillowImage.Image.getexif(image)
            turned = exif.get(_EXIF_ORIENTATION) in _EXIF_QUARTER_TURNS
    except (UnidentifiedImageError, PillowImage.DecompressionBombError):
        turned = True
    except Exception as error:  # Pillow's parsers raise errors of any kind
        raise _unreadable(path) from error
    if not integers:
        raise _unusable_values(path)
    if turned:
        height, width = read_image(path).shape[:2]
    return ImageHeader(height, width, bits, several)


def _unreadable(path: str | Path) -> ValueError:
    return ValueError(f"{path} cannot be read as an image; replace or remove it")


def _unusable_values(path: str | Path) -> ValueError:
    return ValueError(
        f"{path} has signed, floating-point or 32-bit values, so it is unknown which values "
        "are black and white; convert the image to 8 bits per channel"
    )


def read_image(path: str | Path, size: tuple[int, int] | None = None) -> Image:
    """Read an image file as MMDetection's pipelines do: as (H, W, 3) uint8 in BGR order.

    OpenCV converts gray, transparent, 16-bit and CMYK images to 8-bit BGR, and applies the Exif
    orientation. A truncated file is refused, unless OpenCV can decode it without the missing bytes.
    If an image with 16 bits per channel becomes nearly black, a warning is given, because its
    values probably use only the lower bits.

    Args:
        path: the image file.
        size: height and width that the image must have, in pixels; None allows any size.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: OpenCV cannot decode the file, the values are not unsigned integers of 8 or 16
            bits, or the image does not have the given ``size``.
    """
    pixels = _decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if pixels is not None and pixels.dtype == np.uint16:
        # IMREAD_COLOR alone scrambles the right border of gray TIFFs that are stored in tiles.
        pixels = (pixels >> 8).astype(np.uint8)
        if pixels.max() <= NEARLY_BLACK:
            warnings.warn(
                f"{path} has 16 bits per channel, of which only the upper 8 are read. The image is "
                f"nearly black: its brightest value becomes {pixels.max()} of 255. Stretch the "
                "values to 16 bits, or convert the image to 8 bits per channel",
                stacklevel=2,
            )
    if pixels is None:
        stored = _decode(path, cv2.IMREAD_UNCHANGED)
        raise _unreadable(path) if stored is None else _unusable_values(path)
    if pixels.dtype != np.uint8:
        raise _unusable_values(path)
    if size is not None and pixels.shape[:2] != size:
        raise ValueError(
            f"{path} has {pixels.shape[1]} x {pixels.shape[0]} pixels, but its annotations are for "
            f"an image of {size[1]} x {size[0]} pixels; give the folder of the annotated images"
        )
    return np.asarray(pixels, np.uint8)


def write_image(path: str | Path, pixels: npt.NDArray[Any], options: Sequence[int] = ()) -> None:
    """Write an (H, W) or (H, W, 3) uint8 BGR image in the format that the path's suffix names.

    Unlike ``cv2.imwrite`` of OpenCV 4.12, this function does not crash if the path is not UTF-8.

    Args:
        path: file to write.
        pixels: the image.
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


def opencv_path(path: Path) -> str:
    """Return a path as a string that OpenCV's video functions accept.

    Raises:
        ValueError: the path is not UTF-8, and OpenCV 4.12 would crash.
    """
    if other_encodings([str(path)]):
        raise ValueError(f"the path {str(path)!a} is not UTF-8; rename the file or the folder")
    return str(path)


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
    ids = _decode(path, cv2.IMREAD_UNCHANGED)
    if ids is None:
        raise ValueError(f"{path} cannot be read as an image; unpack the data set's archive again")
    return ids


def _decode(path: str | Path, flags: int) -> npt.NDArray[Any] | None:
    if os.path.exists(path) and not os.path.isfile(path):
        return None  # a folder or a pipe, which would never end
    # Decode from memory, as MMDetection does: cv2.imread fails on some photos with an Exif
    # orientation.
    encoded = np.fromfile(path, np.uint8)
    if not encoded.size:
        return None
    _refuse_netpbm(path, encoded[:1000].tobytes())
    try:
        return cv2.imdecode(encoded, flags)
    except cv2.error:  # more pixels than OpenCV accepts
        return None
