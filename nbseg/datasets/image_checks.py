"""Check the image files of a COCO json: headers, and the pixels of a sample."""

import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbseg.images import image_header, read_image

# The pixels of a set are decoded until one of these limits is reached.
BODIES = 200
SECONDS = 2.0

# Kinds that begin with this text are reported, but they are not problems.
NOTE = "note: "
MISSING, UNREADABLE = HEADER_PROBLEMS = ("images that are missing", "images that cannot be read")

# The kind of a problem, and the image or annotation that has the problem.
Problem = tuple[str, str]


def image_problems(folder: Path, image: dict[str, Any]) -> list[Problem]:
    """Return the problems and notes (see NOTE) that the header of an image file shows.

    Args:
        folder: folder of the images.
        image: the image's entry in the json.
    """
    name, wanted = image["file_name"], (image["height"], image["width"])
    path = folder / name
    try:
        header = image_header(path)
    except FileNotFoundError:
        return [(MISSING, str(path))]
    except (OSError, ValueError) as error:
        return [(UNREADABLE, str(error))]
    found: list[Problem] = [(NOTE + note, name) for note in header.notes()]
    if header[:2] != wanted:
        text = f"{name}: {header.width}x{header.height}, {wanted[1]}x{wanted[0]} in the json"
        found.append(("images of another size", text))
    return found


def broken_bodies(folder: Path, names: Sequence[str]) -> tuple[list[Problem], int]:
    """Decode up to 200 images for up to two seconds; the images are drawn at random.

    Returns:
        The images that cannot be decoded, and the number of images that were looked at.
    """
    end, broken, count = time.monotonic() + SECONDS, [], 0
    for name in random.Random(0).sample(names, min(BODIES, len(names))):
        count += 1
        try:
            read_image(folder / name)
        except (OSError, ValueError):
            broken.append(("images that cannot be decoded", name))
        if time.monotonic() > end:
            break
    return sorted(broken), count
