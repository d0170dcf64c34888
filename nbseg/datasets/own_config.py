"""Write a config for a user's own images, with settings measured on the labeled images."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from pprint import pformat
from textwrap import wrap
from typing import Any

import numpy as np

from nbseg.coco import write_coco
from nbseg.config.names import names_in
from nbseg.datasets.fingerprint import (
    CROP,
    DEFAULT_ANCHORS,
    FEW_IMAGES,
    OBJECT_SIZES,
    Fingerprint,
    Settings,
    choose_settings,
    measure,
)
from nbseg.datasets.own_data import ImageSets, OwnData, find_sets, image_samples, read_labeled
from nbseg.datasets.value_range import ValueRange, measure_channels, measure_value_range
from nbseg.files import refuse_existing, replacing
from nbseg.image_options import ImageOptions

# If the side of an image has at least this number of pixels, its prediction needs gigabytes of
# memory.
LARGE = 4000
# If fewer crops than this share contain an object, the training discards most images it loads.
FEW_HITS = 0.1
# Number of labeled images, and of unlabeled images, whose values are measured.
VALUE_IMAGES = 50
# Part of a config: a comment, and keys with their values.
Part = tuple[str, dict[str, Any]]


def write_own_config(
    data: OwnData,
    out: Path,
    base: Path,
    *,
    upright: bool = True,
    backbone_weights: Path | None = None,
    cores: int = 1,
    force: bool = False,
) -> list[str]:
    """Check a user's data, measure the labeled images, and write a config for the data.

    The config has absolute paths, so it can be used from any folder. Only ``_base_`` is relative if
    the config lies in the same copy of the repository as ``base``.

    Jsons that the config needs are written next to the config. If labeled images are set aside for
    validation, one json lists these images, and another json lists the other labeled images. The
    folder of the unlabeled images may also contain labeled images, validation images or label
    images (masks whose pixels are object numbers). Then a json lists only the unlabeled images.

    Args:
        data: the paths of the user's files, and how to read the images.
        out: the config to write.
        base: the existing config that becomes ``_base_`` of the new config.
        upright: whether the images have an upright position, as photographs have. If False, the
            training also rotates the images.
        backbone_weights: weights of the backbone; None to let MMEngine download them.
        cores: number of CPU cores, from which the number of loading processes follows.
        force: whether to replace files that exist; files of the user's data are never replaced.

    Returns:
        Lines for the user: warnings and notes about the data, the comments of the config, and the
        files that were written.

    Raises:
        FileNotFoundError: a file or a folder does not exist.
        FileExistsError: a file to write exists, and ``force`` is False.
        ValueError: ``out`` does not end in .py, the data cannot be used for a training, or a file
            to write is one of the user's files.
    """
    if out.suffix != ".py":
        raise ValueError(f"the config {out} must end in .py; choose another name")
    values = None
    if data.image_options.value_range is None:
        samples = image_samples(data, VALUE_IMAGES)
        values = measure_value_range(samples, data.image_options)
    if values:
        options = replace(data.image_options, value_range=(values.low, values.high))
        data = replace(data, image_options=options)
    truth, warnings = read_labeled(data.labeled, data.images, data.image_options)
    try:
        found = measure(truth)
    except ValueError as error:
        raise ValueError(f"{data.labeled}: {error}") from error
    sets = find_sets(data, truth, list(found.objects), out)
    if backbone_weights:
        if not backbone_weights.is_file():
            raise FileNotFoundError(
                f"there is no file {backbone_weights}; correct --backbone-weights"
            )
        sets.keys["backbone_weights"] = backbone_weights
    paths = {k: os.path.abspath(v) for k, v in sets.keys.items() if isinstance(v, Path)}
    if names := names_in([paths, list(found.objects)]):
        raise ValueError(
            f"a path or the name of a class contains {{{min(names)}}}, but in a config, names in "
            "braces are replaced by values; rename the file, folder or class"
        )
    sets.keys |= paths
    inputs = [data.labeled, data.val, data.unlabeled, backbone_weights, base]
    for path in (out, *sets.jsons):
        exists = path.resolve().exists()
        # Never replace an input, not even with --force: the user's labels would be lost.
        if exists and any(file and file.samefile(path.resolve()) for file in inputs):
            raise ValueError(
                f"{path} would be replaced, but this command reads it; choose another --out"
            )
        refuse_existing([path], force)
    parts = list(_parts(found, sets, choose_settings(found, sets.labeled, cores), upright))
    if changed := data.image_options.changed():
        parts.insert(1, (_values_comment(values), {"image_options": changed}))
    if data.image_options.channels != 3:
        parts.insert(2, _wide_model(image_samples(data, VALUE_IMAGES), data.image_options))
    head = (
        f"Written by `tools/prepare_data.py init` for {data.labeled.name}. Any key of the base can "
        "be set here, too (docs/configs.md).",
        {"_base_": _base(base, out)},
    )
    for path, content in sets.jsons.items():
        write_coco(path, content.items())
    with replacing(out) as temporary:
        temporary.write_text("\n".join(_text(*part) for part in (head, *parts)), encoding="utf-8")
    comments = [comment for comment, _ in parts]
    return warnings + sets.warnings + comments + [f"wrote {path}" for path in (*sets.jsons, out)]


def _values_comment(values: ValueRange | None) -> str:
    if values is None:
        return "Which part of an image file is read, and which values become black and white."
    return (
        f"Values: {values.deep} of {values.measured} measured images, labeled and unlabeled, have "
        f"more than 8 bits per channel. Of their values, 0.1% are below {values.low:g}, and 0.1% "
        f"above {values.high:g}; these two values become black and white in every image."
    )


def _wide_model(samples: Sequence[Path], options: ImageOptions) -> Part:
    mean, deviation = measure_channels(samples, options)
    return (
        f"Model: images with {options.channels} channels. The pretrained filters of the first "
        "convolution are averaged over red, green and blue, and this average is scaled and used "
        "for each channel. The preprocessor normalizes each channel with its measured mean and "
        "standard deviation.",
        {
            "model": {
                "data_preprocessor": {
                    "type": "WideDataPreprocessor",
                    "mean": mean,
                    "std": deviation,
                    "bgr_to_rgb": False,
                },
                "backbone": {
                    "type": "WideInput",
                    "narrow_type": "MobileNetV2",
                    "in_channels": options.channels,
                },
            }
        },
    )


def _base(base: Path, out: Path) -> str:
    """Return the path of ``base`` as the value of ``_base_`` in the config ``out``.

    If ``out`` lies in the repository that contains ``base``, the path is relative, so that the
    repository can be moved. Otherwise, the path is absolute.
    """
    base, target = base.resolve(), out.resolve().parent
    inside = target.is_relative_to(base.parents[2])
    return os.path.relpath(base, target) if inside else str(base)


def _text(comment: str, keys: dict[str, Any]) -> str:
    lines = wrap(comment, 100, initial_indent="# ", subsequent_indent="# ")
    lines += [f"{key} = {_value(value)}" for key, value in keys.items()]
    return "".join(f"{line}\n" for line in lines)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return f"dict({', '.join(f'{key}={_value(entry)}' for key, entry in value.items())})"
    # A list of many classes fills several lines.
    return pformat(value, width=90, compact=True)


def _parts(found: Fingerprint, sets: ImageSets, chosen: Settings, upright: bool) -> Iterator[Part]:
    smallest, median, largest = np.percentile(found.object_sizes, (10, 50, 90))
    by_area = sorted(found.image_sizes.tolist(), key=prod)
    (width, height), (wider, higher) = by_area[0], by_area[-1]
    classes = ", ".join(f"{count} {name}" for name, count in found.objects.items())
    left_out = "".join(
        f" Annotations left out: {n} {reason}." for reason, n in found.left_out.items()
    )
    yield (
        f"Measured: {len(found.counts)} images of {width} x {height} to {wider} x {higher} pixels. "
        f"{len(found.boxes)} objects ({classes}); {found.counts.min()} to {found.counts.max()} "
        f"per image, {found.counts.mean():.1f} on average. The size of an object is the square "
        f"root of its box's area: the median is {median:.0f} pixels; 10% are below "
        f"{smallest:.0f}, and 10% above {largest:.0f}.{left_out}",
        {"classes": list(found.objects), "num_classes": len(found.objects)},
    )
    yield sets.validation, sets.keys
    yield _image_size(found, chosen, largest)
    mean, half = chosen.anchor_coverage
    default_mean, default_half = chosen.default_coverage
    yield (
        f"Anchors: the objects have a mean IoU of {mean:.2f} with their best anchors; {half:.0%} "
        f"have at least 0.5. With the default scales {list(DEFAULT_ANCHORS)}, these numbers are "
        f"{default_mean:.2f} and {default_half:.0%}.",
        {"anchor_scales": chosen.anchor_scales},
    )
    if not upright:
        yield (
            "The images have no upright position: the training flips and rotates them in all eight "
            "ways that map a square onto itself; pseudo-labels come from four flips of each image.",
            {"random_flip": "{any_flip}", "transpose_prob": 0.5, "tta_flips": "{all_flips}"},
        )
    yield _detections(int(found.counts.max()), chosen.max_per_img)
    yield (
        f"Training on {sets.labeled} labeled images.",
        {
            "batch_size": chosen.batch_size,
            "num_workers": chosen.num_workers,
            "iterations": chosen.student_iterations,
            "teacher": {"iterations": chosen.teacher_iterations},
        },
    )
    if chosen.box_threshold != "match":
        yield (
            f"Pseudo-labels: boxes with a score of at least {chosen.box_threshold} are kept. The "
            "default 'match' needs the mean number of objects per image; fewer than "
            f"{FEW_IMAGES} labeled images are too few to estimate it.",
            {"label": {"box_threshold": chosen.box_threshold}},
        )


def _detections(objects: int, limit: int) -> Part:
    comment = (
        f"Detections: the model finds at most {limit} objects in an image. This is at least twice "
        f"the number of objects in the fullest labeled image ({objects})."
    )
    if 2 * objects > limit:
        comment = (
            f"Detections: the model finds at most {limit} objects in an image, the largest number "
            f"that init chooses. The fullest labeled image has {objects} objects."
        )
    if objects > limit:
        comment += (
            f" Warning: the model cannot find more than {limit} objects in an image; cut images "
            "with more objects into tiles (tools/prepare_data.py tile), or raise max_per_img."
        )
    return comment, {"max_per_img": limit}


def _image_size(found: Fingerprint, chosen: Settings, largest: float) -> Part:
    """Return ``(comment, keys)``: the keys that set how images are resized, and the reasons.

    Args:
        found: measurements of the labeled images.
        chosen: settings of the training.
        largest: object size in pixels that 90% of the objects do not exceed.
    """
    keys: dict[str, Any] = {"object_size": chosen.object_size}
    if chosen.crops:
        kept = chosen.image_scale == 1
        resized = "keep their sizes" if kept else f"are resized by the factor {chosen.image_scale}"
        comment = (
            f"Small objects: 90% are below {largest:.0f} pixels, which is less than half the side "
            f"of a crop. The model trains on crops of {CROP} x {CROP} pixels; images {resized}, "
            f"and the median object size is then {chosen.object_size} pixels."
        )
        side = found.image_sizes.max() * chosen.image_scale
        if side >= LARGE:
            comment += (
                f" Warning: a prediction of an image with a side of {side:.0f} pixels needs "
                "gigabytes of memory; cut such images into tiles (tools/prepare_data.py tile)."
            )
        if chosen.crop_hits < FEW_HITS:
            hits = max(chosen.crop_hits, 0.0001)
            comment += (
                f" Warning: only {hits:.2%} of the crops contain an object, and the training draws "
                "crops until one contains an object. The training therefore loads about "
                f"{1 / hits:.0f} images for each training sample, which is slow; cut the labeled "
                "and the unlabeled images into tiles (tools/prepare_data.py tile)."
            )
        return comment, keys | {"image_scale": chosen.image_scale}
    comment = (
        f"Large objects: 10% are above {largest:.0f} pixels, which is at least half the side of a "
        f"crop ({CROP} pixels). The model trains on whole images; their long sides become "
        f"{chosen.image_size} pixels, and the median object size is then {chosen.object_size} "
        "pixels."
    )
    if chosen.object_size < OBJECT_SIZES[0]:
        comment += " Warning: such small objects are hard to find; on a GPU, raise image_size."
    return comment, keys | {
        "image_size": chosen.image_size,
        "image_resize": "{fit}",
        "train_resize": "{fit_jitter}",
        "crop": "{no_crop}",
        "tta_scales": ["{image_resize}", "{larger_fit}"],
    }
