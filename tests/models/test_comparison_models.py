"""The models that the method is compared with: trained, predicting, as teachers and students."""

import copy

import numpy as np
import pytest
import torch
from comparison_models import LOSSES, MODELS
from known_detector import TTA_CFG
from mmdet.structures.mask import BitmapMasks
from pycocotools import mask as coco_mask

from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks
from nbseg.deploy.export_checks import check_exportable
from nbseg.models.mask_tta import MaskTTAModel

pytestmark = pytest.mark.usefixtures("one_thread")

BASE = "mask-rcnn_r50_fpn"


@pytest.fixture(params=MODELS)
def name(request):
    return request.param


def losses_of(detector, batch):
    data = detector.data_preprocessor(copy.deepcopy(batch), training=True)
    torch.manual_seed(0)
    return detector(**data, mode="loss")


@pytest.mark.parametrize(
    ("name", "class_agnostic"),
    # MMDetection's coarse mask head predicts every class.
    [(name, False) for name in MODELS] + [("bmask-rcnn", True), ("refinemask", True)],
)
def test_two_iterations_reach_every_parameter_of_the_mask_branch(
    make_detector, batch, name, class_agnostic
):
    config = copy.deepcopy(MODELS[name])
    config["mask_head"]["class_agnostic"] = class_agnostic
    detector = make_detector(BASE, **config).train()
    branch = {
        key: parameter
        for key, parameter in detector.roi_head.named_parameters()
        if not key.startswith("bbox_head")
    }
    optimizer = torch.optim.SGD(detector.parameters(), lr=1e-3)
    before = {key: parameter.detach().clone() for key, parameter in branch.items()}
    for _ in range(2):
        losses = losses_of(detector, batch)
        assert {key for key in losses if "rpn" not in key} - {"loss_cls", "loss_bbox", "acc"} == (
            LOSSES[name]
        )
        total, _ = detector.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in branch.values())
        optimizer.step()
    still = [key for key, parameter in branch.items() if torch.equal(parameter, before[key])]
    assert not still
    assert all(torch.isfinite(parameter).all() for parameter in detector.parameters())


def test_heads_under_autocast(make_detector, batch, name):
    """The heads alone: MMDetection's FPN and RoIAlign do not take bfloat16 on a CPU."""
    detector = make_detector(BASE, **copy.deepcopy(MODELS[name])).train()
    data = detector.data_preprocessor(copy.deepcopy(batch), training=True)
    losses = []
    for enabled in (False, True):
        features = detector.extract_feat(data["inputs"])
        samples = copy.deepcopy(data["data_samples"])
        with torch.no_grad():
            proposals = detector.rpn_head.predict(features, samples, rescale=False)
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(detector.roi_head.loss(features, proposals, samples))
    for key in LOSSES[name]:
        expected, found = losses[0][key], losses[1][key]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.01)
    detector.parse_losses(losses[1])[0].backward()
    for parameter in detector.roi_head.parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all()

    model = MaskTTAModel(module=detector.eval(), tta_cfg=TTA_CFG)
    boxes = [torch.tensor([[3.0, 5, 40, 50], [10, 8, 60, 30]])] * 2
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        soft_masks = model._predict_soft_masks(
            [level.float() for level in features], samples, boxes, torch.tensor([0, 1, 2, 0])
        )
    assert len(soft_masks) == 4 and ((soft_masks >= 0) & (soft_masks <= 1)).all()


def test_crops_give_the_losses_of_bitmaps(make_detector, batch, name):
    detector = make_detector(BASE, **copy.deepcopy(MODELS[name])).train()
    expected = losses_of(detector, batch)
    for sample in batch["data_samples"]:
        masks = CroppedBitmapMasks.from_instance_masks(sample.gt_instances.masks)
        sample.gt_instances.masks = masks
    for key, value in losses_of(detector, batch).items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=0)


