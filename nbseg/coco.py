"""Read, check, index and write COCO jsons; no other module parses or writes them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbseg.coco_masks import to_rle
from nbseg.coco_tables import KEYS, check_tables
from nbseg.coco_values import has_broken_polygon, has_mask, is_box, normalize
from nbseg.files import read_json, replacing

# Import pycocotools only inside the functions that need it: generating the shapes data set and
# running an exported model must work with NumPy and OpenCV alone.
if TYPE_CHECKING:
    from pycocotools.coco import COCO


def read_coco(
    path: str | Path,
    tables: Iterable[str] = tuple(KEYS),
    consistent: bool = True,
    normalized: bool = True,
) -> dict[str, Any]:
    """Read and check a COCO json.

    Args:
        path: the json.
        tables: names of the tables (top-level lists) that the json must have, for example
            ``("images",)`` for a json that only lists images.
        consistent: whether to refuse repeated ids, and annotations of unknown images or categories.
        normalized: whether to convert ids, sizes, boxes, areas and flags to numbers, see
            :func:`nbseg.coco_values.normalize`. If False, values stay as they are in the file.

    Returns:
        The whole content of the json, including keys that ``tables`` does not list.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not json, a table is missing, or an entry lacks a key. With
            ``consistent``: an id is repeated, or an annotation refers to an unknown id. With
            ``normalized``: a height or width is not a whole number of pixels.
    """
    content = _parse(path)
    check_tables(content, path, tables, consistent)
    if normalized:
        normalize(content, path)
    return dict(content)


def read_images(path: str | Path) -> list[dict[str, Any]]:
    """Return the table ``images`` of a COCO json.

    Only this table is checked, so this function is faster than :func:`read_coco`. The values stay
    as they are in the file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not json, the table is missing, or an image lacks a key.
    """
    content = _parse(path)
    if isinstance(content, dict):
        content = {"images": content.get("images")}
    check_tables(content, path, ("images",), consistent=False)
    images: list[dict[str, Any]] = content["images"]
    return images


def read_results(path: str | Path) -> dict[str, Any] | list[dict[str, Any]]:
    """Read predictions, either from a list of COCO results or from a COCO json.

    A COCO json is checked as by :func:`read_coco`. The entries of a list are not checked, because
    the keys that they need depend on their use.

    Returns:
        The list of results, or the whole content of the COCO json.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds neither a list nor a valid COCO json.
    """
    content = _parse(path)
    if isinstance(content, list):
        return content
    check_tables(content, path, KEYS, consistent=True)
    normalize(content, path)
    return dict(content)


def _parse(path: str | Path) -> Any:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; correct the path of the json")
    return read_json(path)


def load_coco(path: str | Path, masks: bool = False) -> COCO:
    """Read a COCO json with :func:`read_coco`, and index its content with :func:`index_coco`."""
    return index_coco(read_coco(path), path, masks)


def index_coco(content: dict[str, Any], path: str | Path, masks: bool = False) -> COCO:
    """Return the content of a COCO json as an object of pycocotools' class ``COCO``.

    Unlike pycocotools, this function prints nothing.

    Args:
        content: the result of :func:`read_coco`.
        path: the json's path, for messages.
        masks: whether to check boxes and masks. If True, annotations without a mask are also left
            out of ``anns`` and ``imgToAnns``, because training does not use these annotations.

    Returns:
        A ``COCO`` with the tables ``imgs``, ``anns``, ``cats`` and ``imgToAnns``.

    Raises:
        ValueError: ``masks`` is True, and the json has no category, an invalid box, or an invalid
            mask.
    """
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = content
    # Make the tables here, because COCO.createIndex prints messages.
    coco.imgs = {image["id"]: image for image in content["images"]}
    coco.cats = {category["id"]: category for category in content["categories"]}
    coco.anns = {
        annotation["id"]: annotation
        for annotation in content["annotations"]
        if not masks or has_mask(annotation) or has_broken_polygon(annotation)
    }
    if masks:
        _check_masks(coco, path)
    for annotation in coco.anns.values():
        coco.imgToAnns[annotation["image_id"]].append(annotation)
    return coco


def _check_masks(coco: COCO, path: str | Path) -> None:
    if not coco.cats:
        raise ValueError(
            f"{path}: the list 'categories' is empty; add the classes of the objects to it"
        )
    for annotation in coco.anns.values():
        box = annotation["bbox"]
        if not is_box(box):
            raise ValueError(
                f"{path}: annotation {annotation['id']} has the bbox {box}; expected four finite "
                "numbers from -2**20 to 2**20. Correct the box, or drop the annotation"
            )
        image = coco.imgs[annotation["image_id"]]
        try:
            to_rle(annotation["segmentation"], image["height"], image["width"])
        except ValueError as error:
            raise ValueError(
                f"{path}: the segmentation of annotation {annotation['id']} is neither a list of "
                f"polygons nor a valid RLE ({error}); correct this mask, or drop the annotation"
            ) from error


def write_coco(path: str | Path, tables: Iterable[tuple[str, Any]]) -> None:
    """Write a COCO json, one key after the other.

    The file appears at ``path`` only when it is complete.

    If a value is an iterator, its entries are written one by one, so that they need not fit in
    memory together. Any other value is written as a whole. If ``tables`` is a generator, it can
    compute each value from entries that are already written.

    Args:
        path: the json to write.
        tables: pairs of a key and its value, in the order of the file.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        before = "{"
        for key, value in tables:
            file.write(f"{before}{json.dumps(key)}: ")
            before = ",\n"
            if not isinstance(value, Iterator):
                file.write(json.dumps(value))
                continue
            file.write("[")
            for index, row in enumerate(value):
                file.write((",\n" if index else "\n") + json.dumps(row))
            file.write("\n]")
        file.write("}\n")


