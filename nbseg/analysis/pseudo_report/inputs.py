"""Read and check the inputs of a report on pseudo-labels before any work starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from nbseg.coco import check_categories, check_same_images, load_coco
from nbseg.coco_values import is_number
from nbseg.image_options import DEFAULTS, ImageOptions


@dataclass(frozen=True)
class ReportInputs:
    """Holds the inputs of a report on pseudo-labels.

    A category id means the same class in all annotations.

    Attributes:
        name: file name of the pseudo-labels' json.
        pseudo: pseudo-labels, or any predictions with scores.
        info: the dictionary that ``make_pseudo_labels`` writes to ``info`` in the json; may be
            empty.
        image_folder: folder that the file names of ``pseudo`` are relative to.
        labeled: annotations of the labeled images; None if there is no labeled json.
        truth: true annotations of the images of ``pseudo``, with the same image ids. Training does
            not use these annotations. None if the truth is unknown.
        kind_key: name of the key that gives the kind of an image, such as its modality, in each
            entry of ``images`` in the jsons.
        image_options: which channels, plane and values of the image files are read.
    """

    name: str
    pseudo: COCO
    info: dict[str, Any]
    image_folder: Path
    labeled: COCO | None
    truth: COCO | None
    kind_key: str = "modality"
    image_options: ImageOptions = DEFAULTS

    @property
    def classes_info(self) -> dict[str, Any]:
        """Return ``info["classes"]``: a dictionary of numbers about each class, by class name.

        The result is empty if ``info`` lacks this key.
        """
        classes = self.info.get("classes")
        return classes if isinstance(classes, dict) else {}

    @property
    def class_names(self) -> list[str]:
        """Return the names of the classes in the order of the json."""
        return [category["name"] for category in self.pseudo.cats.values()]


def read_inputs(
    pseudo_json: str | Path,
    image_folder: str | Path,
    labeled_json: str | Path | None = None,
    truth_json: str | Path | None = None,
    kind_key: str = "modality",
    image_options: ImageOptions = DEFAULTS,
) -> ReportInputs:
    """Read and check the inputs of a report on pseudo-labels, and return them.

    Args:
        pseudo_json: COCO json of the pseudo-labels, with scores.
        image_folder: folder that the file names in ``pseudo_json`` are relative to.
        labeled_json: COCO json of the labeled images, if there is one.
        truth_json: COCO json with the true annotations of the pseudo-labeled images, if there is
            one. It may contain other images, too.
        kind_key: name of the key that gives the kind of an image (such as its modality) in each
            entry of ``images`` in the jsons. Entries may lack this key.
        image_options: which channels, plane and values of the image files are read.

    Raises:
        FileNotFoundError: a file, the folder or an image is missing.
        ValueError: a json is not in COCO's format, ``pseudo_json`` has no image, a pseudo-label has
            no score, a category of ``pseudo_json`` is missing or has another name in another json,
            the truth has none of the images, or an image id means another image in the truth.
    """
    pseudo_json, image_folder = Path(pseudo_json), Path(image_folder)
    pseudo = load_coco(pseudo_json, masks=True)
    if not pseudo.imgs:
        raise ValueError(f"{pseudo_json} has no images; give a json of pseudo-labeled images")
    scoreless = sum(not is_number(a.get("score")) for a in pseudo.anns.values())
    if scoreless:
        raise ValueError(
            f"{pseudo_json}: {scoreless} of {len(pseudo.anns)} annotations have no numeric score; "
            "give a json of pseudo-labels or predictions with a score for each annotation"
        )
    _check_images(pseudo, pseudo_json, image_folder)
    labeled = truth = None
    if labeled_json:
        labeled = load_coco(labeled_json, masks=True)
        check_categories(pseudo, pseudo_json, labeled, Path(labeled_json))
    if truth_json:
        truth = load_coco(truth_json, masks=True)
        check_categories(pseudo, pseudo_json, truth, Path(truth_json))
        check_same_images(pseudo, pseudo_json, truth, Path(truth_json))
    info = pseudo.dataset.get("info")
    return ReportInputs(
        pseudo_json.name,
        pseudo,
        info if isinstance(info, dict) else {},
        image_folder,
        labeled,
        truth,
        kind_key,
        image_options,
    )


def _check_images(pseudo: COCO, path: Path, folder: Path) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no image folder {folder}; correct the path")
    names = [image["file_name"] for image in pseudo.imgs.values()]
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise FileNotFoundError(
            f"{len(absent)} of {len(names)} images of {path} are not in {folder}, for example "
            f"{absent[0]}; give the folder that these file names are relative to"
        )
