"""Write the config of the next round, in which corrected images are labeled.

A round is a whole run: a teacher, its pseudo-labels and a student. After each round, a person
corrects the pseudo-labels of some images.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from nbseg.analysis.corrections.changes import Changes, find_changes
from nbseg.analysis.corrections.page import Corrected, write_corrections
from nbseg.coco import load_coco, read_coco, write_coco
from nbseg.config.reading import read_config
from nbseg.engine.data_sets import annotation_files, image_folder, leaves
from nbseg.engine.preflight.overlap import image_paths
from nbseg.engine.stages import stage_config
from nbseg.engine.work_dir import WorkDir
from nbseg.errors import StageError
from nbseg.files import read_json, replacing, write_json
from nbseg.images import image_size


@dataclass(frozen=True)
class NextRound:
    """Describes the next round.

    Attributes:
        labeled: number of labeled images.
        unlabeled: number of unlabeled images.
        changes: numbers of objects that a person kept, changed, added and deleted.
        files: the files that were written; the config is the last one.
    """

    labeled: int
    unlabeled: int
    changes: Changes
    files: list[Path]


def write_next_round(
    config_path: Path, work_dir: WorkDir, corrected: Path, out: Path, force: bool = False
) -> NextRound:
    """Move corrected images from the unlabeled to the labeled images, and write a config.

    The function writes new jsons with the two sets of images; the image files stay in place.

    The new config derives from the config of the last round. In the next round, the stages teacher
    and control start from the student of the last round. Next to the config, this function writes
    the jsons of the labeled and of the unlabeled images, a page that shows what a person changed,
    and a json with the students' metrics in all rounds so far.

    Args:
        config_path: config of the last round.
        work_dir: work directory of the last round, with a trained student.
        corrected: COCO json of the corrected images, as `tools/prepare_data.py import` writes it.
            File names are relative to the folder of the unlabeled images.
        out: path of the new config, which ends in ``.py``.
        force: whether to replace files that exist.

    Raises:
        FileNotFoundError: the last round has no student or no pseudo-labels, or a json is missing.
        FileExistsError: a file to write exists, and ``force`` is False.
        StageError: the last round has more than one labeled or unlabeled data set, the labeled
            images have no json, a corrected image is not among the unlabeled images, a class is
            unknown, or the new config would not use the new jsons and the student's weights.
        ValueError: ``out`` does not end in ``.py``.
    """
    if out.suffix != ".py":
        raise ValueError(f"the config {out} must end in .py; choose another name")
    names = ("labeled.json", "unlabeled.json", "corrections.html", "rounds.json")
    paths = [out.with_name(f"{out.stem}-{name}") for name in names]
    taken = [path for path in (*paths, out) if path.exists()]
    if taken and not force:
        raise FileExistsError(
            f"{taken[0]} exists; choose another --out, or replace the file with --force"
        )
    for path in (work_dir.checkpoint("student"), work_dir.pseudo_labels):
        if not path.is_file():
            raise FileNotFoundError(
                f"the last round has not written {path}; finish it (tools/train.py CONFIG), or "
                "correct --work-dir"
            )
    config = read_config(config_path)
    stages = [stage_config(config, stage, work_dir) for stage in ("teacher", "predict")]
    labeled, labeled_folder = _only_set(stages[0].train_dataloader.dataset, "labeled")
    unlabeled, unlabeled_folder = _only_set(stages[1].test_dataloader.dataset, "unlabeled")
    if not labeled:
        raise StageError(
            "the labeled data set of the config has no COCO json; set labeled_json to the json of "
            "the labeled images"
        )
    new = load_coco(corrected, masks=True)
    all_unlabeled = [Path(path) for path in image_paths(stages[1].test_dataloader.dataset)]
    paths_of_new = [unlabeled_folder / image["file_name"] for image in new.imgs.values()]
    moved = _check_images(paths_of_new, all_unlabeled, corrected)
    joined = _joined(read_coco(labeled), new, labeled_folder, unlabeled_folder, corrected)
    rest = [path for path in all_unlabeled if os.path.abspath(path) not in moved]
    images = _changes(work_dir, new, unlabeled_folder)
    rounds = _rounds(config_path, work_dir, len(joined["images"]) - len(new.imgs))
    text = _config_text(config_path, work_dir, paths, unlabeled_folder, len(new.imgs))
    _check_config(text, work_dir, paths)
    write_coco(paths[0], joined.items())
    listed = {
        "images": _listed(rest, unlabeled_folder, unlabeled),
        "annotations": [],
        "categories": joined["categories"],
    }
    write_coco(paths[1], listed.items())
    write_corrections(
        images,
        (load_coco(work_dir.pseudo_labels).dataset["categories"], new.dataset["categories"]),
        [(r["work_dir"], r["labeled"], r["student"]) for r in rounds],
        paths[2],
    )
    write_json(paths[3], rounds, indent=1)
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    total = sum((image.changes for image in images), Changes())
    return NextRound(len(joined["images"]), len(rest), total, [*paths, out])


def _check_config(text: str, work_dir: WorkDir, paths: list[Path]) -> None:
    """Refuse a new config whose stages would not read the new jsons or start from the student.

    This happens if the last config sets data sets or weights in places that the new config does not
    override.

    Args:
        text: content of the new config.
        work_dir: work directory of the last round, with the student.
        paths: the new jsons: the first lists the labeled, the second the unlabeled images.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.py"
        path.write_text(text, encoding="utf-8")
        config = read_config(path)
    stages = {
        name: stage_config(config, name, work_dir) for name in ("teacher", "control", "predict")
    }
    read = {
        "labeled": [
            annotation_files(stages[name].train_dataloader.dataset)
            for name in ("teacher", "control")
        ],
        "unlabeled": [annotation_files(stages["predict"].test_dataloader.dataset)],
    }
    for kind, expected in zip(read, paths, strict=False):
        for found in read[kind]:
            if [os.path.abspath(file) for file in found] != [os.path.abspath(expected)]:
                raise StageError(
                    f"the config of the last round does not use the key {kind}_json for its {kind} "
                    f"images, so the next round would read {', '.join(map(str, found))} instead of "
                    f"{expected}; set ann_file='{{{kind}_json}}' for this data set in the config"
                )
    for name in ("teacher", "control"):
        student = work_dir.checkpoint("student")
        if os.path.abspath(stages[name].load_from or "") != os.path.abspath(student):
            raise StageError(
                f"the {name} of the next round would start from {stages[name].load_from} instead "
                f"of {student}; the config of the last round also sets load_from in another place, "
                "so delete it there"
            )


