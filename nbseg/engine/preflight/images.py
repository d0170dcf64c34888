"""Check that the images of a data set exist, have the sizes in the json, and can be decoded."""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nbseg.datasets.image_checks import (
    NOTE,
    Problem,
    broken_bodies,
    image_problems,
)
from nbseg.errors import StageError
from nbseg.image_names import image_names, other_encodings, spread
from nbseg.image_options import DEFAULTS, ImageOptions

# This limit keeps the check within seconds on a large data set or a network drive.
HEADERS = 2000


def check_images(
    images: Sequence[dict[str, Any]],
    folder: Path,
    what: str,
    lenient: bool,
    options: ImageOptions = DEFAULTS,
) -> str:
    """Check that all images exist; check up to 2000 image headers and decode up to 200 images.

    Args:
        images: the table ``images`` of a COCO json.
        folder: folder of these images.
        what: name of the data set, for messages.
        lenient: if True, broken images give a warning instead of an error, unless all checked
            images are broken.
        options: the options with which the images will be read.

    Returns:
        A string with a line for each warning; it is empty if there is no warning. There are
        warnings about broken images, and about images of which only a part is read, for example
        only 8 of the 16 bits per channel.

    Raises:
        StageError: an image is missing, or an image's name is not UTF-8. If ``lenient`` is False,
            the error is also raised if an image is broken. If ``lenient`` is True, the error is
            also raised if all checked images are broken. An image whose size differs from the size
            in the json counts as broken.
    """
    names = [image["file_name"] for image in images]
    if others := other_encodings(names):
        raise StageError(f"{what}: the image name {others[0]!a} is not UTF-8; rename the image")
    if missing := _missing(folder, names):
        raise StageError(
            f"{what}: {len(missing)} of {len(names)} images are missing, the first: "
            f"{folder / missing[0]}{_hint(folder, missing[0])}"
        )
    looked_at = spread(images, HEADERS)
    broken: dict[str, Problem] = {}
    notes = Counter[str]()
    for image in looked_at:
        for problem in image_problems(folder, image, options):
            if problem[0].startswith(NOTE):
                notes[problem[0].removeprefix(NOTE)] += 1
            else:
                broken[image["file_name"]] = problem
    bodies, decoded = broken_bodies(folder, [name for name in names if name not in broken], options)
    problems = [*broken.values(), *bodies]
    # If decoding failed for every tested image, count all images as broken, although their
    # headers can be read.
    count = len(problems) if len(bodies) == decoded else len(looked_at)
    lines = [_answer(problems, count, folder, what, lenient)]
    lines += [f"warning: {what}: {count} images {note}" for note, count in notes.items()]
    return "\n".join(filter(None, lines))


def check_folder(folder: Path, what: str, options: ImageOptions = DEFAULTS) -> list[str]:
    """Decode up to 200 images of a data set that has a folder, but no json.

    Args:
        folder: the folder.
        what: name of the data set, for messages.
        options: the options with which the images will be read.

    Returns:
        Two lines. The first has the number of images. The second is a warning about broken images;
        it is empty if no image is broken.

    Raises:
        FileNotFoundError: there is no image in the folder.
        StageError: none of the images can be decoded, or a file name is not UTF-8.
    """
    try:
        names = image_names(folder)
    except ValueError as error:
        raise StageError(f"{what}: {error}") from error
    broken, looked_at = broken_bodies(folder, names, options)
    return [f"{what}: {len(names)} images", _answer(broken, looked_at, folder, what, True)]


def _answer(broken: list[Problem], count: int, folder: Path, what: str, lenient: bool) -> str:
    """Return a warning about broken images, or an empty string if no image is broken.

    Raises:
        StageError: at least one image is broken. If ``lenient`` is True, the error is raised only
            if all ``count`` checked images are broken.
    """
    if not broken:
        return ""
    kinds = Counter(kind for kind, _ in broken)
    found = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    which = broken[0][1]
    place = "" if str(folder / "") in which else f" in {folder}"
    text = f"{what}: {found}{place}, the first: {which}"
    if lenient and len(broken) < count:
        return f"warning: {text}. The run continues; to avoid this warning, replace these images"
    advice = (
        "name another set or folder of images"
        if lenient
        else "correct their entries in the json, or remove these entries"
    )
    raise StageError(f"{text}; replace these images, or {advice}")


def _missing(folder: Path, names: Sequence[str]) -> list[str]:
    """Return the names of the files that do not exist in a folder.

    Threads look for the files in parallel, because network drives are slow.
    """
    parts = [names[start : start + 1000] for start in range(0, len(names), 1000)]

    def missing(part: Sequence[str]) -> list[str]:
        return [name for name in part if not os.path.isfile(folder / name)]

    with ThreadPoolExecutor(16) as pool:
        return [name for found in pool.map(missing, parts) for name in found]


def _hint(folder: Path, name: str) -> str:
    if "\\" in name:
        return "; the json has backslashes in its file names; replace them with /"
    path = folder / name
    if os.path.isdir(path):
        return "; this is a folder; correct the file names in the json"
    if name != name.strip() and os.path.isfile(folder / name.strip()):
        return "; the name begins or ends with white space; correct the file names in the json"
    if path.parent.is_dir():
        for other in sorted(os.listdir(path.parent)):
            if other.lower() == path.name.lower():
                return f"; the folder has {other}, which differs only in case; correct the json"
    if os.path.isfile(folder / path.name):
        return f"; {folder / path.name} exists; correct the file names in the json"
    return "; copy the images to this folder, or correct data_root or the folder in the config"
