"""Sets up the tables of the Noisy Boundaries paper at the paper's scale, on the paper's data sets.

``tools/prepare_data.py`` converts the data sets.
"""

from pathlib import Path
from typing import Any

from nbseg.experiments.row_runs import Setup
from nbseg.experiments.tables import Row, Table

CITYSCAPES = "configs/cityscapes/noisy-boundaries_mask-rcnn_r50_fpn_cityscapes.py"
COARSE = "configs/cityscapes/noisy-boundaries_mask-rcnn_r50_fpn_cityscapes-coarse.py"
COCO = "configs/coco/noisy-boundaries_mask-rcnn_r50_fpn_coco.py"
BDD100K = "configs/bdd100k/noisy-boundaries_mask-rcnn_r50_fpn_bdd100k.py"

# Number of images per iteration, on all GPUs together, for the student and for the teacher.
BATCHES = {CITYSCAPES: (8, 8), COARSE: (8, 8), COCO: (32, 16), BDD100K: (16, 16)}


def paper_setup(table: Table, row: Row, data: Path, gpus: int | None) -> Setup:
    """Return the training setup (config and options) of a row of a table.

    Args:
        table: the row's table.
        row: a row.
        data: folder of the data set.
        gpus: number of GPUs of each run. The paper's batch is divided among the GPUs, and unlabeled
            images may be copies of labeled images, as in the paper. If None, the setup keeps the
            config's batch sizes, and a run refuses such copies. The commands in the README files
            use None.

    Raises:
        ValueError: a batch cannot be divided evenly among the GPUs.
    """
    config = {1: CITYSCAPES, 2: COARSE, 3: CITYSCAPES, 4: COCO, 5: BDD100K}[table.number]
    if table.number == 3 and row.percent == 100:
        config = COARSE
    options: dict[str, Any] = {"data_root": str(data)}
    if gpus is not None:
        # Like the paper, keep unlabeled images that are copies of labeled images.
        options |= {"allow_overlap": True, **_batches(config, gpus)}
    if config == CITYSCAPES:
        options["percent"] = row.percent
    if config == COCO:
        options |= _coco_labels(row.percent)
    return Setup(
        name=f"{Path(config).stem.rpartition('_')[2]}-{row.percent}",
        config=config,
        options=options,
        supervised_stage="teacher",
        coarse={"labeled_json": "{coarse_json}", "train_images": "{coarse_images}"},
    )


def _batches(config: str, gpus: int) -> dict[str, int]:
    student, teacher = BATCHES[config]
    if teacher % gpus or student % gpus:
        raise ValueError(
            f"{config} trains the student on {student} images per iteration and the teacher on "
            f"{teacher}; expected --gpus to be a divisor of both numbers, found {gpus}"
        )
    options = {"batch_size": student // gpus}
    return options if teacher == student else {**options, "teacher.batch_size": teacher // gpus}


def _coco_labels(percent: float) -> dict[str, Any]:
    """Return the config options that choose the labeled and the unlabeled images of COCO.

    Below 30%, the labeled images are drawn at random from train2017. At 30%, they are the 35k
    images of train2017 that were in val2014. In both cases, the other images of train2017 are
    unlabeled. At 100%, all images of train2017 are labeled, and unlabeled2017 is unlabeled.
    """
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
