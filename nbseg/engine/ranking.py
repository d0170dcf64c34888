"""Rank the unlabeled images of a run, or of a folder, by how useful it is to label them."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from mmengine.config import Config

from nbseg.analysis.coverage.features import pretrained_features
from nbseg.analysis.ranking.order import pick_images
from nbseg.analysis.ranking.page import RankedImages
from nbseg.analysis.ranking.uncertainty import check_predicted, uncertainties
from nbseg.coco import read_coco, read_images
from nbseg.datasets.overlap import distinct_images, overlapping_images
from nbseg.datasets.splits import write_chosen_split
from nbseg.engine.data_sets import annotation_files, image_folder, image_options, leaves
from nbseg.engine.preflight.overlap import image_paths
from nbseg.errors import StageError
from nbseg.files import relative_name
from nbseg.image_names import image_names, spread
from nbseg.pseudo.predictions import PredictionStore


def rank_images(
    teacher: Config,
    predict: Config,
    count: int,
    most: int,
    images: Path | None = None,
    cold_start: bool = False,
    predictions: Path | None = None,
) -> RankedImages:
    """Choose the images to label, the most useful first (:func:`pick_images`).

    Validation images are not chosen, because a model must not be trained on them. Of several copies
    of an image, only the first can be chosen.

    Args:
        teacher: plain MMDetection config of the teacher. The config names the backbone, the
            weights of the backbone, and the labeled and validation images.
        predict: plain MMDetection config of the predict stage, which names the unlabeled images.
        count: number of images to choose.
        most: largest number of unlabeled images to examine; these images are evenly spread over
            all unlabeled images.
        images: folder from which to choose images; None chooses from the config's unlabeled images.
        cold_start: whether to rank as if no image had a label. If ``images`` is None, the labeled
            images can then be chosen, too.
        predictions: folder of the prediction store with a model's predictions on the unlabeled
            images; None ranks without a model.

    Returns:
        The labeled images, the examined unlabeled images, and the chosen images.

    Raises:
        StageError: there is no unlabeled or no labeled image, there are fewer unlabeled images than
            ``count``, the backbone starts from random weights, or ``predictions`` are given for a
            cold start without ``images``.
        ValueError: the prediction store lacks an examined image.
        FileNotFoundError: the weights, the store or the folder is missing.
    """
    if cold_start and predictions and not images:
        raise StageError(
            "--cold-start also ranks the labeled images, but a run stores predictions on unlabeled "
            "images only; leave out --predictions or --cold-start, or name a folder of images "
            "(--images DIR)"
        )
    labeled = [] if images and cold_start else _paths(teacher.train_dataloader.dataset)
    if images:
        unlabeled, folder = [images / name for name in image_names(images)], images
    else:
        dataset = predict.test_dataloader.dataset
        unlabeled, folder = _paths(dataset), image_folder(next(leaves(dataset)))
    taken = [*labeled, *_validation_paths(teacher)]
    twins = {path for _, path in overlapping_images(taken, unlabeled)}
    unlabeled = [path for path in unlabeled if path not in twins]
    if cold_start:
        labeled, unlabeled = [], [*labeled, *unlabeled]
    elif not labeled:
        raise StageError(
            "there is no labeled image to compare with; correct labeled_json, or pass --cold-start "
            "if no image has a label"
        )
    unlabeled = distinct_images(unlabeled)
    if not unlabeled:
        raise StageError(
            "there is no unlabeled image to choose from: every image has a label already or "
            "is used for validation; name a folder with other images (--images DIR)"
        )
    examined = spread(unlabeled, most)
    _check_count(count, len(examined), len(unlabeled) > most)
    store = PredictionStore(predictions) if predictions else None
    if store is not None:
        # The store lists images that could not be read; these images need no predictions.
        left_out = set(store.left_out())
        check_predicted(store, [name for name in _names(examined, folder) if name not in left_out])
    features = pretrained_features(teacher)
    options = image_options(next(leaves(teacher.train_dataloader.dataset)))
    if features is None:
        raise StageError(
            "the config names no pretrained backbone weights (backbone.init_cfg or load_from), and "
            "random features cannot tell which images resemble each other; give pretrained weights "
            "(backbone_weights=FILE)"
        )
    labeled, of_labeled = features.of_files(labeled, options)
    examined, of_unlabeled = features.of_files(examined, options)
    _check_count(count, len(examined), len(unlabeled) > most)
    doubt = None if store is None else uncertainties(store, _names(examined, folder))
    picks = pick_images(of_labeled, of_unlabeled, count, doubt)
    return RankedImages(tuple(labeled), tuple(examined), tuple(picks), len(unlabeled), options)


def _check_count(count: int, examined: int, limited: bool) -> None:
    if count > examined:
        raise StageError(
            f"--count {count} exceeds the {examined} unlabeled images that can be examined; choose "
            "a lower count" + (" or a higher --limit" if limited else "")
        )


def _names(paths: Iterable[Path], folder: str | Path) -> list[str]:
    return [relative_name(path, folder) for path in paths]


def _paths(dataset: dict[str, object]) -> list[Path]:
    return [Path(path) for path in image_paths(dataset)]


def _validation_paths(teacher: Config) -> list[Path]:
    """Return the paths of the images on which the teacher is validated or tested.

    A data set with the same jsons as the training set is left out, because all images of this data
    set are labeled images.
    """
    trained = annotation_files(teacher.train_dataloader.dataset)
    loaders = [teacher.get(key) for key in ("val_dataloader", "test_dataloader")]
    sets = [loader.dataset for loader in loaders if loader]
    return [path for one in sets if annotation_files(one) != trained for path in _paths(one)]


def check_outputs(configs: Sequence[Config], paths: Iterable[Path]) -> None:
    """Refuse to write jsons over the annotations that a run reads.

    Args:
        configs: configs of stages, as ``stage_config`` returns them. Their data loaders and
            sections ``split`` name the annotation files.
        paths: the jsons to write.

    Raises:
        StageError: a json to write is an annotation file of a config.
    """
    files = {
        file
        for config in configs
        for key in ("train_dataloader", "val_dataloader", "test_dataloader")
        if config.get(key)
        for file in annotation_files(config[key].dataset)
    }
    files |= {Path(config.split.ann_file) for config in configs if config.get("split")}
    for path in paths:
        if path.exists() and any(file.exists() and file.samefile(path) for file in files):
            raise StageError(
                f"{path} would be overwritten, but the config reads annotations from this file; "
                "give another folder (--out DIR)"
            )


def split_ranked(
    teacher: Config, predict: Config, found: RankedImages, paths: tuple[Path, Path]
) -> list[str]:
    """Write a json with the labeled and the picked images, and a json with the other images.

    Copies of the picked images are also written to the first json. In a cold start, labeled images
    that are not picked are written to the second json. The annotations of an image come from the
    config's json that lists the image.

    Args:
        teacher: plain MMDetection config of the teacher, which names the labeled images.
        predict: plain MMDetection config of the predict stage, which names the unlabeled images.
        found: the result of :func:`rank_images`, which holds the picked images.
        paths: the two jsons to write: the first for the labeled and picked images, the second
            for the other images.

    Returns:
        File names of those picked images and copies that have no annotation. Such an image either
        shows no object or has not been annotated yet.

    Raises:
        StageError: the config does not have one labeled and one unlabeled json, these jsons have
            different image folders or do not fit together, or no picked image has an annotation.
    """
    sets = [
        leaf
        for dataset in (teacher.train_dataloader.dataset, predict.test_dataloader.dataset)
        for leaf in leaves(dataset)
    ]
    jsons = [path for leaf in sets for path in annotation_files(leaf)]
    folders = {os.path.abspath(image_folder(leaf)) for leaf in sets}
    if len(sets) != 2 or len(jsons) != 2 or len(folders) != 1:
        raise StageError(
            "the config must have one json with the labeled images and one json with the unlabeled "
            "images, both for the same image folder; change the config's data sets accordingly"
        )
    (folder,) = folders
    # A copy would contradict the labels of the picked image if it stayed unlabeled.
    copies = overlapping_images(found.paths, [path for leaf in sets for path in _paths(leaf)])
    names = _names((path for _, path in copies), folder)
    annotated = {name for path in jsons for name in _annotated(path)}
    bare = [name for name in names if name not in annotated]
    if len(bare) == len(names):
        raise StageError(
            f"{jsons[1]} has no annotations of the chosen images, so these images would have no "
            "labels in the new labeled json; annotate them first"
        )
    if found.labeled:
        names += [image["file_name"] for image in read_images(jsons[0])]
    try:
        write_chosen_split(jsons, names, paths)
    except ValueError as error:
        raise StageError(str(error)) from error
    return bare


def _annotated(path: Path) -> set[str]:
    """Return the file names of the images that have an annotation in a json."""
    content = read_coco(path, ("images",), consistent=False)
    ids = {annotation.get("image_id") for annotation in content.get("annotations") or ()}
    return {image["file_name"] for image in content["images"] if image["id"] in ids}
