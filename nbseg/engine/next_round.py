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
from nbseg.engine.corrected_sets import check_unlabeled, joined_labels, listed_images, only_set
from nbseg.engine.data_sets import annotation_files, image_options, leaves
from nbseg.engine.preflight.overlap import image_paths
from nbseg.engine.stages import stage_config
from nbseg.engine.work_dir import WorkDir
from nbseg.errors import StageError
from nbseg.files import read_json, refuse_existing, replacing, write_json


@dataclass(frozen=True)
class NextRound:
    """Describes the data of the next round, and the files that were written for this round.

    Attributes:
        labeled: number of labeled images in the next round.
        unlabeled: number of unlabeled images in the next round.
        changes: numbers of objects that a person kept, changed, added and deleted in the last
            round's pseudo-labels.
        files: paths of the files that were written; the last path is the new config.
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

    Returns:
        The numbers of images in both sets, what a person changed, and the written files.

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
    refuse_existing((*paths, out), force)
    for path in (work_dir.checkpoint("student"), work_dir.pseudo_labels):
        if not path.is_file():
            raise FileNotFoundError(
                f"the last round has not written {path}; finish this round (tools/train.py "
                "CONFIG), or correct --work-dir"
            )
    config = read_config(config_path)
    stages = [stage_config(config, stage, work_dir) for stage in ("teacher", "predict")]
    labeled, labeled_folder = only_set(stages[0].train_dataloader.dataset, "labeled")
    unlabeled, unlabeled_folder = only_set(stages[1].test_dataloader.dataset, "unlabeled")
    options = image_options(next(leaves(stages[0].train_dataloader.dataset)))
    if not labeled:
        raise StageError(
            "the labeled data set of the config has no COCO json; set labeled_json to the json of "
            "the labeled images"
        )
    new = load_coco(corrected, masks=True)
    all_unlabeled = [Path(path) for path in image_paths(stages[1].test_dataloader.dataset)]
    paths_of_new = [unlabeled_folder / image["file_name"] for image in new.imgs.values()]
    moved = check_unlabeled(paths_of_new, all_unlabeled, corrected)
    joined = joined_labels(read_coco(labeled), new, labeled_folder, unlabeled_folder, corrected)
    rest = [path for path in all_unlabeled if os.path.abspath(path) not in moved]
    pseudo = load_coco(work_dir.pseudo_labels, masks=True)
    images = _changes(pseudo, new, unlabeled_folder)
    rounds = _rounds(config_path, work_dir, len(joined["images"]) - len(new.imgs))
    text = _config_text(config_path, work_dir, paths, unlabeled_folder, len(new.imgs))
    _check_config(text, work_dir, paths)
    write_coco(paths[0], joined.items())
    listed = {
        "images": listed_images(rest, unlabeled_folder, unlabeled, options),
        "annotations": [],
        "categories": joined["categories"],
    }
    write_coco(paths[1], listed.items())
    write_corrections(
        images,
        (pseudo.dataset["categories"], new.dataset["categories"]),
        [(r["work_dir"], r["labeled"], r["student"]) for r in rounds],
        paths[2],
        options,
    )
    write_json(paths[3], rounds, indent=1)
    with replacing(out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    total = sum((image.changes for image in images), Changes())
    return NextRound(len(joined["images"]), len(rest), total, [*paths, out])


def _check_config(text: str, work_dir: WorkDir, paths: list[Path]) -> None:
    """Refuse a new config if its stages would read other jsons or start from other weights.

    The stages must read the new jsons, and start from the student of the last round. A stage fails
    to do so if the config of the last round names data sets or weights in keys that the new config
    does not override.

    Args:
        text: content of the new config.
        work_dir: work directory of the last round, with the student.
        paths: the new jsons: the first lists the labeled, the second the unlabeled images.

    Raises:
        StageError: a stage would read another json or start from other weights.
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
                f"of {student}, because the config of the last round sets load_from in a place "
                "that the new config does not override; delete load_from in that place"
            )


def _changes(before: COCO, new: COCO, folder: Path) -> list[Corrected]:
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
    """Return a dictionary for each round so far, the last round at the end.

    The dictionaries of earlier rounds are read from a json next to the config.

    Args:
        config_path: config of the last round.
        work_dir: work directory of the last round.
        labeled: number of labeled images in the last round.

    Returns:
        Dictionaries with the keys ``work_dir`` (a path), ``labeled`` (the number of labeled images)
        and ``student`` (the student's metrics; empty if they are unknown).
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
