"""What a report is made of, read once and checked before any work starts."""

import json
from collections import Counter
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from nbseg.pseudo.labels import load_coco

IMAGE_KEYS = ("id", "file_name", "height", "width")
ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox", "segmentation")


@dataclass(frozen=True)
class ReportInputs:
    """Indexed COCO annotations; ids of images and categories mean the same in all of them.

    Attributes:
        name: file name of the pseudo-labels.
        pseudo: pseudo-labels, or any predictions with scores.
        info: the json's ``info``, as ``make_pseudo_labels`` writes it; may hold nothing.
        image_folder: where the file names of ``pseudo`` begin.
        labelled: the labelled set, whose images are others.
        truth: hidden true annotations of the images of ``pseudo``.
    """

    name: str
    pseudo: COCO
    info: dict[str, Any]
    image_folder: Path
    labelled: COCO | None
    truth: COCO | None

    @property
    def classes_info(self) -> dict[str, Any]:
        """What ``info`` says of the classes, by name; nothing in another program's json."""
        classes = self.info.get("classes")
        return classes if isinstance(classes, dict) else {}

    @property
    def class_names(self) -> list[str]:
        """In the order of the json."""
        return [category["name"] for category in self.pseudo.cats.values()]


def read_inputs(
    pseudo_json: str | Path,
    image_folder: str | Path,
    labelled_json: str | Path | None = None,
    truth_json: str | Path | None = None,
) -> ReportInputs:
    """Read and check what a report is made of.

    Args:
        pseudo_json: COCO json with scores.
        image_folder: where its file names begin.
        labelled_json: COCO json of the labelled images, if there is one.
        truth_json: COCO json with the hidden truth of the same images, if there is one; others may
            be in it.

    Raises:
        FileNotFoundError: a file, the folder or an image is not there.
        ValueError: a json is not COCO, has no scores where they are needed, or contradicts another
            one on classes or images.
    """
    pseudo_json, image_folder = Path(pseudo_json), Path(image_folder)
    pseudo = read_coco(pseudo_json)
    if not pseudo.imgs:
        raise ValueError(f"{pseudo_json} has no image; there is nothing to report")
    scoreless = sum(not _is_number(a.get("score")) for a in pseudo.anns.values())
    if scoreless:
        raise ValueError(
            f"{pseudo_json}: {scoreless} of {len(pseudo.anns)} annotations have no score; pass "
            "pseudo-labels or predictions first, true annotations as the truth"
        )
    _check_images(pseudo, pseudo_json, image_folder)
    labelled = truth = None
    if labelled_json:
        labelled = read_coco(Path(labelled_json))
        check_categories(pseudo, pseudo_json, labelled, Path(labelled_json))
    if truth_json:
        truth = read_coco(Path(truth_json))
        check_categories(pseudo, pseudo_json, truth, Path(truth_json))
        check_same_images(pseudo, pseudo_json, truth, Path(truth_json))
    info = pseudo.dataset.get("info")
    return ReportInputs(
        pseudo_json.name,
        pseudo,
        info if isinstance(info, dict) else {},
        image_folder,
        labelled,
        truth,
    )


def read_coco(path: Path) -> COCO:
    """Read a COCO json with instances and index it, ``imgToAnns`` included.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a COCO json with instances.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; give the path of a COCO json")
    wanted = "wanted a COCO json (an object with images, annotations and categories)"
    try:
        coco = load_coco(path)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not json: {error}; {wanted}") from error
    except KeyError as error:
        raise ValueError(f"{path} has no {error}; {wanted}") from error
    except TypeError as error:
        raise ValueError(f"{path} has another form; {wanted}") from error
    rows = {"images": IMAGE_KEYS, "annotations": ANNOTATION_KEYS, "categories": ("id", "name")}
    for table, keys in rows.items():
        for row in coco.dataset[table]:
            missing = [key for key in keys if key not in row]
            if missing:
                raise ValueError(f"{path}: {wanted}; an entry of {table} has no {missing[0]!r}")
    for table, index in (("images", coco.imgs), ("annotations", coco.anns)):
        if len(index) != len(coco.dataset[table]):
            (twice, _), *_ = Counter(row["id"] for row in coco.dataset[table]).most_common(1)
            raise ValueError(f"{path}: the id {twice} occurs twice in {table}; ids must be unique")
    if not coco.cats:
        raise ValueError(f"{path} has no category; {wanted}")
    # MMDetection leaves instances without a mask out of training.
    coco.anns = {i: annotation for i, annotation in coco.anns.items() if annotation["segmentation"]}
    for annotation in coco.anns.values():
        if not all(map(_is_number, annotation["bbox"])):
            raise ValueError(
                f"{path}: annotation {annotation['id']} has the bbox {annotation['bbox']}; wanted "
                "four finite numbers"
            )
        for key, index in (("image_id", coco.imgs), ("category_id", coco.cats)):
            if annotation[key] not in index:
                raise ValueError(
                    f"{path}: annotation {annotation['id']} has the {key} {annotation[key]}, which "
                    "the json does not define"
                )
        try:
            coco.annToRLE(annotation)
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise ValueError(
                f"{path}: annotation {annotation['id']} has a segmentation that is neither "
                f"polygons of three or more points nor run lengths ({error}); correct or drop it"
            ) from error
        coco.imgToAnns[annotation["image_id"]].append(annotation)
    return coco


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and isfinite(value)


def _check_images(pseudo: COCO, path: Path, folder: Path) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no image folder {folder}; give where file names begin")
    names = [image["file_name"] for image in pseudo.imgs.values()]
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise FileNotFoundError(
            f"{len(absent)} of {len(names)} images of {path} are not in {folder}, for one "
            f"{absent[0]}; give the folder where the json's file names begin"
        )


def check_categories(pseudo: COCO, pseudo_path: Path, other: COCO, path: Path) -> None:
    """Refuse with a ValueError where a category of the first is another one in the second."""
    for category, entry in pseudo.cats.items():
        found = other.cats.get(category, {}).get("name")
        if found != entry["name"]:
            raise ValueError(
                f"category {category} is {entry['name']!r} in {pseudo_path} but {found!r} in "
                f"{path}; both must come from the same categories"
            )


def check_same_images(pseudo: COCO, pseudo_path: Path, truth: COCO, path: Path) -> None:
    """Refuse with a ValueError where the two share no image, or an id means another one."""
    known = [image for image in pseudo.imgs if image in truth.imgs]
    if not known:
        raise ValueError(
            f"no image id of {pseudo_path} is in {path}; the truth must be of the same images"
        )
    for image in known:
        for key in ("file_name", "height", "width"):
            found, wanted = truth.imgs[image][key], pseudo.imgs[image][key]
            if found != wanted:
                raise ValueError(
                    f"image {image} has the {key} {wanted!r} in {pseudo_path} but {found!r} in "
                    f"{path}; the truth must be of the same images"
                )
