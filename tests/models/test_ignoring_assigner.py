"""Ignored boxes are no background, whether or not the image has an object."""

import pytest
import torch
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmengine.structures import InstanceData

from nbseg.models.ignoring_assigner import IgnoringMaxIoUAssigner

SETTINGS = {"pos_iou_thr": 0.5, "neg_iou_thr": 0.5, "min_pos_iou": 0.5, "ignore_iof_thr": 0.5}
PRIORS = InstanceData(
    priors=torch.tensor([[0.0, 0, 10, 10], [40, 40, 50, 50], [0, 12, 10, 32], [80, 80, 90, 90]])
)
OBJECT = InstanceData(bboxes=torch.tensor([[0.0, 0, 10, 10]]), labels=torch.tensor([3]))
# The third prior lies in the region with less than half of its area.
REGION = InstanceData(bboxes=torch.tensor([[38.0, 38, 52, 52], [0, 25, 10, 60]]))


@pytest.mark.parametrize(("objects", "first"), [(OBJECT, 1), (OBJECT[:0], 0)])
def test_ignored_boxes_are_no_background(objects, first):
    found = IgnoringMaxIoUAssigner(**SETTINGS).assign(PRIORS, objects, REGION)
    assert found.gt_inds.tolist() == [first, -1, 0, 0]


def test_mmdetections_assigner_has_the_fault():
    found = MaxIoUAssigner(**SETTINGS).assign(PRIORS, OBJECT[:0], REGION)
    assert found.gt_inds.tolist() == [0, 0, 0, 0]


def test_an_object_inside_a_region_keeps_its_boxes():
    everywhere = InstanceData(bboxes=torch.tensor([[0.0, 0, 60, 60]]))
    found = IgnoringMaxIoUAssigner(**SETTINGS).assign(PRIORS, OBJECT, everywhere)
    assert found.gt_inds.tolist() == [1, -1, -1, 0]
    hidden = MaxIoUAssigner(**SETTINGS).assign(PRIORS, OBJECT, everywhere)
    assert hidden.gt_inds.tolist() == [-1, -1, -1, 0]


@pytest.mark.parametrize("region", [REGION[:0], None])
def test_without_regions_nothing_is_ignored(region):
    found = IgnoringMaxIoUAssigner(**SETTINGS).assign(PRIORS, OBJECT, region)
    assert found.gt_inds.tolist() == [1, 0, 0, 0]


def test_an_assigner_that_ignores_nothing_is_refused():
    with pytest.raises(ValueError, match="ignore_iof_thr must be above 0, found -1"):
        IgnoringMaxIoUAssigner(pos_iou_thr=0.5, neg_iou_thr=0.5)
