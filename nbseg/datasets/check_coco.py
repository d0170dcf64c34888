"""Check a COCO json and its images for errors before training."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePath
from posixpath import normpath
from typing import Any

from nbseg.coco import read_coco
from nbseg.coco_values import reason_left_out
from nbseg.datasets.annotation_checks import annotation_problem
from nbseg.datasets.annotation_hints import annotation_hints
from nbseg.datasets.converters.coco_json import Prepared, Summary
from nbseg.datasets.converters.parallel import parallel_map
from nbseg.datasets.image_checks import (
    HEADER_PROBLEMS,
    NOTE,
    Problem,
    broken_bodies,
    image_problems,
    pixel_problems,
)
from nbseg.image_names import TIFF_SUFFIXES
from nbseg.image_options import DEFAULTS, ImageOptions

# If training leaves out more than this share of the annotations for one reason, the check reports
# these annotations.
MANY = 1 / 3
# Fields whose values must be unique within a list, and the kind of problem if they are not.
UNIQUE = (
    ("images", "id", "repeated image ids"),
    ("annotations", "id", "repeated annotation ids"),
    ("categories", "id", "repeated category ids"),
    ("images", "file_name", "repeated image file names"),
    ("categories", "name", "repeated category names"),
)


def check_coco(
    path: Path, image_folder: Path, workers: int = 1, options: ImageOptions = DEFAULTS
) -> tuple[Prepared, dict[str, list[str]]]:
    """Find the problems of a COCO json that would stop a training or give it wrong data.

    The function reads the headers of all images, and decodes all TIFFs and up to 200 other images.

    Args:
        path: a COCO json. Its annotations must have a ``bbox``; ``segmentation`` is optional.
        image_folder: folder of the json's images.
        workers: number of processes.
        options: the options with which a training would read the images.

    Returns:
        ``(prepared, problems)``. ``prepared`` describes the json: the numbers of images and
        objects, and notes on images and annotations that can be used but look wrong. ``problems``
        is a dictionary. A key is a kind of problem, such as "images that are missing"; its value
        is a list of texts that name the affected images or annotations.

    Raises:
        FileNotFoundError: the json or the folder does not exist.
        ValueError: the file is not a COCO json, or the height or width of an image is not a whole
            number of pixels.
    """
    if not image_folder.is_dir():
        raise FileNotFoundError(f"there is no image folder {image_folder}; correct the path")
    # read_coco must not refuse an inconsistent json: the problems are reported together below.
    content = read_coco(path, consistent=False)
    problems, grouped = table_problems(content)
    for reason, left_out in objects_left_out(content["annotations"]).items():
        if len(left_out) > MANY * len(content["annotations"]):
            total = len(content["annotations"])
            problems[f"of {total} objects are not used to train masks: {reason}"] += left_out
    names = {category["id"]: category["name"] for category in content["categories"]}
    summary = Summary()
    items = [(image, grouped.get(image["id"], [])) for image in content["images"]]
    for image, annotations in items:
        summary.add(image, annotations, names, len(items))
    look = partial(_problems_of, image_folder, options)
    sound = []
    answers = parallel_map(look, items, workers, f"checking {path.name}")
    for (image, _), found in zip(items, answers, strict=True):
        for kind, which in found:
            problems[kind].append(which)
        if not _is_tiff(image) and not any(kind in HEADER_PROBLEMS for kind, _ in found):
            sound.append(image["file_name"])
    for kind, which in broken_bodies(image_folder, sound, options)[0]:
        problems[kind].append(which)
    notes = [
        f"{len(problems[kind])} images {kind.removeprefix(NOTE)}, the first: {problems[kind][0]}"
        for kind in sorted(problems)
        if kind.startswith(NOTE)
    ]
    notes += annotation_hints(content["annotations"])
    problems = {kind: which for kind, which in problems.items() if not kind.startswith(NOTE)}
    prepared = Prepared(
        path, image_folder, content["categories"], summary, notes=notes, image_options=options
    )
    return prepared, problems


def table_problems(
    content: dict[str, Any],
) -> tuple[dict[str, list[str]], dict[int, list[dict[str, Any]]]]:
    """Find repeated ids and names in a COCO json, annotations with the id 0, and unknown ids.

    An unknown id is the ``image_id`` or ``category_id`` of an annotation if the json has no such
    image or category.

    Args:
        content: the json, as ``nbseg.coco.read_coco(path, consistent=False)`` returns it.

    Returns:
        ``(problems, grouped)``. ``problems`` is a dictionary from a kind of problem, such as
        "repeated image ids", to a list of texts that name the affected entries. ``grouped`` is a
        dictionary from an image id to the list of the image's annotations. Annotations with an
        unknown image or category are not in ``grouped``.
    """
    problems: dict[str, list[str]] = defaultdict(list)
    for key, field, kind in UNIQUE:
        values = [item[field] for item in content[key]]
        if field == "file_name":
            values = [normpath(name) for name in values]  # "./a.png" is "a.png"
        for value, count in Counter(values).items():
            if count > 1:
                problems[kind].append(f"{count} {key} have the {field} {value!r}")
    images = {image["id"] for image in content["images"]}
    categories = {category["id"] for category in content["categories"]}
    grouped: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        text = f"annotation {annotation['id']}"
        if annotation["id"] == 0:
            problems["annotations with the id 0, which COCO's evaluation reads as 'no match'"] += [
                text
            ]
        if annotation["image_id"] not in images:
            problems["annotations of unknown images"].append(
                f"{text} (image_id {annotation['image_id']})"
            )
        elif annotation["category_id"] not in categories:
            problems["annotations of unknown categories"].append(
                f"{text} (category_id {annotation['category_id']})"
            )
        else:
            grouped[annotation["image_id"]].append(annotation)
    return problems, grouped


def objects_left_out(annotations: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Name the annotations that are not used to train masks, grouped by the reason.

    Args:
        annotations: annotations of a COCO json, whose values
            :func:`nbseg.coco_values.normalize` has converted to numbers.

    Returns:
        A dictionary from a reason, such as "without a mask", to a list of texts such as
        "annotation 7". A reason without annotations is absent.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for annotation in annotations:
        if reason := reason_left_out(annotation):
            found[reason].append(f"annotation {annotation['id']}")
    return found


def _is_tiff(image: dict[str, Any]) -> bool:
    return PurePath(image["file_name"]).suffix.lower() in TIFF_SUFFIXES


def _problems_of(
    folder: Path, options: ImageOptions, item: tuple[dict[str, Any], Sequence[dict[str, Any]]]
) -> list[Problem]:
    image, annotations = item
    found = image_problems(folder, image, options)
    if _is_tiff(image) and not any(kind in HEADER_PROBLEMS for kind, _ in found):
        found += pixel_problems(folder, image["file_name"], options)
    for annotation in annotations:
        if kind := annotation_problem(annotation, image["height"], image["width"]):
            found.append((kind, f"annotation {annotation['id']} of {image['file_name']}"))
    return found
