"""Views merged by hand-computed soft masks, and by MMDetection's own prediction."""

import numpy as np
import pytest
import torch
from known_detector import (
    CELLS,
    HEIGHT,
    TTA_CFG,
    WIDTH,
    KnownDetector,
    make_views,
    soft_mask_by_hand,
)
from mmdet.models.roi_heads import (
    HybridTaskCascadeRoIHead,
    MaskScoringRoIHead,
    PointRendRoIHead,
    SparseRoIHead,
)
from mmdet.structures import DetDataSample
from pycocotools import mask as coco_mask
from torch import nn

from nbseg.models.mask_tta import MaskTTAModel
from nbseg.ops import reference

pytestmark = pytest.mark.usefixtures("one_thread")


VIEWS = {
    "plain": [(1, None, 0.0)],
    "horizontal": [(1, None, 0.0), (1, "horizontal", 0.7)],
    "flipped first": [(1, "horizontal", 0.7), (1, None, 0.0)],
    "vertical": [(1, None, 0.0), (1, "vertical", 0.7)],
    "diagonal": [(1, None, 0.0), (1, "diagonal", 0.7)],
    "scales": [(1, None, 0.0), (2, None, -0.5), (2, "horizontal", 0.9), (1, "vertical", 0.2)],
}


@pytest.mark.parametrize("name", VIEWS)
def test_soft_masks_are_turned_upright_and_averaged(name):
    views = VIEWS[name]
    everywhere, last = range(len(views)), [len(views) - 1]
    known = {
        0: [
            ((3, 4, 17, 18), 0, 0.9, everywhere),
            ((14, 2, 30, 16), 1, 0.8, everywhere),
            ((2, 12, 9, 21), 0, 0.6, last),
        ],
        1: [],
        2: [((5, 5, 26, 20), 1, 0.7, everywhere)],
    }
    model = MaskTTAModel(module=KnownDetector(known), tta_cfg=TTA_CFG)
    samples = model.test_step(make_views(views, images=3))
    assert [sample.img_id for sample in samples] == [0, 1, 2]
    for image, sample in enumerate(samples):
        predicted = sample.pred_instances
        boxes = [b[0] for b in known[image]]
        labels = [b[1] for b in known[image]]
        assert predicted.bboxes.shape == (len(boxes), 4)
        torch.testing.assert_close(
            predicted.bboxes, torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
        )
        assert predicted.labels.tolist() == labels
        scores = [sum(b[2] - 0.01 * view for view in b[3]) / len(views) for b in known[image]]
        np.testing.assert_allclose(predicted.scores, scores, atol=1e-6)
        assert predicted.soft_masks.shape == (len(boxes), CELLS, CELLS)
        for box, label, soft in zip(boxes, labels, predicted.soft_masks, strict=True):
            expected = soft_mask_by_hand(box, label, views, image)
            np.testing.assert_allclose(soft, expected, atol=1e-5)
        pasted = reference.paste_rle(
            predicted.soft_masks.numpy(), predicted.bboxes.numpy(), HEIGHT, WIDTH, 0.5
        )
        assert predicted.masks == pasted


def test_boxes_of_the_views_are_merged_and_limited():
    known = {
        0: [
            ((3, 4, 17, 18), 0, 0.8, [0]),
            ((3, 4, 17, 20), 0, 0.41, [1]),  # the first box again, nearly; 0.4 in the second view
            ((3, 4, 17, 18), 1, 0.71, [1]),  # the same place, another class, in one view only
            ((20, 2, 30, 12), 1, 0.5, [0]),
            ((2, 14, 9, 22), 1, 0.3, [0]),  # beyond max_per_img
        ]
    }
    model = MaskTTAModel(module=KnownDetector(known), tta_cfg={**TTA_CFG, "max_per_img": 3})
    (sample,) = model.test_step(make_views(VIEWS["horizontal"]))
    predicted = sample.pred_instances
    assert predicted.labels.tolist() == [0, 1, 1]
    np.testing.assert_allclose(predicted.scores, [0.6, 0.35, 0.25], atol=1e-6)
    lower = (0.8 * 18 + 0.4 * 20) / 1.2
    expected = [[3, 4, 17, lower], [3, 4, 17, 18], [20, 2, 30, 12]]
    np.testing.assert_allclose(predicted.bboxes, expected, atol=1e-4)
    soft = soft_mask_by_hand(expected[0], 0, VIEWS["horizontal"])
    np.testing.assert_allclose(predicted.soft_masks[0], soft, atol=1e-5)


def test_what_most_views_see_comes_before_what_one_is_sure_of():
    known = {0: [((3, 4, 17, 18), 0, 0.99, [1]), ((20, 2, 30, 12), 1, 0.6, range(4))]}
    model = MaskTTAModel(module=KnownDetector(known), tta_cfg=TTA_CFG)
    (sample,) = model.test_step(make_views(VIEWS["scales"]))
    assert sample.pred_instances.labels.tolist() == [1, 0]


def test_a_box_without_area_is_kept_without_a_score():
    model = MaskTTAModel(module=KnownDetector({0: [((5, 5, 5, 9), 0, 0.9, [0])]}), tta_cfg=TTA_CFG)
    (sample,) = model.test_step(make_views(VIEWS["plain"]))
    assert sample.pred_instances.bboxes.tolist() == [[5, 5, 5, 9]]
    assert sample.pred_instances.scores.tolist() == [0]


