"""Convert label images, whose pixels hold the numbers of objects, to a COCO json."""

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nbseg.datasets.converters.coco_json import Labeled, Prepared
from nbseg.datasets.converters.instance_map import encode_instances
from nbseg.datasets.converters.label_pixels import number_parts, read_labels, renumber
from nbseg.datasets.converters.plan import Plan, carry_out
from nbseg.datasets.label_names import (
    ENDINGS,
    image_stem,
    images_by_stem,
    label_images_among,
    stem,
)
from nbseg.image_headers import image_header
from nbseg.image_names import IMAGE_SUFFIXES, image_names, spread

# Largest number of label images per class in which connected parts are counted.
SEARCHED = 20
# If a number has at least this many connected parts on average, it does not stand for an object.
PARTS = 3
# If the numbers do not stand for objects, a label image with more numbers than this holds gray
# levels; otherwise it holds classes.
GRAY_LEVELS = 10
LOSSY = (".jpg", ".jpeg")

# An image, and its label images by category id.
Pair = tuple[Path, dict[int, Path]]


@dataclass(frozen=True)
class LabelImages:
    """Describes a folder of label images.

    Attributes:
        folder: folder of the label images; its sub-folders are read, too.
        images: folder of the images. The label image of the image ``a/b.jpg`` has the path
            ``a/b.png`` in ``folder`` or, if ``class_name`` is None, in ``folder``/CLASS. Any image
            suffix except that of a JPEG is allowed, and an ending such as ``_masks`` may precede
            the suffix (see ``nbseg.datasets.label_names``).
        class_name: class of all objects. If None, each folder in ``folder`` is a class: the folder
            has the name of the class, and holds the label images with the class's objects.
        parts: whether connected pixels of the same value become an object. This applies only to
            classes whose label images do not number the objects. Pixels that touch at a corner are
            connected.
    """

    folder: Path
    images: Path
    class_name: str | None
    parts: bool = False


def convert_label_images(
    labels: LabelImages, out: Path, workers: int = 1, force: bool = False
) -> Prepared:
    """Write a COCO json of the images that have a label image, with lossless masks (RLE).

    The value of a pixel in a label image is the number of an object, or 0 for the background. An
    object can have several parts and holes. An image whose label images are 0 everywhere is kept
    without objects. An image without a label image is left out.

    Args:
        labels: the label images.
        out: path of the json. The file names in the json are relative to the image folder.
        workers: number of processes.
        force: write the json again, even if it exists.

    Returns:
        Path, counts and notes of the json. The counts (``summary``) are None if the json existed
        and was kept.

    Raises:
        FileNotFoundError: a folder is missing or has no image, or no label image has an image.
        FileExistsError: a json exists that was made from other files or options, and ``force`` is
            False.
        ValueError: a label image fits several images, or an image has several label images of a
            class; a label image is a JPEG, has values that are not object numbers, or has another
            size than its image; or the numbers do not stand for single objects, and
            ``labels.parts`` is False.
    """
    for folder in (labels.folder, labels.images):
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}; correct the path")
    pairs, notes = _pairs(labels)
    names = [labels.class_name] if labels.class_name else _class_names(labels)
    categories = [{"id": index, "name": name} for index, name in enumerate(names, start=1)]
    split = set()
    for category, name in enumerate(names, start=1):
        paths = [found[category] for _, found in pairs if category in found]
        if _numbered_by_class(labels, name, paths):
            split.add(category)
    plan = Plan(
        out,
        f"label images, classes {names}, parts {labels.parts}",
        labels.images,
        categories,
        [path for image, found in pairs for path in (image, *found.values())],
        pairs,
        notes=notes,
        read=[path for _, found in pairs for path in found.values()],
    )
    load = partial(_load, labels.images, split)
    return carry_out([plan], load, labels.images, workers, force)[0]


def _class_names(labels: LabelImages) -> list[str]:
    names = sorted(
        path.name
        for path in labels.folder.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )
    if not names:
        raise FileNotFoundError(
            f"{labels.folder} has no folders. Name the class of all objects (--class NAME), or put "
            "the label images of each class into a folder with the name of the class"
        )
    return names


def _files(labels: LabelImages) -> tuple[list[str], dict[str, list[str]]]:
    """Return the paths of the images, and the paths of the label images in each class folder.

    The paths are relative to the image folder or to the class folder. With ``class_name``, the
    label folder itself is the only class folder; its name here is "".
    """
    names = image_names(labels.images)
    own, below = labels.images.resolve(), labels.folder.resolve()
    if labels.class_name and own == below:
        marked = label_images_among(names)
        return [name for name in names if name not in marked], {"": sorted(marked)}
    images = [name for name in names if not (own / name).is_relative_to(below)]
    if not images:
        raise FileNotFoundError(
            f"all images in {labels.images} lie in {labels.folder}, the folder of the label "
            "images. If label images lie next to their images, name the class of all objects "
            "(--class NAME); otherwise, move the label images to a folder that has no images"
        )
    folders = [""] if labels.class_name else _class_names(labels)
    return images, {name: image_names(labels.folder / name) for name in folders}


