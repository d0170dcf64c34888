"""Refuse keys of a config that have no effect, and values of a wrong type or range."""

import logging
from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from inspect import signature
from typing import Any

from mmdet.registry import MODEL_WRAPPERS
from mmengine.config import Config
from torch.nn.parallel import DistributedDataParallel

from nbseg.config.names import names_in
from nbseg.config.online import ONLINE_KEYS, published_part
from nbseg.config.plain_config import RUNNER_KEYS
from nbseg.config.reading import import_custom_modules
from nbseg.config.sections import FILES
from nbseg.datasets.splits import write_split
from nbseg.pseudo.labels import make_pseudo_labels
from nbseg.pseudo.thresholds import MATCHED

# Sections that override keys of the config.
OVERRIDING = ("student", "online", "teacher", "control", "predict", "oracle")
# Sections with the settings of one step, and their keys.
SETTINGS = {
    "label": {*signature(make_pseudo_labels).parameters, "ann_file"} - {"store", "out"},
    "split": set(signature(write_split).parameters) - {"out_dir"},
    "report": {"hidden_truth", "image_folder", "kind_key", "to_visualizer"},
}


def check_config(config: Config, settings: Config) -> None:
    """Refuse a config with unknown keys in its sections, or wrong classes, thresholds or runner.

    The sections ``label``, ``split`` and ``report`` may only have their own settings as keys. In
    the other sections, an unknown key is refused if it resembles a known key.

    Args:
        config: the user's config.
        settings: the config of the stage ``label``, as ``stage_config`` returns it.

    Raises:
        ValueError: a key is unknown, ``classes`` is not a list of distinct names, a threshold is
            neither a number from 0 to 1 nor a word that is allowed for it, such as "match", or the
            config sets a runner or a model wrapper with which the stages cannot train.
    """
    content = config.to_dict()
    classes = content.get("classes", [])
    if isinstance(classes, str):
        raise ValueError(
            f"classes must be a list of names, found the string {classes!r}; for a single class, "
            f"write classes=[{classes!r}]"
        )
    for name, count in Counter(map(str, classes)).items():
        if count > 1:
            raise ValueError(
                f"classes must be distinct names, but {name!r} occurs {count} times; keep it once"
            )
    for section, allowed in SETTINGS.items():
        unknown = sorted(set(content.get(section) or {}) - allowed)
        if unknown:
            raise ValueError(
                f"the section {section} has the unknown key {unknown[0]!r}; possible keys are "
                f"{', '.join(sorted(allowed))}"
            )
    sections = [content, *(content.get(name) or {} for name in OVERRIDING)]
    if any(section.get("model_wrapper_cfg") for section in sections):
        import_custom_modules(config)  # they may register the wrapper
    for section in sections:
        _check_runner(section)
    known = {*content, *RUNNER_KEYS, *ONLINE_KEYS, *FILES, *names_in(content)}
    for section in OVERRIDING:
        for key in content.get(section) or {}:
            close = get_close_matches(key, known, 1, 0.85) if key not in known else []
            if close:
                raise ValueError(
                    f"the section {section} has the unknown key {key!r}; did you mean {close[0]!r}?"
                )
    _check_label(settings.get("label") or {})


def check_stage(stage: str, plain: Config) -> None:
    """Refuse config values with which a stage would fail or never end.

    The checked values are training lengths, intervals, batch sizes, worker counts, the seed and the
    log level.

    Args:
        stage: name of the stage, for messages.
        plain: plain MMDetection config of the stage.

    Raises:
        ValueError: a value has a wrong type or is out of range (the message names its key), a
            loader has no data set, or a batch would lack labeled or pseudo-labeled images.
    """
    schedule, hooks = plain.get("train_cfg") or {}, plain.get("default_hooks") or {}
    values = {f"train_cfg.{k}": (schedule.get(k, 1), 1) for k in ("max_iters", "val_interval")}
    for name in ("checkpoint", "logger"):
        # With a negative interval, MMEngine's hooks do nothing at regular intervals.
        interval = (hooks.get(name) or {}).get("interval", 1)
        values[f"default_hooks.{name}.interval"] = (interval, -1)
    for loader in filter(plain.get, ("train_dataloader", "val_dataloader", "test_dataloader")):
        if not isinstance(plain[loader].get("dataset"), Mapping):
            raise ValueError(f"stage {stage}: {loader} has no dataset; set {loader}.dataset")
        for key, default, least in (("batch_size", 1, 1), ("num_workers", 0, 0)):
            values[f"{loader}.{key}"] = (plain[loader].get(key, default), least)
    for key, (value, least) in values.items():
        if type(value) is not int or value < least:
            source = "iterations" if key.endswith("max_iters") else key.split(".")[-1]
            raise ValueError(
                f"stage {stage}: {key} must be a whole number of at least {least}, found "
                f"{value!r}; correct {key}, or the top-level key {source} if {key} gets its value "
                "from there"
            )
    level = plain.get("log_level") or "INFO"
    if isinstance(level, str) and not isinstance(logging.getLevelName(level), int):
        raise ValueError(
            f"log_level must be a level of Python's logging, such as 'INFO'; found {level!r}"
        )
    seed = (plain.get("randomness") or {}).get("seed")
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**32):
        raise ValueError(
            f"stage {stage}: randomness.seed must be a whole number from 0 to 2**32 - 1, found "
            f"{seed!r}; correct the key seed"
        )
    check_batches(stage, plain)