def test_one_mask_serves_all_classes_of_a_class_agnostic_head():
    box = (3, 4, 17, 18)
    detector = KnownDetector({0: [(box, 1, 0.9, [0, 1])]})
    detector.roi_head.mask_head = nn.Identity()
    model = MaskTTAModel(module=detector, tta_cfg=TTA_CFG)
    (sample,) = model.test_step(make_views(VIEWS["horizontal"]))
    expected = soft_mask_by_hand(box, 0, VIEWS["horizontal"])
    np.testing.assert_allclose(sample.pred_instances.soft_masks[0], expected, atol=1e-5)


def test_an_image_without_any_box():
    model = MaskTTAModel(module=KnownDetector({0: []}), tta_cfg=TTA_CFG)
    (sample,) = model.test_step(make_views(VIEWS["scales"]))
    assert len(sample.pred_instances.bboxes) == 0
    assert sample.pred_instances.soft_masks.shape == (0, CELLS, CELLS)
    assert sample.pred_instances.masks == []


def test_the_feature_budget_changes_the_work_but_not_the_result():
    views = VIEWS["scales"]
    known = {0: [((3, 4, 17, 18), 0, 0.9, range(4)), ((14, 2, 30, 16), 1, 0.8, range(4))]}
    one_view = 4 * 32 * 32  # float32, padded to a multiple of 16
    results = {}
    for budget, extractions in ((1 << 30, 4), (0, 8), (one_view, 7)):
        detector = KnownDetector(known)
        model = MaskTTAModel(module=detector, tta_cfg=TTA_CFG, feature_budget=budget)
        (sample,) = model.test_step(make_views(views))
        results[budget] = sample.pred_instances
        assert detector.extractions == extractions
    first, *others = results.values()
    for other in others:
        assert torch.equal(other.soft_masks, first.soft_masks)
        assert torch.equal(other.bboxes, first.bboxes)
        assert other.masks == first.masks


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("head", ["NoiseTolerantMaskHead", "FCNMaskHead"])
@pytest.mark.parametrize("base", ["mask-rcnn_r50_fpn", "cascade-mask-rcnn_r50_fpn"])
def test_one_view_equals_the_detectors_own_prediction(make_detector, batch, base, head, scale):
    detector = make_detector(base, {"type": head, "num_convs": 1}).eval()
    for sample in batch["data_samples"]:
        side = 64 // scale
        sample.set_metainfo({"ori_shape": (side, side), "scale_factor": (float(scale),) * 2})
    with torch.no_grad():
        expected = detector.test_step(batch)
        model = MaskTTAModel(module=detector, tta_cfg=TTA_CFG)
        merged = model.test_step({key: [value] for key, value in batch.items()})
    for ours, theirs in zip(merged, expected, strict=True):
        ours, theirs = ours.pred_instances, theirs.pred_instances
        assert len(ours.bboxes) > 3
        assert torch.equal(ours.bboxes, theirs.bboxes)
        assert torch.equal(ours.scores, theirs.scores)
        assert torch.equal(ours.labels, theirs.labels)
        bitmaps = theirs.masks.numpy().astype(np.uint8).transpose(1, 2, 0)
        assert ours.masks == coco_mask.encode(np.asfortranarray(bitmaps))
        assert 0 < bitmaps.mean() < 1


def test_a_symmetric_image_has_a_symmetric_prediction(make_detector, batch):
    """An image beside its mirror image, seen with a flip: what is left is there right as well."""
    detector = make_detector("mask-rcnn_r50_fpn", {"type": "FCNMaskHead", "num_convs": 1}).eval()
    pixels = batch["inputs"][0]
    pixels = torch.cat([pixels, pixels.flip(-1)], dim=-1)
    plain, flipped = DetDataSample(), DetDataSample()
    for sample, flip in ((plain, False), (flipped, True)):
        sample.set_metainfo(
            {
                "img_id": 0,
                "ori_shape": (64, 128),
                "img_shape": (64, 128),
                "scale_factor": (1.0, 1.0),
                "flip": flip,
                "flip_direction": "horizontal" if flip else None,
            }
        )
    model = MaskTTAModel(module=detector, tta_cfg={**TTA_CFG, "nms": {"iou_threshold": 1.0}})
    data = {"inputs": [[pixels], [pixels.flip(-1)]], "data_samples": [[plain], [flipped]]}
    with torch.no_grad():
        (sample,) = model.test_step(data)
    predicted = sample.pred_instances
    mirrored = torch.stack(
        [
            128 - predicted.bboxes[:, 2],
            predicted.bboxes[:, 1],
            128 - predicted.bboxes[:, 0],
            predicted.bboxes[:, 3],
        ],
        dim=1,
    )
    for box, soft_mask in zip(mirrored, predicted.soft_masks, strict=True):
        distance = (predicted.bboxes - box).abs().amax(1)
        partner = int(distance.argmin())
        assert distance[partner] < 1e-3
        torch.testing.assert_close(
            predicted.soft_masks[partner], soft_mask.flip(-1), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize(
    "roi_head", [HybridTaskCascadeRoIHead, SparseRoIHead, MaskScoringRoIHead, PointRendRoIHead]
)
def test_roi_heads_that_predict_masks_in_another_way_are_refused(roi_head):
    detector = KnownDetector({})
    detector.roi_head.__class__ = roi_head
    with pytest.raises(TypeError, match=f"predicts masks .* found {roi_head.__name__} in Known"):
        MaskTTAModel(module=detector, tta_cfg=TTA_CFG)


def test_detectors_without_masks_are_refused():
    detector = KnownDetector({})
    del detector.roi_head.mask_head
    with pytest.raises(TypeError, match="found KnownBoxes without a mask head in Known"):
        MaskTTAModel(module=detector, tta_cfg=TTA_CFG)
    detector.roi_head = None
    with pytest.raises(TypeError, match="found no roi_head in KnownDetector"):
        MaskTTAModel(module=detector, tta_cfg=TTA_CFG)
