"""Predictions as run lengths against MMDetection's own bitmaps, encoded by pycocotools."""

import copy

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask

import nbseg.models.rle_mask_head  # noqa: F401  registers the head
from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks


def encoded(bitmaps):
    return [coco_mask.encode(np.asfortranarray(bitmap)) for bitmap in bitmaps.byte().numpy()]


def predict(detector, batch, mask_format, rescale=True):
    detector.roi_head.test_cfg.mask_format = mask_format
    data = detector.data_preprocessor(copy.deepcopy(batch), training=False)
    with torch.no_grad():
        return [
            sample.pred_instances
            for sample in detector.predict(data["inputs"], data["data_samples"], rescale=rescale)
        ]


@pytest.fixture
def scaled_batch(batch):
    """The images as if they had been made smaller, to 64 x 64 pixels, by other factors each way."""
    for sample in batch["data_samples"]:
        sample.set_metainfo({"scale_factor": (0.5, 0.4), "ori_shape": (160, 128)})
    return batch


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("class_agnostic", [True, False])
@pytest.mark.parametrize("head", ["NoiseTolerantMaskHead", "RLEMaskHead"])
def test_run_lengths_are_those_of_the_bitmaps(
    make_detector, scaled_batch, head, class_agnostic, rescale
):
    mask_head = {"type": head, "num_convs": 1, "class_agnostic": class_agnostic}
    detector = make_detector("mask-rcnn_r50_fpn", mask_head).eval()
    bitmaps = predict(detector, scaled_batch, "bitmap", rescale)
    run_lengths = predict(detector, scaled_batch, "rle", rescale)
    for as_bitmaps, as_run_lengths in zip(bitmaps, run_lengths, strict=True):
        assert len(as_bitmaps) > 0
        assert as_bitmaps.masks.shape[1:] == ((160, 128) if rescale else (64, 64))
        assert as_run_lengths.masks == encoded(as_bitmaps.masks)
        assert torch.equal(as_run_lengths.bboxes, as_bitmaps.bboxes)


def test_run_lengths_in_a_cascade(make_detector, scaled_batch):
    mask_head = {"type": "RLEMaskHead", "num_convs": 1}
    detector = make_detector("cascade-mask-rcnn_r50_fpn", mask_head).eval()
    bitmaps = predict(detector, scaled_batch, "bitmap")
    run_lengths = predict(detector, scaled_batch, "rle")
    for as_bitmaps, as_run_lengths in zip(bitmaps, run_lengths, strict=True):
        assert as_run_lengths.masks == encoded(as_bitmaps.masks)


def test_an_image_without_predictions(make_detector, batch):
    detector = make_detector("mask-rcnn_r50_fpn", {"type": "RLEMaskHead", "num_convs": 1}).eval()
    detector.roi_head.test_cfg.score_thr = 1.1
    assert [len(instances.masks) for instances in predict(detector, batch, "rle")] == [0, 0]


def test_another_format_is_refused(make_detector, batch):
    detector = make_detector("mask-rcnn_r50_fpn", {"type": "RLEMaskHead", "num_convs": 1}).eval()
    with pytest.raises(ValueError, match='mask_format must be "bitmap" or "rle", found \'png\''):
        predict(detector, batch, "png")


@pytest.mark.parametrize("cropped", [True, False])
def test_targets_are_those_of_the_plain_head(make_detector, batch, cropped):
    losses = []
    for head in ("RLEMaskHead", "FCNMaskHead"):
        detector = make_detector("mask-rcnn_r50_fpn", {"type": head, "num_convs": 1})
        data = detector.data_preprocessor(copy.deepcopy(batch), training=True)
        for sample in data["data_samples"]:
            if cropped:
                masks = CroppedBitmapMasks.from_instance_masks(sample.gt_instances.masks)
                sample.gt_instances.masks = masks
        torch.manual_seed(0)
        losses.append(detector.loss(data["inputs"], data["data_samples"])["loss_mask"])
    assert torch.equal(*losses)