def check_batches(stage: str, plain: Config) -> None:
    """Refuse a batch size that is too small for a batch to have images of each data set.

    One data set has the labeled images, the other the pseudo-labeled or unlabeled images. With too
    small a batch size, MMDetection's sampler never returns.

    Raises:
        ValueError: the batch size is too small for the sampler's ``source_ratio``; this ratio is
            not a list with a positive number for each data set; or the sampler has no
            ``source_ratio``, but the model needs labeled and unlabeled images in each batch.
    """
    sampler = (plain.get("train_dataloader") or {}).get("sampler") or {}
    ratio = sampler.get("source_ratio")
    if not ratio:
        if published_part(plain.get("model") or {}):
            raise ValueError(
                f"stage {stage}: each batch needs labeled and unlabeled images, but the sampler "
                f"{sampler.get('type')} has no source_ratio; set train_dataloader.sampler to "
                "dict(type='ResumableMultiSourceSampler', batch_size='{batch_size}', "
                "source_ratio=[1, 3]) for one labeled image with every three unlabeled images"
            )
        return
    sets = (plain.train_dataloader.get("dataset") or {}).get("datasets")
    numbers = isinstance(ratio, list) and all(isinstance(part, (int, float)) for part in ratio)
    if not numbers or min(ratio) <= 0 or sets and len(ratio) != len(sets):
        raise ValueError(
            f"stage {stage}: source_ratio must be a list with a positive number for each data set; "
            f"found {ratio!r}"
        )
    size = sampler["batch_size"]
    counts = [int(size * part / sum(ratio)) for part in ratio]
    counts[0] = size - sum(counts[1:])
    if min(counts) < 1:
        raise ValueError(
            f"stage {stage}: with batch_size {size} and source_ratio {ratio}, a batch would have "
            f"{counts} images of the data sets in train_dataloader; raise batch_size until each "
            "number is at least 1"
        )


def _check_runner(keys: Mapping[str, Any]) -> None:
    """Refuse runners and wrappers that do not keep a whole copy of the model in each process."""
    advice = "the stages train with MMEngine's Runner and DistributedDataParallel; remove this key"
    if "strategy" in keys or keys.get("runner_type", "Runner") != "Runner":
        key = "strategy" if "strategy" in keys else "runner_type"
        raise ValueError(
            f"the config has {key} = {keys[key]!r}, which selects another runner, such as "
            f"MMEngine's FlexibleRunner, but {advice}"
        )
    wrapper = (keys.get("model_wrapper_cfg") or {}).get("type")
    if wrapper is None:
        return
    found = MODEL_WRAPPERS.get(wrapper) if isinstance(wrapper, str) else wrapper
    if not (isinstance(found, type) and issubclass(found, DistributedDataParallel)):
        raise ValueError(f"model_wrapper_cfg has the type {wrapper!r}, but {advice}")


def _check_label(label: Mapping[str, Any]) -> None:
    boxes = label.get("box_threshold", "match")
    scores = boxes.values() if isinstance(boxes, Mapping) else [boxes]
    values: list[tuple[str, Any]] = [("box_threshold", score) for score in scores]
    values += [
        ("floor", label.get("floor", 0.1)),
        ("pixel_threshold", label.get("pixel_threshold", "match")),
        ("mask_nms_iou", label.get("mask_nms_iou")),
    ]
    other: dict[str, tuple[Any, ...]] = {
        "box_threshold": MATCHED,
        "pixel_threshold": ("match",),
        "mask_nms_iou": (None,),
    }
    for key, value in values:
        if value in other.get(key, ()):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            alternative = "".join(f" or {name!r}" for name in other.get(key, ()))
            raise ValueError(
                f"label.{key} must be a number from 0 to 1{alternative}; found {value!r}"
            )
