"""Sets up the tables of the Noisy Boundaries paper at small scale, for two CPU cores.

The rows are those of the paper, but the images are generated.

A student starts from its teacher's weights. The teacher trains three times as long as the student.
Supervised rows train for as many iterations as teacher and student together.

The generated set has 1000 images. The labeled percentage is a tenth of the paper's percentage,
except in table 3. Unlabeled images help only a network that already fits its labels well, and a
training on two cores is too short to fit more than a few dozen labeled images. In table 3, the
labeled percentage is a fifteenth of the paper's 30%, which is 2%. The rows of 20% in table 1 also
have 2% labeled images, so their students share a teacher with the students of table 3.

Some rows of the paper label a whole data set, and take the unlabeled images from another data set.
At small scale, the unlabeled images of these rows come from a second generated set.
"""

from pathlib import Path
from typing import Any

from nbseg.datasets.shapes import ShapesOptions, generate_shapes
from nbseg.experiments.coarse_labels import write_coarse_labels
from nbseg.experiments.row_runs import Setup
from nbseg.experiments.tables import METHODS as METHOD_ROWS
from nbseg.experiments.tables import Row, Table


def configs_of_methods(config: str) -> dict[str, str]:
    """Return the config of each comparison method on the data set and model of a given config.

    Args:
        config: path of the config of Noisy Boundaries on this data set and model.

    Returns:
        A dictionary from the name of the method to the path of its config.
    """
    ours = "noisy-boundaries_"
    return {row.method: config.replace(ours, f"{row.method}_") for row in METHOD_ROWS}


def cpu_options(iterations: int, teacher_iterations: int) -> dict[str, Any]:
    """Return the options of runs on a CPU.

    Args:
        iterations: number of training iterations of the student.
        teacher_iterations: number of training iterations of the teacher.
    """
    return {
        "iterations": iterations,
        "teacher.iterations": teacher_iterations,
        # Two parallel runs already use both cores, so load images in the training process.
        "num_workers": 0,
        "persistent_workers": False,
    }


CONFIG = "configs/shapes/noisy-boundaries_mask-rcnn_r18-small_fpn_shapes.py"
METHODS = configs_of_methods(CONFIG)
TRAINING = ShapesOptions(train=1000, val=100, seed=0)
UNLABELED = ShapesOptions(train=800, val=1, seed=1)


def prepare_small_data(folder: Path) -> None:
    """Generate the data sets ``folder``/shapes and ``folder``/unlabeled, and coarse labels.

    The coarse labels belong to ``folder``/unlabeled. Data that already exist are kept.

    Raises:
        FileExistsError: an existing set was generated with other options.
    """
    generate_shapes(folder / "shapes", TRAINING)
    generate_shapes(folder / "unlabeled", UNLABELED)
    annotations = folder / "unlabeled" / "annotations"
    if not (annotations / "coarse.json").is_file():
        write_coarse_labels(annotations / "instances_train.json", annotations / "coarse.json")


def small_setup(table: Table, row: Row, data: Path, iterations: int) -> Setup:
    """Return the training setup (config and options) of a row of a table.

    Args:
        table: the row's table.
        row: a row.
        data: the folder that ``prepare_small_data`` filled.
        iterations: number of training iterations of the student.
    """
    options: dict[str, Any] = {
        "data_root": str(data / "shapes"),
        **cpu_options(iterations, teacher_iterations=3 * iterations),
        "warmup_iterations": min(50, iterations // 4),
        # A teacher that trained only briefly gives low scores.
        "label.floor": 0.05,
    }
    labeled = row.percent / (15 if table.number == 3 else 10)
    if row.percent < 100:
        options["percent"] = labeled
    else:
        options |= {
            "split": None,
            "labeled_json": "{train_json}",
            "unlabeled_json": str(data / "unlabeled/annotations/instances_train.json"),
            "unlabeled_folder": str(data / "unlabeled/train"),
        }
    coarse = str(data / "unlabeled/annotations/coarse.json")
    return Setup(
        name="shapes-100" if row.percent == 100 else f"shapes-{10 * labeled:g}",
        config=CONFIG,
        options=options,
        student={
            # A third of the paper's mask_gain. Rows with other_gain have the paper's value, 9.
            "mask_gain": 1.0 if table.number == 4 else 3.0,
            "load_from": "{teacher_checkpoint}",  # as in configs/shapes/demo.py
        },
        joint={"unlabeled_json": coarse, "oracle.iterations": 4 * iterations},
        coarse={
            "labeled_json": coarse,
            "train_images": str(data / "unlabeled/train"),
        },
        whole={"control.iterations": iterations},
        half={"control.iterations": iterations // 2},
        other_gain=9.0,
        methods=METHODS,
    )
