"""Check configs and data before any stage starts."""

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
    """Return the annotation files of a data set config, including those of wrapped data sets."""
    return [
        Path(leaf.get("data_root") or "") / leaf["ann_file"]
        for leaf in leaves(dataset)
        if leaf.get("ann_file")
    ]


def check_data(configs: dict[str, Config], made: Collection[Path]) -> None:
    """Refuse configs whose annotation files or image folders are missing.

    Args:
        configs: plain config of each stage.
        made: files that stages create, which may still be missing.

    Raises:
        FileNotFoundError: an annotation file or an image folder is missing.
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
            f"missing data: {'; '.join(absent[:3])}. Correct data_root or the paths in the config "
            "(--cfg-options data_root=DIR)"
        )


def check_labeled(label: dict[str, Any]) -> None:
    """Refuse classes and thresholds with which the label stage would fail after hours of training.

    Raises:
        StageError: the classes or their order differ from those of the labeled json, or a threshold
            is not a number.
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
    """Refuse unlabeled images that are also labeled: their labels would contradict each other.

    Args:
        teacher: plain config of the teacher, which names the labeled images.
        predict: plain config of the predict stage, which names the unlabeled images.

    Raises:
        StageError: some images are in both sets, as the same file or as copies.
    """
    labeled, unlabeled = teacher.train_dataloader.dataset, predict.test_dataloader.dataset
    pairs = overlapping_images(_image_paths(labeled), _image_paths(unlabeled))
    if pairs:
        first = "; ".join(
            str(twin) if twin == path else f"{twin} = {path}" for twin, path in pairs[:5]
        )
        raise StageError(
            f"{len(pairs)} unlabeled images are also labeled: {first}"
            f"{'; ...' if len(pairs) > 5 else ''}. Remove them from the unlabeled set, or accept "
            "them with --cfg-options allow_overlap=True"
        )


def _image_paths(dataset: dict[str, Any]) -> Iterator[str]:
    for leaf in leaves(dataset):
        if leaf.get("ann_file") and not all(map(Path.exists, annotation_files(leaf))):
            continue
        images = DATASETS.build({**leaf, "pipeline": [], "filter_cfg": None, "test_mode": True})
        for index in range(len(images)):
            yield images.get_data_info(index)["img_path"]


def check_batches(stage: str, plain: Config) -> None:
    """Refuse a batch without images of one source: MMDetection's sampler would never return.

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
        for leaf in leaves(dataset)
        for folder in (leaf.get("data_prefix") or {}).values()
    ]
    return annotation_files(dataset) + folders


def leaves(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the data sets inside concatenations and repetitions."""
    inner = [dataset.get("dataset"), *(dataset.get("datasets") or ())]
    if not any(inner):
        yield dataset
    for wrapped in filter(None, inner):
        yield from leaves(wrapped)
