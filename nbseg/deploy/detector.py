"""Load a trained detector from its config and checkpoint."""

import copy
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from nbseg.checkpoint import load_strictly, read_checkpoint
from nbseg.config.reading import import_custom_modules
from nbseg.registry import MODELS


def load_detector(config: Config, checkpoint: str | Path) -> Any:
    """Return the detector of a config with the weights of a checkpoint.

    The detector is on the CPU and in evaluation mode.

    Args:
        config: MMDetection config of the detector.
        checkpoint: ``.pth`` file with the detector's weights.

    Raises:
        FileNotFoundError: the checkpoint is missing.
        ValueError: the weights do not fit the detector.
    """
    detector = build_detector(config)
    load_strictly(detector, checkpoint)
    return detector.eval()


def build_detector(config: Config) -> Any:
    """Return the detector that an MMDetection config describes, with random weights."""
    import_custom_modules(config)
    init_default_scope(config.get("default_scope", "mmdet"))
    model = copy.deepcopy(config.model)
    model.setdefault("data_preprocessor", config.get("data_preprocessor"))
    return MODELS.build(model)


def class_names(config: Config, checkpoint: str | Path, detector: Any) -> tuple[str, ...]:
    """Return the class names from the config or, if the config has none, from the checkpoint.

    Raises:
        ValueError: there are no class names, or their number is not the detector's number of
            classes.
    """
    dataset = config.test_dataloader.dataset
    classes, source = (dataset.get("metainfo") or {}).get("classes"), "the config"
    if classes is None:
        source = str(checkpoint)
        meta = read_checkpoint(checkpoint).get("meta", {})
        classes = (meta.get("dataset_meta") or {}).get("classes")
    head = detector.roi_head.bbox_head
    number = (head[-1] if isinstance(head, nn.ModuleList) else head).num_classes
    if classes is None or len(classes) != number:
        found = f"none in the config and none in {checkpoint}"
        if classes is not None:
            found = f"{len(classes)} in {source}"
        raise ValueError(
            f"expected one class name for each of the model's {number} classes, found {found}; "
            "list the names of all classes in test_dataloader.dataset.metainfo.classes"
        )
    return tuple(classes)
