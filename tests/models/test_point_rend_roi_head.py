"""PointRend for our masks against MMDetection's own PointRend."""

import copy

import pytest
import torch
from comparison_models import POINT_REND
from mmcv.ops import point_sample

from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks
from nbseg.models.point_rend_roi_head import sample_masks

pytestmark = pytest.mark.usefixtures("one_thread")


def make_pair(make_detector):
    """The same weights in MMDetection's model and in ours."""
    config = copy.deepcopy(POINT_REND)
    config["mask_head"]["type"] = "CoarseMaskHead"
    config["roi_head"]["type"] = "PointRendRoIHead"
    config["roi_head"]["point_head"]["type"] = "MaskPointHead"
    theirs = make_detector("mask-rcnn_r50_fpn", **config)
    ours = make_detector("mask-rcnn_r50_fpn", **copy.deepcopy(POINT_REND))
    # The points differ only where logits do.
    for parameter in theirs.roi_head.point_head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def test_losses_are_mmdetections(make_detector, batch):
    theirs, ours = make_pair(make_detector)
    losses = []
    for detector, cropped in ((theirs, False), (ours, True)):
        data = detector.train().data_preprocessor(copy.deepcopy(batch), training=True)
        for sample in data["data_samples"]:
            if cropped:
                masks = CroppedBitmapMasks.from_instance_masks(sample.gt_instances.masks)
                sample.gt_instances.masks = masks
        torch.manual_seed(0)
        losses.append(detector(**data, mode="loss"))
    for name in ("loss_mask", "loss_point"):
        torch.testing.assert_close(losses[1][name], losses[0][name], rtol=1e-5, atol=0)


@pytest.mark.parametrize("points", [40, 196, 2000])
def test_predictions_are_mmdetections(make_detector, batch, points):
    theirs, ours = make_pair(make_detector)
    results = []
    for detector in (theirs, ours):
        detector.eval().roi_head.test_cfg.subdivision_num_points = points
        with torch.no_grad():
            results.append(detector.test_step(copy.deepcopy(batch)))
    for expected, found in zip(*results, strict=True):
        assert len(found.pred_instances) > 3
        assert torch.equal(found.pred_instances.bboxes, expected.pred_instances.bboxes)
        assert 0.05 < expected.pred_instances.masks.float().mean() < 0.95
        differing = found.pred_instances.masks != expected.pred_instances.masks
        assert differing.float().mean() < 1e-4


def test_masks_at_points_are_those_of_grid_sample():
    generator = torch.Generator().manual_seed(0)
    bitmaps = (torch.rand(3, 20, 30, generator=generator) > 0.5).to(torch.uint8)
    inds = torch.tensor([2, 0, 1, 2])
    points = torch.rand(4, 50, 2, generator=generator) * torch.tensor([34.0, 24.0]) - 2
    points[0, :4] = torch.tensor([[0.0, 0], [30, 20], [0.5, 0.5], [29.5, 19.5]])
    expected = point_sample(bitmaps[inds][:, None].float(), points / torch.tensor([30.0, 20.0]))
    found = sample_masks(bitmaps, inds, points)
    torch.testing.assert_close(found, expected[:, 0], atol=1e-5, rtol=0)
    assert sample_masks(bitmaps[:0], inds[:0], points[:0]).shape == (0, 50)
