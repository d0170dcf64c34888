"""The tables at small scale: the same rows on generated images, for two CPU cores.

Every student goes on from its teacher, which trained three times as long, and what is supervised
trains for as many iterations as teacher and student together. Of a thousand images a tenth of the
paper's percentage is labeled: unlabeled images help a network that has learnt what its labels
have to tell, and two cores do not get there with more than a few dozen labeled images. Where the
paper labels a whole data set and adds images of another, the unlabeled ones are a second set.
"""

from pathlib import Path

from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.experiments.arms import Source
from nbseg.experiments.coarse_labels import write_coarse_labels
from nbseg.experiments.tables import Row, Table

CONFIG = "configs/shapes/noisy-boundaries_mask-rcnn_r18-small_fpn_shapes.py"
TRAINING = ShapesOptions(train=1000, val=100, seed=0)
FEWER_LABELS = 10  # the paper's percentage divided by it is labeled
UNLABELED = ShapesOptions(train=800, val=1, seed=1)


def prepare_small_data(folder: Path) -> None:
    """Make ``folder``/shapes, ``folder``/unlabeled and its coarse labels, where not there yet.

    Raises:
        FileExistsError: one of them was made from other options.
    """
    generate_shapes(folder / "shapes", TRAINING)
    generate_shapes(folder / "unlabeled", UNLABELED)
    annotations = folder / "unlabeled" / "annotations"
    if not (annotations / "coarse.json").is_file():
        write_coarse_labels(annotations / "instances_train.json", annotations / "coarse.json")


def small_source(table: Table, row: Row, data: Path, iterations: int) -> Source:
    """Return what a row is trained on; ``iterations`` are the student's."""
    options = {
        "data_root": str(data / "shapes"),
        "iterations": iterations,
        "teacher.iterations": 3 * iterations,
        "warmup_iterations": min(50, iterations // 4),
        # Two arms beside one another leave no core to a worker.
        "num_workers": 0,
        "persistent_workers": False,
        # Below the score that a detection needs anyway: a short teacher is never sure.
        "labels.floor": 0.05,
    }
    if row.percent < 100:
        options["percent"] = row.percent / FEWER_LABELS
    else:
        options |= {
            "split": None,
            "labeled_json": "{train_json}",
            "unlabeled_json": str(data / "unlabeled/annotations/instances_train.json"),
            "unlabeled_folder": str(data / "unlabeled/train"),
        }
    coarse = str(data / "unlabeled/annotations/coarse.json")
    return Source(
        name=f"shapes-{row.percent}",
        config=CONFIG,
        options=options,
        student={
            # The weight of the mask loss in the paper: 1 on COCO, 3 elsewhere.
            "mask_gain": 1.0 if table.number == 4 else 3.0,
            "load_from": "{teacher_checkpoint}",  # as in configs/shapes/demo.py
        },
        joint={"unlabeled_json": coarse, "oracle.iterations": 4 * iterations},
        coarse={
            "labeled_json": coarse,
            "train_images": str(data / "unlabeled/train"),
        },
        whole={"supervised.iterations": iterations},
        half={"supervised.iterations": iterations // 2},
    )