def _only_set(dataset: dict[str, Any], kind: str) -> tuple[Path | None, Path]:
    """Return the json and the image folder of the only data set; the json may be None."""
    sets = list(leaves(dataset))
    if len(sets) != 1:
        raise StageError(
            f"the config has {len(sets)} {kind} data sets; expected 1. Join the data sets into one"
        )
    files = annotation_files(sets[0])
    return (files[0] if files else None), image_folder(sets[0])


def _check_images(paths: list[Path], unlabeled: list[Path], corrected: Path) -> set[str]:
    """Return the absolute paths of the corrected images, all of which must be unlabeled."""
    known = {os.path.abspath(path) for path in unlabeled}
    moved = {os.path.abspath(path) for path in paths}
    if unknown := sorted(moved - known):
        raise StageError(
            f"{len(unknown)} of {len(moved)} images in {corrected} are not unlabeled images of the "
            f"last round, the first: {unknown[0]}. Import the corrected labels with the folder of "
            "the unlabeled images (--images), and leave out images that are labeled already"
        )
    return moved


def _joined(
    content: dict[str, Any], new: COCO, labeled: Path, unlabeled: Path, corrected: Path
) -> dict[str, Any]:
    """Return a COCO json with the labeled and the corrected images."""
    ids = {category["name"]: category["id"] for category in content["categories"]}
    used = {new.cats[annotation["category_id"]]["name"] for annotation in new.anns.values()}
    if unknown := sorted(used - set(ids)):
        raise StageError(
            f"{corrected} has the classes {unknown}, which the labeled images do not have; use the "
            f"classes {sorted(ids)}"
        )
    images, annotations = list(content["images"]), list(content["annotations"])
    first = max((image["id"] for image in images), default=0) + 1
    numbers = {image: first + position for position, image in enumerate(new.imgs)}
    for image in new.imgs.values():
        name = Path(os.path.relpath(unlabeled / image["file_name"], labeled)).as_posix()
        images.append({**image, "id": numbers[image["id"]], "file_name": name})
    first = max((annotation["id"] for annotation in annotations), default=0) + 1
    for position, annotation in enumerate(new.anns.values()):
        annotations.append(
            {
                **annotation,
                "id": first + position,
                "image_id": numbers[annotation["image_id"]],
                "category_id": ids[new.cats[annotation["category_id"]]["name"]],
            }
        )
    return {**content, "images": images, "annotations": annotations}


