"""Find the labeled, unlabeled and validation images of a user's own data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from nbseg.coco import category_ids, load_coco, read_coco, read_images
from nbseg.datasets.annotation_checks import NO_AREA
from nbseg.datasets.check_coco import check_coco
from nbseg.datasets.hold_out import held_out
from nbseg.datasets.image_entries import image_entries
from nbseg.datasets.label_names import label_images_among
from nbseg.datasets.overlap import overlapping_images
from nbseg.image_names import image_names, spread
from nbseg.image_options import DEFAULTS, ImageOptions

# With fewer labeled images, no image is set aside for validation, unless hold_out is given.
ENOUGH = 10
# Value of a config's key ``predict`` if a json lists the unlabeled images.
LISTED = dict(
    test_dataloader=dict(dataset=dict(type="CocoInstanceDataset", ann_file="{unlabeled_json}"))
)


@dataclass(frozen=True)
class OwnData:
    """Holds the paths of a user's files, and how to read the images.

    Attributes:
        labeled: COCO json of the labeled images.
        images: folder of the labeled images.
        unlabeled: folder or COCO json of the unlabeled images; None means the images in ``images``
            that neither ``labeled`` nor ``val`` lists.
        unlabeled_images: folder of the unlabeled images, if ``unlabeled`` is a json; None means
            ``images``.
        val: COCO json of the validation images; None means that labeled images are set aside as
            ``hold_out`` says.
        val_images: folder of the validation images; None means ``images``.
        hold_out: largest number of labeled images to set aside for validation, if ``val`` is None.
            None means a fifth of the labeled images, or 0 if there are fewer than ten. If no image
            is set aside, the models are validated on the labeled images of the training.
        image_options: the channels, plane and range of values to read from every image.

    Raises:
        ValueError: an option has no effect, because another option is missing or overrides it.
    """

    labeled: Path
    images: Path
    unlabeled: Path | None = None
    unlabeled_images: Path | None = None
    val: Path | None = None
    val_images: Path | None = None
    hold_out: int | None = None
    image_options: ImageOptions = DEFAULTS

    def __post_init__(self) -> None:
        """Raise a ValueError if an option has no effect."""
        if self.unlabeled_images and (not self.unlabeled or self.unlabeled.is_dir()):
            raise ValueError(
                "--unlabeled-images is the folder of the images that a json lists, but --unlabeled "
                "is missing or is a folder; give this json with --unlabeled, or give --unlabeled "
                "FOLDER alone"
            )
        if self.val_images and not self.val:
            raise ValueError(
                "--val-images is the folder of the images that a json lists, but --val is missing; "
                "give this json with --val"
            )
        if self.hold_out is not None and self.val:
            raise ValueError(
                "--hold-out sets labeled images aside for validation, but --val already gives "
                "validation images; remove one of these options"
            )


@dataclass
class ImageSets:
    """Holds the config keys that name a user's images, and the jsons that these keys need.

    Attributes:
        keys: dictionary from a config key, such as "labeled_json", to its value; a path is a
            ``Path`` or a name in braces.
        jsons: dictionary from the path of a json that is still to be written to its content.
        labeled: number of labeled images to train on.
        validation: text for the user that says where the validation images come from.
        warnings: texts on problems that do not stop a training.
    """

    keys: dict[str, Any] = field(default_factory=dict)
    jsons: dict[Path, dict[str, Any]] = field(default_factory=dict)
    labeled: int = 0
    validation: str = ""
    warnings: list[str] = field(default_factory=list)


def read_labeled(
    path: Path, images: Path, options: ImageOptions = DEFAULTS
) -> tuple[COCO, list[str]]:
    """Read and check a COCO json with masks, and check its images.

    Args:
        path: the json.
        images: folder of the json's images.
        options: options with which a training would read the images.

    Returns:
        ``(truth, lines)``. ``truth`` is the json as an object of pycocotools' class ``COCO``.
        ``lines`` are texts for the user: warnings about boxes and masks, and notes on images and
        annotations.

    Raises:
        FileNotFoundError: the json or the folder does not exist.
        ValueError: the file is not a COCO json, has no category, has a malformed box or mask, or
            repeats a file name, category name or id. Also if an image is missing, cannot be read or
            has another size than in the json.
    """
    if not images.is_dir():
        raise FileNotFoundError(f"there is no image folder {images}; correct the path")
    truth = load_coco(path, masks=True)
    prepared, problems = check_coco(path, images, options=options)
    texts = {
        kind: f"{path}: {len(which)} {kind}, the first: {which[0]}"
        for kind, which in problems.items()
        if kind != NO_AREA
    }
    for kind, text in texts.items():
        if kind.startswith(("images ", "repeated ")):
            raise ValueError(
                f"{text}. Each image must be readable and have the size that the json says, and "
                "names must be unique; correct the json or the folder of its images"
            )
    notes = [f"note: {path}: {note}" for note in prepared.notes]
    return truth, [*(f"warning: {text}" for text in texts.values()), *notes]


def image_samples(data: OwnData, count: int) -> list[Path]:
    """Return the paths of up to ``count`` labeled and up to ``count`` unlabeled images.

    The images are evenly spread over each set, and the labeled images come first. If
    ``data.unlabeled`` is None, the unlabeled images are chosen from all images in ``data.images``,
    so they may include labeled images. If the folder of the unlabeled images is missing, only
    labeled images are returned; :func:`find_sets` then raises an error.

    Raises:
        FileNotFoundError: a json does not exist, or the folder of the unlabeled images has no
            image.
        ValueError: a json is not a COCO json, or a file name is not UTF-8.
    """
    labeled = [data.images / image["file_name"] for image in read_images(data.labeled)]
    folder = data.unlabeled or data.images
    if folder.is_file():
        names = [image["file_name"] for image in read_images(folder)]
        folder = data.unlabeled_images or data.images
    else:
        names = image_names(folder) if folder.is_dir() else []
    return [*spread(labeled, count), *(folder / name for name in spread(names, count))]


def find_sets(data: OwnData, truth: COCO, classes: list[str], out: Path) -> ImageSets:
    """Find the validation images and the unlabeled images. This function writes no file.

    Args:
        data: the paths of the user's files.
        truth: the json of the labeled images, as ``nbseg.coco.load_coco`` returns it.
        classes: names of the classes.
        out: path of the config to write. The new jsons get paths in the same folder.

    Returns:
        The config keys that name the images, and the jsons to write.

    Raises:
        FileNotFoundError: a file or a folder does not exist.
        ValueError: the json of the unlabeled images lists a labeled image or a validation image;
            there is no unlabeled image; ``data.hold_out`` is negative or not less than the number
            of labeled images; or ``data.val`` cannot be used, for example because it lacks a class.
    """
    sets = ImageSets({"labeled_json": data.labeled, "train_images": data.images})
    labeled = {number: data.images / i["file_name"] for number, i in truth.imgs.items()}
    used = {"labeled": list(labeled.values())}
    sets.labeled = len(labeled)
    if data.val:
        used["used for validation"] = _validation(sets, data, data.val, classes, used["labeled"])
    else:
        _hold_out(sets, data.hold_out, truth, labeled, out)
    if data.unlabeled and data.unlabeled.is_file():
        _listed(sets, data, used)
    else:
        folder = data.unlabeled or data.images
        categories = truth.dataset["categories"]
        _in_folder(sets, folder, sum(used.values(), []), categories, out, data.image_options)
    return sets


def _validation(
    sets: ImageSets, data: OwnData, val: Path, classes: list[str], labeled: list[Path]
) -> list[Path]:
    """Enter the images of the json ``val`` into ``sets`` as validation images.

    Returns:
        The paths of the validation images.
    """
    folder = data.val_images or data.images
    truth, sets.warnings = read_labeled(val, folder, data.image_options)
    category_ids(truth.dataset["categories"], classes, val)
    sets.keys |= {"val_json": val, "val_images": folder}
    paths = [folder / image["file_name"] for image in truth.imgs.values()]
    sets.validation = f"Validation: the {len(paths)} images of {val.name}."
    if pairs := overlapping_images(labeled, paths):
        sets.validation += (
            f" Warning: {len(pairs)} of them are also among the labeled images, the first: "
            f"{pairs[0][1]}. The AP is too high if models are evaluated on images that they are "
            "trained on, and does not tell which model is better; give other images with --val."
        )
    return paths


def _hold_out(
    sets: ImageSets, wanted: int | None, truth: COCO, paths: Mapping[int, Path], out: Path
) -> None:
    if wanted is None:
        wanted = sets.labeled // 5 if sets.labeled >= ENOUGH else 0
    if not 0 <= wanted < sets.labeled:
        raise ValueError(
            f"--hold-out must be at least 0 and less than the number of labeled images, "
            f"{sets.labeled}; found {wanted}"
        )
    chosen = held_out(truth, wanted, paths)
    if not chosen:
        sets.keys |= {"val_json": "{labeled_json}", "val_images": "{train_images}"}
        sets.validation = (
            "Validation: no images are set aside, so the models are evaluated on the labeled "
            "images that they are trained on. The AP is then far too high, and does not tell which "
            "model is better; look at the predictions instead, or give --val or --hold-out."
        )
        return
    sets.keys |= {
        "labeled_json": out.with_name(f"{out.stem}-labeled.json"),
        "val_json": out.with_name(f"{out.stem}-val.json"),
        "val_images": "{train_images}",
    }
    content = truth.dataset
    for key, kept in (("labeled_json", False), ("val_json", True)):
        sets.jsons[sets.keys[key]] = {
            **content,
            "images": [i for i in content["images"] if (i["id"] in chosen) == kept],
            "annotations": [a for a in content["annotations"] if (a["image_id"] in chosen) == kept],
        }
    sets.labeled -= len(chosen)
    sets.validation = (
        f"Validation: {len(chosen)} of the {len(truth.imgs)} labeled images, chosen by a hash of "
        "their names, are set aside."
    )


def _listed(sets: ImageSets, data: OwnData, used: Mapping[str, list[Path]]) -> None:
    assert data.unlabeled
    content = read_coco(data.unlabeled)
    folder = data.unlabeled_images or data.images
    paths = [folder / image["file_name"] for image in content["images"]]
    if not paths:
        raise ValueError(f"{data.unlabeled} lists no images; add unlabeled images to it")
    if missing := [path for path in paths if not path.is_file()]:
        raise FileNotFoundError(
            f"{data.unlabeled}: {len(missing)} of {len(paths)} images are missing, the first: "
            f"{missing[0]}; correct --unlabeled-images"
        )
    for use, others in used.items():
        if pairs := overlapping_images(others, paths):
            raise ValueError(
                f"{data.unlabeled}: {len(pairs)} images are also {use}, the first: {pairs[0][1]}. "
                "Unlabeled images must be neither labeled nor used for validation; remove these "
                "images from the json"
            )
    sets.keys |= {"unlabeled_json": data.unlabeled, "unlabeled_folder": folder, "predict": LISTED}
    if content["annotations"]:
        sets.keys["report"] = {"hidden_truth": "{unlabeled_json}"}


def _in_folder(
    sets: ImageSets,
    folder: Path,
    used: Iterable[Path],
    categories: list[dict[str, Any]],
    out: Path,
    options: ImageOptions,
) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder or json {folder} of unlabeled images; correct --unlabeled"
        )
    sets.keys["unlabeled_folder"] = folder
    paths = {folder / name: name for name in image_names(folder)}
    taken = {path for _, path in overlapping_images(used, paths)}
    if labels := label_images_among(paths.values()):
        sets.warnings.append(
            f"note: {len(labels)} files in {folder} are named like label images (masks) of other "
            f"files there, the first: {min(labels)}; these files are not used as unlabeled images"
        )
    taken |= {path for path, name in paths.items() if name in labels}
    if not taken:
        return
    names = (name for path, name in paths.items() if path not in taken)
    images, unreadable = image_entries(folder, names, options)
    if not images:
        raise ValueError(
            f"{folder} has no readable image besides labeled images, validation images and label "
            "images; give a folder or a json of unlabeled images with --unlabeled"
        )
    if unreadable:
        sets.warnings.append(
            f"warning: {len(unreadable)} images in {folder} cannot be read and are left out, the "
            f"first: {unreadable[0]}"
        )
    listed = out.with_name(f"{out.stem}-unlabeled.json")
    sets.jsons[listed] = {"images": images, "annotations": [], "categories": categories}
    sets.keys |= {"unlabeled_json": listed, "predict": LISTED}