def _pairs(labels: LabelImages) -> tuple[list[Pair], list[str]]:
    """Return two lists: the images with their label images, and notes for the user.

    An entry of the first list is (image, {category id: label image}).
    """
    images, folders = _files(labels)
    by_stem = images_by_stem(images)
    found: dict[str, dict[int, Path]] = defaultdict(dict)
    alone = []
    for category, (folder, names) in enumerate(folders.items(), start=1):
        for name in names:
            path = labels.folder / folder / name
            if path.suffix.lower() in LOSSY:
                raise ValueError(
                    f"the label image {path} is a JPEG, and JPEG compression changes the numbers; "
                    "export the label images as PNG or TIFF"
                )
            own = next((by_stem[s] for s in (stem(name), image_stem(name)) if s in by_stem), [])
            if not own:
                alone.append(path)
                continue
            if len(own) > 1:
                raise ValueError(
                    f"{labels.images} has {own[0]} and {own[1]}, so it is unclear which of them "
                    f"the label image {path} belongs to; rename one of the two images"
                )
            if (other := found[own[0]].setdefault(category, path)) != path:
                raise ValueError(
                    f"{own[0]} has two label images, {other} and {path}; expected one for each "
                    "class. Remove one of the two label images"
                )
    if not found:
        raise FileNotFoundError(
            f"none of the {len(images)} images in {labels.images} has a label image in "
            f"{labels.folder}. The label image of a/b.jpg must be a/b.png or a/b.tif; one of the "
            f"endings {', '.join(ENDINGS)} may precede its suffix"
            + ("" if labels.class_name else "; without --class, it is in the folder of its class")
            + f". First images: {', '.join(images[:2])}; first label images: "
            + (", ".join(map(str, alone[:2])) or "none")
        )
    notes = []
    if others := len(images) - len(found):
        notes.append(f"{others} images have no label image and are left out")
    if alone:
        notes.append(f"label images without an image: {len(alone)}, the first: {alone[0]}")
    if not labels.class_name:
        loose = [
            path
            for path in sorted(labels.folder.iterdir())
            if path.suffix.lower() in IMAGE_SUFFIXES
        ]
        if loose:
            notes.append(
                f"label images outside the folders of the classes, left out: {len(loose)}, the "
                f"first: {loose[0]}"
            )
    inside = labels.folder.resolve().is_relative_to(labels.images.resolve())
    if inside and labels.folder.resolve() != labels.images.resolve():
        notes.append(
            f"the folder of the label images, {labels.folder}, is inside the image folder "
            f"{labels.images}; move the label images elsewhere, because `tools/prepare_data.py "
            "init` would use them as unlabeled images"
        )
    return [(labels.images / name, found[name]) for name in sorted(found)], notes


def _numbered_by_class(labels: LabelImages, name: str, paths: list[Path]) -> bool:
    """Return whether the numbers in a class's label images do not stand for single objects.

    The result is True if a number has at least three connected parts on average, because a single
    object rarely has so many parts.

    Raises:
        ValueError: the numbers do not stand for objects, and either ``labels.parts`` is False or
            the numbers are gray levels.
    """
    parts = numbers = most = 0
    for path in spread(paths, SEARCHED):
        objects = renumber(read_labels(path))
        numbers += int(objects.max())
        most = max(most, int(objects.max()))
        parts += int(number_parts(objects).max())
    if parts < PARTS * numbers or not numbers:
        return False
    found = (
        f"the label images of the class {name}, such as {paths[0]}, have {parts / numbers:.1f} "
        f"connected parts per pixel value on average (expected fewer than {PARTS})"
    )
    if most > GRAY_LEVELS:
        raise ValueError(
            f"{found}. The values seem to be gray levels of smoothed masks, not object ids "
            "(1, 2, 3 and so on); save the masks without smoothing and without lossy compression"
        )
    if not labels.parts:
        raise ValueError(
            f"{found}, so the values seem to mark the foreground or classes, not single objects. "
            "If no objects touch, give --parts, which makes each connected part an object; "
            "otherwise, export label images that number the objects"
        )
    return True


def _load(images: Path, split: set[int], pair: Pair) -> Labeled:
    image, files = pair
    size = image_header(image)[:2]
    annotations = []
    for category, path in files.items():
        ids = read_labels(path)
        if size != ids.shape:
            raise ValueError(
                f"{path} has {ids.shape[1]} x {ids.shape[0]} pixels, but {image} has "
                f"{size[1]} x {size[0]}; export a label image of the image's size (if Exif data "
                "rotate a photo: the size after the rotation)"
            )
        objects = number_parts(ids) if category in split else renumber(ids)
        annotations += [
            {"category_id": category, "iscrowd": 0, **annotation}
            for annotation in encode_instances(objects, bool).values()
        ]
    return {
        "file_name": image.relative_to(images).as_posix(),
        "height": size[0],
        "width": size[1],
    }, annotations
