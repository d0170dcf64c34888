"""Check the image files of a COCO json: headers, and the pixels of a sample."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbseg.images import image_header, read_image

# Decoding more images could take longer than a few seconds on a network drive.
BODIES = 8
SECONDS = 1.0

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


def broken_bodies(folder: Path, names: Sequence[str]) -> list[Problem]:
    """Decode up to 8 images, evenly spread, for a second; return those that cannot be decoded."""
    end, broken = time.monotonic() + SECONDS, []
    for name in spread(names, BODIES):
        try:
            read_image(folder / name)
        except (OSError, ValueError):
            broken.append(("images that cannot be decoded", name))
        if time.monotonic() > end:
            break
    return broken


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Return up to ``count`` items, evenly spread."""
    return (
        [items[i * len(items) // count] for i in range(count)] if len(items) > count else [*items]
    )
