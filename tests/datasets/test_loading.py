"""Cropped masks go through MMDetection's data pipeline as its own bitmaps do."""

import copy

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmdet.registry import TRANSFORMS
from mmengine.registry import init_default_scope
from pycocotools import mask as mask_utils

import nbseg.datasets.loading
import nbseg.datasets.random_transpose  # noqa: F401  registers the transform
from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks

HEIGHT, WIDTH = 60, 90
MEAN_BGR = (104, 116, 124)
# Fits an image into 0.5 to 2 times (60, 60) pixels, whatever its own size.
SCALE_JITTER = {
    "type": "RandomResize",
    **{"scale": (60, 60), "ratio_range": (0.5, 2.0), "keep_ratio": True},
}
# Multiplies an image's own size.
RELATIVE_JITTER = {
    "type": "RandomChoice",
    "transforms": [[{"type": "Resize", "scale_factor": s, "keep_ratio": True}] for s in (0.5, 1.5)],
}
RANDOM_CROP = {"type": "RandomCrop", "crop_size": (40, 50), "recompute_bbox": True}
FILTER = {"type": "FilterAnnotations", "min_gt_bbox_wh": (2, 2), "by_mask": True}
PAD_WITH_THE_MEAN = {"type": "Pad", "size": (40, 50), "pad_val": {"img": MEAN_BGR, "masks": 0}}


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


def packed(load, transforms, record, seed=3):
    steps = [{"type": load, "with_bbox": True, "with_mask": True}, *transforms]
    steps.append({"type": "PackDetInputs", "meta_keys": ()})
    init_default_scope("mmdet")  # RandomResize would make MMCV's Resize, without masks
    np.random.seed(seed)
    pipeline = Compose([TRANSFORMS.build(step) for step in steps])
    return pipeline(copy.deepcopy(record))


def sample(load, transforms, record):
    return packed(load, transforms, record)["data_samples"]


@pytest.mark.parametrize(
    "transforms",
    [
        [],
        [{"type": "Resize", "scale": (200, 133), "keep_ratio": True}],
        [{"type": "Resize", "scale": (70, 133), "keep_ratio": False}],
        [{"type": "RandomFlip", "prob": 1.0, "direction": d} for d in ("horizontal", "diagonal")],
        [RANDOM_CROP, FILTER, {"type": "Pad", "size_divisor": 32}],
        [SCALE_JITTER, RANDOM_CROP, FILTER, PAD_WITH_THE_MEAN],
        [RELATIVE_JITTER, RANDOM_CROP, FILTER, {"type": "RandomTranspose", "prob": 1}],
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


def test_scale_jitter_pads_what_is_smaller_than_the_crop(record):
    """The pad has the mean color, so that it is 0 for the network, and is background."""
    transforms = [SCALE_JITTER, RANDOM_CROP, FILTER, PAD_WITH_THE_MEAN]
    widths = set()
    for seed in range(12):
        output = packed("LoadCroppedAnnotations", transforms, record, seed)
        assert output["inputs"].shape == (3, 50, 40)
        pixels = output["inputs"].numpy().transpose(1, 2, 0)
        masks = output["data_samples"].gt_instances.masks
        assert (masks.height, masks.width) == (50, 40)
        padded = (pixels == MEAN_BGR).all(axis=2)
        width = int((~padded.all(axis=0)).sum())
        height = int((~padded.all(axis=1)).sum())
        # The image of 90 x 60 pixels keeps its shape.
        assert width == 40 or abs(height - width / 1.5) <= 1
        assert padded[height:].all() and padded[:, width:].all()
        assert not masks.masks[:, height:].any() and not masks.masks[:, :, width:].any()
        widths.add(width)
    assert min(widths) < 40 == max(widths)


def test_an_image_without_instances(record):
    record["instances"] = []
    masks = sample("LoadCroppedAnnotations", [{"type": "RandomFlip", "prob": 1.0}], record)
    assert masks.gt_instances.masks.masks.shape == (0, HEIGHT, WIDTH)


def test_polygons_cannot_be_kept():
    with pytest.raises(ValueError, match="poly2mask must be True"):
        TRANSFORMS.build({"type": "LoadCroppedAnnotations", "poly2mask": False})