def _listed(paths: list[Path], folder: Path, source: Path | None) -> list[dict[str, Any]]:
    """Return the COCO entries of unlabeled images.

    The entries are copied from the json ``source``. If it is None, they are made from the image
    files, and images that cannot be read are left out.
    """
    if source:
        entries = {os.path.abspath(folder / i["file_name"]): i for i in read_coco(source)["images"]}
        return [entries[os.path.abspath(path)] for path in paths]
    sizes = ((path, image_size(path)) for path in paths)
    return [
        {
            "id": number,
            "file_name": Path(os.path.relpath(path, folder)).as_posix(),
            "height": size[0],
            "width": size[1],
        }
        for number, (path, size) in enumerate(sizes, start=1)
        if size
    ]


def _changes(work_dir: WorkDir, new: COCO, folder: Path) -> list[Corrected]:
    before = load_coco(work_dir.pseudo_labels, masks=True)
    names = {image["file_name"]: image["id"] for image in before.imgs.values()}
    found = []
    for number, image in new.imgs.items():
        old = before.imgToAnns[names[image["file_name"]]] if image["file_name"] in names else []
        annotations = new.imgToAnns[number]
        changes = find_changes(
            *(
                [(coco.cats[a["category_id"]]["name"], coco.annToRLE(a)) for a in each]
                for coco, each in ((before, old), (new, annotations))
            )
        )
        found.append(Corrected(folder / image["file_name"], old, annotations, changes))
    return found


def _rounds(config_path: Path, work_dir: WorkDir, labeled: int) -> list[dict[str, Any]]:
    """Return a dictionary for each round so far; the last round is the last entry.

    The keys are ``work_dir``, ``labeled`` (the number of labeled images) and ``student`` (the
    student's metrics). ``labeled`` is also the argument with this number for the last round.
    """
    before = config_path.with_name(f"{config_path.stem}-rounds.json")
    rounds = list(read_json(before)) if before.is_file() else []
    metrics = read_json(work_dir.metrics) if work_dir.metrics.is_file() else {}
    return [
        *rounds,
        {
            "work_dir": str(work_dir.path),
            "labeled": labeled,
            "student": metrics.get("student", {}),
        },
    ]


def _config_text(
    config_path: Path, work_dir: WorkDir, paths: list[Path], folder: Path, corrected: int
) -> str:
    student = os.path.abspath(work_dir.checkpoint("student"))
    keys = {
        "_base_": os.path.abspath(config_path),
        "labeled_json": os.path.abspath(paths[0]),
        "unlabeled_json": os.path.abspath(paths[1]),
        "unlabeled_folder": os.path.abspath(folder),
    }
    lines = [
        f"# The next round: {corrected} corrected images are labeled. Written by",
        "# `tools/prepare_data.py next-round`. Teacher and control start from the last student.",
        *(f"{key} = {value!r}" for key, value in keys.items()),
        "split = dict(_delete_=True)",
        "predict = dict(",
        "    test_dataloader=dict(",
        "        dataset=dict(type='CocoInstanceDataset', ann_file='{unlabeled_json}')))",
        "report = dict(hidden_truth=None)",
        f"teacher = dict(load_from={student!r}, checkpoint=None)",
        f"control = dict(load_from={student!r})",
        "label = dict(ann_file=None)",
    ]
    return "\n".join(lines) + "\n"
