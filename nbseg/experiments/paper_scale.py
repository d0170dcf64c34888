"""The tables at the paper's scale, on data sets as tools/prepare_data.py leaves them."""

from pathlib import Path
from typing import Any

from nbseg.experiments.arms import Source
from nbseg.experiments.tables import Row, Table

CITYSCAPES = "configs/cityscapes/noisy-boundaries_mask-rcnn_r50_fpn_cityscapes.py"
COARSE = "configs/cityscapes/noisy-boundaries_mask-rcnn_r50_fpn_cityscapes-coarse.py"
COCO = "configs/coco/noisy-boundaries_mask-rcnn_r50_fpn_coco.py"
BDD100K = "configs/bdd100k/noisy-boundaries_mask-rcnn_r50_fpn_bdd100k.py"

# Images of an iteration on all GPUs together: of the student, and of the teacher if others.
BATCHES = {CITYSCAPES: (8, 8), COARSE: (8, 8), COCO: (32, 16), BDD100K: (16, 16)}


def paper_source(table: Table, row: Row, data: Path, gpus: int) -> Source:
    """Return what a row is trained on.

    Args:
        table: of the paper.
        row: of the table.
        data: folder of the data set.
        gpus: of each run.

    Raises:
        ValueError: an iteration's images cannot be shared out among the GPUs.
    """
    config = {1: CITYSCAPES, 2: COARSE, 3: CITYSCAPES, 4: COCO, 5: BDD100K}[table.number]
    # The paper took the splits as they are, copies of an image included.
    options = {"data_root": str(data), "allow_overlap": True, **_batches(config, gpus)}
    if config == CITYSCAPES:
        options["percent"] = row.percent
    if config == COCO:
        options |= _coco_labels(row.percent)
    return Source(
        name=f"{Path(config).stem.rpartition('_')[2]}-{row.percent}",
        config=config,
        options=options,
        supervised="teacher",
        coarse={"labeled_json": "{coarse_json}", "train_images": "{coarse_images}"},
    )


def _batches(config: str, gpus: int) -> dict[str, int]:
    student, teacher = BATCHES[config]
    if teacher % gpus or student % gpus:
        raise ValueError(
            f"{config} trains on {student} images an iteration (teacher: {teacher}), which {gpus} "
            "GPUs cannot share evenly; choose --gpus among their common divisors"
        )
    options = {"batch_size": student // gpus}
    return options if teacher == student else {**options, "teacher.batch_size": teacher // gpus}


def _coco_labels(percent: float) -> dict[str, Any]:
    """Return which images are labeled: at 30 those of val2014's 35k, at 100 all of train2017."""
    if percent < 30:
        return {"percent": percent}
    folder = "{data_root}/annotations"
    if percent == 30:
        return {
            "split": None,
            "labeled_json": f"{folder}/instances_train2017-val35k.json",
            "labeled_images": 35504,
            "unlabeled_json": f"{folder}/instances_train2017-val35k-unlabeled.json",
        }
    return {
        "split": None,
        "labeled_json": "{train_json}",
        "labeled_images": 118287,
        "unlabeled_json": f"{folder}/instances_unlabeled2017.json",
        "unlabeled_images": 123403,
        "unlabeled_folder": "{data_root}/unlabeled2017/",
        "report.hidden_truth": None,
    }
