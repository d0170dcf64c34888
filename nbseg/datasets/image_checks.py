"""Check the image files of a COCO json: all headers, and the pixels of some images."""

import random
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nbseg.image_headers import image_header
from nbseg.image_options import DEFAULTS, ImageOptions
from nbseg.images import read_image

# A check decodes at least LEAST and at most BODIES images (or all, if there are fewer). Between
# these limits, the check stops after SECONDS.
LEAST = 8
BODIES = 200
SECONDS = 2.0

# If the kind of a ``Problem`` begins with this text, it is only a note: the data can be used.
NOTE = "note: "
UNDECODABLE = "images that cannot be decoded"
# An image with more than 8 bits per channel that becomes fewer gray levels than this hardly shows
# anything.
FEW_LEVELS = 32
MISSING, UNREADABLE = HEADER_PROBLEMS = ("images that are missing", "images that cannot be read")

# The kind of a problem, and the image or annotation that has the problem.
Problem = tuple[str, str]


def image_problems(
    folder: Path, image: dict[str, Any], options: ImageOptions = DEFAULTS
) -> list[Problem]:
    """Compare the header of an image file with the json.

    Args:
        folder: folder that ``file_name`` is relative to.
        image: the image's entry in the json.
        options: the options with which a training would read the image.

    Returns:
        Pairs ``(kind, text)``, one for each problem or note. ``kind`` names the problem in the
        plural, such as "images that are missing". ``text`` names the file. If ``kind`` begins with
        "note: ", the image can be used, but a part of the file is not read, such as a further page.
    """
    name, wanted = image["file_name"], (image["height"], image["width"])
    path = folder / name
    try:
        header = image_header(path, options)
    except FileNotFoundError:
        return [(MISSING, str(path))]
    except (OSError, ValueError) as error:
        return [(UNREADABLE, str(error))]
    found: list[Problem] = [(NOTE + note, name) for note in header.notes]
    if header[:2] != wanted:
        size = f"{header.width}x{header.height} pixels"
        text = f"{name}: the file has {size}, but the json says {wanted[1]}x{wanted[0]}"
        found.append(("images whose size differs from the json", text))
    return found


def pixel_problems(folder: Path, name: str, options: ImageOptions = DEFAULTS) -> list[Problem]:
    """Report whether an image cannot be decoded, or shows hardly anything.

    An image shows hardly anything in two cases: all its pixels have the same value, or its values
    have more than 8 bits in the file but become fewer than 32 gray levels.

    Args:
        folder: folder that ``name`` is relative to.
        name: file name of the image.
        options: the options with which a training would read the image.

    Returns:
        No pair or one pair ``(kind, name)``. ``kind`` says in the plural what was found, such as
        "images that cannot be decoded". If the image shows hardly anything, ``kind`` begins with
        "note: ".
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the notes below say more than the warnings
            pixels = read_image(folder / name, options=options)
    except (OSError, ValueError):
        return [(UNDECODABLE, name)]
    levels = int((np.bincount(pixels.ravel(), minlength=256) > 0).sum())
    if levels == 1:
        return [(NOTE + "have the same value in all pixels", name)]
    if levels < FEW_LEVELS and image_header(folder / name, options).bits > 8:
        text = (
            f"become fewer than {FEW_LEVELS} gray levels, although they have more than 8 bits per "
            "channel (set image_options.value_range in the config to the range of their values)"
        )
        return [(NOTE + text, name)]
    return []


def broken_bodies(
    folder: Path, names: Sequence[str], options: ImageOptions = DEFAULTS
) -> tuple[list[Problem], int]:
    """Decode randomly chosen images, and report the images that cannot be decoded.

    At least 8 and at most 200 images are decoded (all images if there are fewer than 8). After 8
    images, the function stops as soon as two seconds have passed.

    Args:
        folder: folder that the names are relative to.
        names: file names of the images.
        options: the options with which a training would read the images.

    Returns:
        ``(problems, count)``. ``problems`` has one pair ("images that cannot be decoded", file
        name) for each such image. ``count`` is the number of images that the function tried to
        decode.
    """
    end, broken, count = time.monotonic() + SECONDS, [], 0
    for name in random.Random(0).sample(names, min(BODIES, len(names))):
        count += 1
        try:
            read_image(folder / name, options=options)
        except (OSError, ValueError):
            broken.append((UNDECODABLE, name))
        if count >= LEAST and time.monotonic() > end:
            break
    return sorted(broken), count
