"""Cropped masks go through MMDetection's data pipeline as its own bitmaps do."""

import copy

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmdet.registry import TRANSFORMS
from pycocotools import mask as mask_utils

import nbseg.datasets.loading  # noqa: F401  registers the transform
from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks

HEIGHT, WIDTH = 60, 90


def uncompressed(bitmap):
    pixels = bitmap.ravel(order="F")
    changes = np.flatnonzero(np.diff(pixels, prepend=0))
    counts = np.diff(changes, prepend=0, append=pixels.size).tolist()
    return {"size": list(bitmap.shape), "counts": counts}


@pytest.fixture
def record():
    """An image with polygons in one and in two parts, run lengths of both kinds, and bad ones."""
    bitmap = np.zeros((HEIGHT, WIDTH), np.uint8)
    bitmap[20:50, 40:80] = np.tri(30, 40, 10, dtype=np.uint8)
    compressed = mask_utils.encode(np.asfortranarray(bitmap))
    segmentations = [
        [[5.5, 4.0, 40.2, 8.0, 30.0, 41.0]],
        [[50.0, 3.0, 70.0, 3.0, 70.0, 20.0], [60.0, 30.0, 95.0, 30.0, 95.0, 70.0, 60.0, 70.0]],
        {**compressed, "counts": compressed["counts"].decode()},
        uncompressed(bitmap[::-1]),
        [[1.0, 2.0, 3.0, 4.0]],  # no polygon: ignored
        {"size": [HEIGHT, WIDTH]},  # no counts: ignored
    ]
    boxes = [[5, 4, 40, 41], [50, 3, 90, 60], [40, 20, 80, 50], [40, 10, 80, 40]] + [
        [1, 2, 9, 9]
    ] * 2
    return {
        "img": np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8),
        "img_id": 0,
        "img_path": "",
        "img_shape": (HEIGHT, WIDTH),
        "ori_shape": (HEIGHT, WIDTH),
        "height": HEIGHT,
        "width": WIDTH,
        "instances": [
            {"bbox": [float(v) for v in box], "bbox_label": i, "mask": mask, "ignore_flag": 0}
            for i, (box, mask) in enumerate(zip(boxes, segmentations, strict=True))
        ],
    }


def sample(load, transforms, record):
    steps = [{"type": load, "with_bbox": True, "with_mask": True}, *transforms]
    steps.append({"type": "PackDetInputs", "meta_keys": ()})
    np.random.seed(3)
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    return pipeline(copy.deepcopy(record))["data_samples"]


@pytest.mark.parametrize(
    "transforms",
    [
        [],
        [{"type": "Resize", "scale": (200, 133), "keep_ratio": True}],
        [{"type": "Resize", "scale": (70, 133), "keep_ratio": False}],
        [{"type": "RandomFlip", "prob": 1.0, "direction": d} for d in ("horizontal", "diagonal")],
        [
            {"type": "RandomCrop", "crop_size": (40, 50), "recompute_bbox": True},
            {"type": "FilterAnnotations", "min_gt_bbox_wh": (2, 2), "by_mask": True},
            {"type": "Pad", "size_divisor": 32},
        ],
        [{"type": "Expand", "prob": 1.0}, {"type": "MinIoURandomCrop"}],
        [{"type": "Rotate", "prob": 1.0}, {"type": "ShearX", "prob": 1.0}],
        [{"type": "TranslateY", "prob": 1.0}],
    ],
    ids=lambda transforms: "-".join(step["type"] for step in transforms) or "load alone",
)
def test_masks_equal_those_of_load_annotations(record, transforms):
    ours = sample("LoadCroppedAnnotations", transforms, record)
    theirs = sample("LoadAnnotations", transforms, record)
    assert isinstance(ours.gt_instances.masks, CroppedBitmapMasks)
    assert len(theirs.gt_instances) > 0
    for mine, reference in (
        (ours.gt_instances, theirs.gt_instances),
        (ours.ignored_instances, theirs.ignored_instances),
    ):
        np.testing.assert_array_equal(mine.masks.masks, reference.masks.masks)
        np.testing.assert_array_equal(mine.bboxes.numpy(), reference.bboxes.numpy())
        np.testing.assert_array_equal(mine.labels, reference.labels)


def test_an_image_without_instances(record):
    record["instances"] = []
    masks = sample("LoadCroppedAnnotations", [{"type": "RandomFlip", "prob": 1.0}], record)
    assert masks.gt_instances.masks.masks.shape == (0, HEIGHT, WIDTH)


def test_polygons_cannot_be_kept():
    with pytest.raises(ValueError, match="poly2mask must be True"):
        TRANSFORMS.build({"type": "LoadCroppedAnnotations", "poly2mask": False})
