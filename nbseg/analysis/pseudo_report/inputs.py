"""What a report is made of, read once and checked before any work starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from nbseg.coco import check_categories, check_same_images, is_number, read_coco


@dataclass(frozen=True)
class ReportInputs:
    """Indexed COCO annotations; ids of images and categories mean the same in all of them.

    Attributes:
        name: file name of the pseudo-labels.
        pseudo: pseudo-labels, or any predictions with scores.
        info: the json's ``info``, as ``make_pseudo_labels`` writes it; may hold nothing.
        image_folder: where the file names of ``pseudo`` begin.
        labeled: the labeled set, whose images are others.
        truth: hidden true annotations of the images of ``pseudo``.
    """

    name: str
    pseudo: COCO
    info: dict[str, Any]
    image_folder: Path
    labeled: COCO | None
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
    labeled_json: str | Path | None = None,
    truth_json: str | Path | None = None,
) -> ReportInputs:
    """Read and check what a report is made of.

    Args:
        pseudo_json: COCO json with scores.
        image_folder: where its file names begin.
        labeled_json: COCO json of the labeled images, if there is one.
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
    scoreless = sum(not is_number(a.get("score")) for a in pseudo.anns.values())
    if scoreless:
        raise ValueError(
            f"{pseudo_json}: {scoreless} of {len(pseudo.anns)} annotations have no score; pass "
            "pseudo-labels or predictions first, true annotations as the truth"
        )
    _check_images(pseudo, pseudo_json, image_folder)
    labeled = truth = None
    if labeled_json:
        labeled = read_coco(Path(labeled_json))
        check_categories(pseudo, pseudo_json, labeled, Path(labeled_json))
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
        labeled,
        truth,
    )


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
