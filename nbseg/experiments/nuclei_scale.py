"""Sets up table 1 of the Noisy Boundaries paper on microscope images of nuclei.

The models are trained on two CPU cores. A student starts from its teacher's weights. Teacher and
student train for the same number of iterations, unlike in the config itself, where the teacher
trains twice as long as the student. Supervised rows train for as many iterations as teacher and
student together.
"""

from pathlib import Path
from typing import Any

from nbseg.experiments.row_runs import Setup
from nbseg.experiments.small_scale import configs_of_methods, cpu_options
from nbseg.experiments.tables import Row

CONFIG = "configs/nuclei/noisy-boundaries_mask-rcnn_mobilenet-v2_fpn_nuclei.py"


def nuclei_setup(row: Row, data: Path, weights: str, iterations: int) -> Setup:
    """Return the training setup (config and options) of a row of table 1.

    The percentage of labeled images is a quarter of the paper's percentage. For example, the
    paper's 20% become 5%, which is nine of 193 images.

    Args:
        row: the row.
        data: folder of the data set, with ``annotations/`` and ``images/``.
        weights: file with the backbone's weights, or a name that MMEngine knows, such as
            ``open-mmlab://mmdet/mobilenet_v2``.
        iterations: number of training iterations of the teacher, and also of the student.
    """
    options: dict[str, Any] = {
        "data_root": str(data),
        "backbone_weights": weights,
        "percent": row.percent / 4,
        **cpu_options(iterations, teacher_iterations=iterations),
    }
    return Setup(
        name=f"nuclei-{row.percent / 4:g}",
        config=CONFIG,
        options=options,
        # The config trains students with weak augmentation, and with BridgeKinds on half of the
        # images. Here, students train with strong augmentation, as in the paper, and with
        # BridgeKinds on 80% of the images, as in the supervised rows.
        student={"train_pipeline": "{strong_pipeline}", "student.bridge_prob": 0.8},
        methods=configs_of_methods(CONFIG),
    )