def test_a_batch_without_instances(make_detector, batch, name):
    detector = make_detector(BASE, **copy.deepcopy(MODELS[name])).train()
    for sample in batch["data_samples"]:
        sample.gt_instances = sample.gt_instances[:0]
        sample.gt_instances.masks = BitmapMasks(np.zeros((0, 64, 64), np.uint8), 64, 64)
    losses = losses_of(detector, batch)
    for key in LOSSES[name] - {"loss_semantic"}:
        assert losses[key] == 0
    detector.parse_losses(losses)[0].backward()
    for part in ("mask_head", "point_head"):
        for parameter in getattr(detector.roi_head, part, torch.nn.Identity()).parameters():
            assert parameter.grad is not None and torch.all(parameter.grad == 0)


@pytest.mark.parametrize("rescale", [True, False])
def test_run_lengths_are_those_of_the_bitmaps(make_detector, batch, name, rescale):
    detector = make_detector(BASE, **copy.deepcopy(MODELS[name])).eval()
    for sample in batch["data_samples"]:
        sample.set_metainfo({"scale_factor": (0.5, 0.4), "ori_shape": (160, 128)})
    predictions = {}
    for mask_format in ("bitmap", "rle"):
        detector.roi_head.test_cfg.mask_format = mask_format
        data = detector.data_preprocessor(copy.deepcopy(batch), training=False)
        with torch.no_grad():
            predictions[mask_format] = detector.predict(
                data["inputs"], data["data_samples"], rescale=rescale
            )
    for as_bitmaps, as_run_lengths in zip(*predictions.values(), strict=True):
        bitmaps = as_bitmaps.pred_instances.masks
        assert bitmaps.shape[1:] == ((160, 128) if rescale else (64, 64))
        assert 0 < bitmaps.float().mean() < 1
        encoded = [coco_mask.encode(np.asfortranarray(bitmap)) for bitmap in bitmaps.byte().numpy()]
        assert as_run_lengths.pred_instances.masks == encoded


def test_images_without_predictions(make_detector, batch, name):
    detector = make_detector(BASE, **copy.deepcopy(MODELS[name])).eval()
    detector.roi_head.test_cfg.score_thr = 1.1
    model = MaskTTAModel(module=detector, tta_cfg=TTA_CFG)
    with torch.no_grad():
        samples = detector.test_step(copy.deepcopy(batch))
        merged = model.test_step({key: [value] for key, value in batch.items()})
    assert [len(sample.pred_instances.masks) for sample in samples + merged] == [0] * 4


@pytest.mark.parametrize("scale", [1, 2])
def test_one_view_equals_the_detectors_own_prediction(make_detector, batch, name, scale):
    detector = make_detector(BASE, **copy.deepcopy(MODELS[name])).eval()
    detector.roi_head.test_cfg.mask_format = "rle"
    for sample in batch["data_samples"]:
        side = 64 // scale
        sample.set_metainfo({"ori_shape": (side, side), "scale_factor": (float(scale),) * 2})
    with torch.no_grad():
        expected = detector.test_step(copy.deepcopy(batch))
        model = MaskTTAModel(module=detector, tta_cfg=TTA_CFG)
        merged = model.test_step({key: [value] for key, value in batch.items()})
    for ours, theirs in zip(merged, expected, strict=True):
        assert len(ours.pred_instances) > 3
        assert torch.equal(ours.pred_instances.bboxes, theirs.pred_instances.bboxes)
        assert ours.pred_instances.masks == theirs.pred_instances.masks


def test_bmask_heads_in_a_cascade(make_detector, batch):
    config = copy.deepcopy(MODELS["bmask-rcnn"])
    detector = make_detector("cascade-mask-rcnn_r50_fpn", **config).train()
    losses = losses_of(detector, batch)
    names = {f"s{stage}.{name}" for stage in range(3) for name in ("loss_mask", "loss_boundary")}
    assert names <= set(losses)
    detector.roi_head.test_cfg.mask_format = "rle"
    with torch.no_grad():
        samples = detector.eval().test_step(batch)
    assert all(len(sample.pred_instances.masks) > 0 for sample in samples)


def test_they_are_refused_by_the_export(make_detector, name):
    with pytest.raises(ValueError, match="cannot export: the RoI (head|extractor) must be"):
        check_exportable(make_detector(BASE, **copy.deepcopy(MODELS[name])))