def category_ids(
    categories: Sequence[dict[str, Any]], classes: Sequence[str], path: str | Path
) -> list[int]:
    """Find the categories of classes by name, and return their ids in the order of the classes.

    Args:
        categories: the table ``categories`` of a COCO json.
        classes: names of the classes.
        path: the json's path, for messages.

    Raises:
        ValueError: the json has no category, or several categories, with the name of a class.
    """
    found = labels_by_name(categories, classes, path)
    missing = set(classes) - {classes[label] for label in found.values()}
    if missing:
        raise ValueError(
            f"metainfo.classes is {list(classes)}, but {path} only has the categories "
            f"{[entry['name'] for entry in categories]}; correct the classes, or add the "
            f"categories {sorted(missing)} to this json"
        )
    return sorted(found, key=lambda category: found[category])


def labels_by_name(
    categories: Sequence[dict[str, Any]], classes: Sequence[str], path: str | Path
) -> dict[int, int]:
    """Return {category id: label}. A label is the index of the category's name in ``classes``.

    Categories whose names are not in ``classes`` are left out.

    Raises:
        ValueError: two categories have the name of the same class.
    """
    label_of = {name: label for label, name in enumerate(classes)}
    found = {c["id"]: label_of[c["name"]] for c in categories if c["name"] in label_of}
    for label, count in Counter(found.values()).items():
        if count > 1:
            raise ValueError(
                f"{path} has {count} categories with the name {classes[label]!r}; category "
                "names must be unique. Merge these categories, or rename them"
            )
    return found


def check_categories(pseudo: COCO, pseudo_path: Path, other: COCO, path: Path) -> None:
    """Check that the categories of pseudo-labels have the same ids and names in another json.

    Raises:
        ValueError: a category id of the pseudo-labels is missing in the other json, or has another
            name there.
    """
    for category, entry in pseudo.cats.items():
        found = other.cats.get(category, {}).get("name")
        if found != entry["name"]:
            raise ValueError(
                f"category {category} is {entry['name']!r} in {pseudo_path}, but "
                f"{'missing' if found is None else repr(found)} in {path}; give two files with "
                "the same categories"
            )


def check_same_images(pseudo: COCO, pseudo_path: Path, truth: COCO, path: Path) -> None:
    """Check that two jsons use the same image id only for the same image.

    Each json may have images that the other json lacks.

    Raises:
        ValueError: the jsons have no image id in common, or the images with a common id differ in
            file name, height or width.
    """
    known = [image for image in pseudo.imgs if image in truth.imgs]
    if not known:
        raise ValueError(
            f"{pseudo_path} and {path} have no image id in common; instead of {path}, give a file "
            f"with the true annotations of the images in {pseudo_path}"
        )
    for image in known:
        for key in ("file_name", "height", "width"):
            found, wanted = truth.imgs[image][key], pseudo.imgs[image][key]
            if found != wanted:
                raise ValueError(
                    f"image {image} has the {key} {wanted!r} in {pseudo_path}, but {found!r} in "
                    f"{path}; instead of {path}, give a file with the true annotations of the "
                    f"images in {pseudo_path}"
                )


def by_category(annotations: Iterable[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Return {category id: annotations}; an id without annotations gives an empty list."""
    grouped: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in annotations:
        grouped[annotation["category_id"]].append(annotation)
    return grouped
