"""Examine whether every kind of unlabeled image in a run also occurs among the labeled images.

A kind is a group of images with similar backbone features, such as images of the same tissue.
"""

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import is_main_process

from nbseg.analysis.coverage.features import pretrained_features
from nbseg.analysis.coverage.page import ImageCoverage
from nbseg.analysis.coverage.rule import coverage
from nbseg.engine.data_sets import image_options, leaves
from nbseg.engine.preflight.overlap import image_paths
from nbseg.engine.task import StageTask
from nbseg.errors import StageError
from nbseg.image_names import spread

# Before a run, examine at most this many unlabeled images, which takes at most 20 s on one core.
UNLABELED = 200
# With more labeled images than this, a run is not examined: labeled images then rarely lack
# a kind of image.
LABELED = 100
CANNOT_TELL = (
    "coverage was not examined: to find kinds of image that no labeled image shows, nbseg compares "
    "the features of a pretrained backbone, but the config names no pretrained weights "
    "(backbone.init_cfg or load_from); set backbone_weights=FILE"
)


def examine_coverage(teacher: Config, predict: Config, most: int | None) -> ImageCoverage | None:
    """Find the kinds of image that occur among the unlabeled, but not among the labeled images.

    Args:
        teacher: plain MMDetection config of the teacher. The config names the backbone, the
            weights of the backbone, and the labeled images.
        predict: plain MMDetection config of the predict stage, which names the unlabeled images.
        most: largest number of unlabeled images to examine; these images are evenly spread over
            all unlabeled images. None examines all unlabeled images.

    Returns:
        The examined images, and the kinds of unlabeled images that no labeled image shows. None if
        the backbone has no pretrained weights.

    Raises:
        StageError: no labeled or no unlabeled image can be read, or the weights do not fit the
            backbone.
        FileNotFoundError: the weights are missing.
    """
    features = pretrained_features(teacher)
    options = image_options(next(leaves(teacher.train_dataloader.dataset)))
    if features is None:
        return None
    labeled = [Path(path) for path in image_paths(teacher.train_dataloader.dataset)]
    unlabeled = [Path(path) for path in image_paths(predict.test_dataloader.dataset)]
    examined = unlabeled if most is None else spread(unlabeled, most)
    labeled, of_labeled = features.of_files(labeled, options)
    examined, of_unlabeled = features.of_files(examined, options)
    if not labeled or not examined:
        kind = "unlabeled" if labeled else "labeled"
        raise StageError(f"no {kind} image can be read; correct data_root or the image folder")
    return ImageCoverage(
        tuple(labeled),
        tuple(examined),
        coverage(of_labeled, of_unlabeled),
        len(unlabeled),
        options,
    )


def coverage_lines(config: Config, tasks: Sequence[StageTask]) -> list[str]:
    """Report whether unlabeled images of a run are of a kind that no labeled image shows.

    A run is examined only if it will train a teacher and predict with this teacher. Runs with more
    than 100 labeled images, or with ``check_coverage=False`` in the config, are not examined. At
    most 200 unlabeled images are examined.

    Args:
        config: the user's config.
        tasks: the stages that will run.

    Returns:
        A list with one line, which states the result. The line starts with "warning" if unlabeled
        images are of a kind that no labeled image shows, or if the examination fails. The list is
        empty if the run is not examined, and in processes other than the main process.
    """
    # Every process must examine the images: when MMEngine loads weights from a URL, each process
    # waits for all others.
    lines = _lines(config, tasks)
    return lines if is_main_process() else []


def _lines(config: Config, tasks: Sequence[StageTask]) -> list[str]:
    stages = {task.stage: task.config for task in tasks}
    if not {"teacher", "predict"} <= set(stages) or not config.get("check_coverage", True):
        return []
    try:
        if len(list(image_paths(stages["teacher"].train_dataloader.dataset))) > LABELED:
            return []
        found = examine_coverage(stages["teacher"], stages["predict"], UNLABELED)
    except Exception as error:  # a user's backbone or data set may raise any error
        return [
            f"warning: coverage was not examined ({type(error).__name__}: {error}), so the run "
            "continues without a search for kinds of image that no labeled image shows. To skip "
            "this search, set check_coverage=False"
        ]
    if found is None:
        return [CANNOT_TELL]
    if not found.result.kinds:
        return [f"coverage: {found.sentence}"]
    bridge = (
        ", or train with bridge_prob=0.8 (this augmentation makes kinds of image more alike)"
        if config.get("bridge_prob") == 0
        else ""
    )
    return [
        f"warning: coverage: {found.sentence}{bridge}. To see these images, run "
        "tools/analyze.py coverage CONFIG --out DIR"
    ]
