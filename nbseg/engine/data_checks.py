"""Checks of configs and data that run before any stage starts."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from nbseg.coco import category_ids, load_coco
from nbseg.datasets.overlap import overlapping_images
from nbseg.errors import StageError
from nbseg.pseudo.thresholds import fixed_box_thresholds
from nbseg.registry import DATASETS


def annotation_files(dataset: dict[str, Any]) -> list[Path]:
    """Return the annotation files of a data set config, wrapped data sets included."""
    return [
        Path(leaf.get("data_root") or "") / leaf["ann_file"]
        for leaf in _leaves(dataset)
        if leaf.get("ann_file")
    ]


def check_data(configs: dict[str, Config], made: Collection[Path]) -> None:
    """Refuse data that is not there.

    Args:
        configs: the plain config of each stage.
        made: files that stages make, which may still be absent.

    Raises:
        FileNotFoundError: an annotation file or an image folder is absent.
    """
    absent = [
        f"{path} ({key} of stage {stage})"
        for stage, plain in configs.items()
        for key in ("train_dataloader", "test_dataloader")
        for path in _data_paths((plain.get(key) or {}).get("dataset") or {})
        if path not in made and not path.exists()
    ]
    if absent:
        raise FileNotFoundError(
            f"data that the config names is not there: {'; '.join(absent[:3])}; correct data_root "
            "or the paths (--cfg-options data_root=DIR)"
        )


def check_labeled(label: dict[str, Any]) -> None:
    """Refuse what would fail after a teacher has been trained: classes, fixed thresholds.

    Raises:
        StageError: the classes' names or their order are not the labeled json's, or a threshold is
            no number.
    """
    path = Path(label["labeled_json"])
    pixel = label.get("pixel_threshold", "match")
    try:
        fixed_box_thresholds(label.get("box_threshold", "match"), label["classes"])
        if pixel != "match" and not isinstance(pixel, (int, float)):
            raise ValueError(f'label.pixel_threshold must be "match" or a number, found {pixel!r}')
        if path.exists():
            category_ids(load_coco(path), label["classes"], path)
    except ValueError as error:
        raise StageError(str(error)) from error


def check_overlap(teacher: Config, predict: Config) -> None:
    """Refuse unlabeled images that are labeled: their pseudo-labels would contradict the labels.

    Args:
        teacher: plain config of the teacher, which trains on the labeled images.
        predict: plain config of the predict stage.

    Raises:
        StageError: some images are in both, by file or by content.
    """
    labeled, unlabeled = teacher.train_dataloader.dataset, predict.test_dataloader.dataset
    pairs = overlapping_images(_image_paths(labeled), _image_paths(unlabeled))
    if pairs:
        first = "; ".join(
            str(twin) if twin == path else f"{twin} = {path}" for twin, path in pairs[:5]
        )
        raise StageError(
            f"{len(pairs)} unlabeled images are labeled ones: {first}"
            f"{'; ...' if len(pairs) > 5 else ''}. Leave them out of the unlabeled set, or accept "
            "them with --cfg-options allow_overlap=True"
        )


def check_checkpoint(path: Path) -> None:
    """Refuse a teacher of the user's that is not there.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no teacher.checkpoint {path}; correct the path")


def _image_paths(dataset: dict[str, Any]) -> Iterator[str]:
    for leaf in _leaves(dataset):
        if leaf.get("ann_file") and not all(map(Path.exists, annotation_files(leaf))):
            continue
        images = DATASETS.build({**leaf, "pipeline": [], "filter_cfg": None, "test_mode": True})
        for index in range(len(images)):
            yield images.get_data_info(index)["img_path"]


def check_batches(stage: str, plain: Config) -> None:
    """Refuse a batch in which a source has no image: MMDetection's sampler would wait for ever.

    Raises:
        ValueError: the batch size is too small for the sampler's ``source_ratio``.
    """
    sampler = (plain.get("train_dataloader") or {}).get("sampler") or {}
    ratio = sampler.get("source_ratio")
    if not ratio:
        return
    size = sampler["batch_size"]
    counts = [int(size * part / sum(ratio)) for part in ratio]
    counts[0] = size - sum(counts[1:])
    if min(counts) < 1:
        raise ValueError(
            f"stage {stage}: a batch of {size} at source_ratio {list(ratio)} would hold {counts} "
            "labeled and pseudo-labeled images; raise batch_size until each is at least 1"
        )


def _data_paths(dataset: dict[str, Any]) -> list[Path]:
    folders = [
        Path(leaf.get("data_root") or "") / folder
        for leaf in _leaves(dataset)
        for folder in (leaf.get("data_prefix") or {}).values()
    ]
    return annotation_files(dataset) + folders


def _leaves(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the data sets inside concatenations and repetitions."""
    inner = [dataset.get("dataset"), *(dataset.get("datasets") or ())]
    if not any(inner):
        yield dataset
    for wrapped in filter(None, inner):
        yield from _leaves(wrapped)
