"""RefineMask's boundary regions, losses and refinement on cases worked out by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures.mask import BitmapMasks, mask_target
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from scipy import ndimage

from nbseg.models.refine_mask_head import (
    RefineMaskHead,
    boundary_aware_loss,
    boundary_region,
    refine_boundaries,
)
from nbseg.models.refine_mask_roi_head import ForegroundHead

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = (14, 28, 56, 112)


def make_head(**options):
    torch.manual_seed(0)
    config = {
        "num_convs": 1,
        "in_channels": 8,
        "conv_out_channels": 64,
        "semantic_channels": 6,
        "num_classes": 3,
        "loss_mask": {"type": "CrossEntropyLoss", "use_mask": True},
    }
    head = RefineMaskHead(**{**config, **options})
    head.init_weights()
    return head


def inputs(rois):
    generator = torch.Generator().manual_seed(1)
    instance = torch.randn(rois, 8, 14, 14, generator=generator)
    semantic = [torch.rand(rois, 7, size, size, generator=generator) for size in SIZES[:3]]
    return instance, semantic


def region_by_hand(mask, width):
    """Pixels with both classes within ``width`` rows and columns."""
    square = np.ones((2 * width + 1, 2 * width + 1))
    grown, grown_outside = (ndimage.binary_dilation(side, square) for side in (mask, ~mask))
    return grown & grown_outside


def test_boundary_region_by_hand():
    mask = torch.zeros(1, 5, 6, dtype=torch.bool)
    mask[0, :, 3:] = True
    found = boundary_region(mask, 1)[0].int().tolist()
    assert found == [[0, 0, 1, 1, 0, 0]] * 5  # the RoI's own border is none
    assert boundary_region(mask, 2)[0].int().tolist() == [[0, 1, 1, 1, 1, 0]] * 5
    assert not boundary_region(torch.ones(1, 5, 5, dtype=torch.bool), 2).any()


@pytest.mark.parametrize("width", [1, 2])
def test_boundary_region_is_that_of_dilations(width):
    masks = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((4, 28, 28)), 3) > 0
    found = boundary_region(torch.from_numpy(masks), width).numpy()
    for mask, region in zip(masks, found, strict=True):
        np.testing.assert_array_equal(region, region_by_hand(mask, width))


def test_boundary_aware_loss_counts_the_region_alone():
    logits = torch.tensor([[[0.0, 2.0], [-1.0, 50.0]]], requires_grad=True)
    targets = torch.tensor([[[1, 0], [0, 0]]], dtype=torch.uint8)
    region = torch.tensor([[[True, True], [True, False]]])
    loss = boundary_aware_loss(logits, targets, region)
    expected = (np.log(2) + np.log1p(np.exp(2)) + np.log1p(np.exp(-1))) / 3
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-6)
    loss.backward()
    assert logits.grad[0, 1, 1] == 0
    empty = boundary_aware_loss(logits, targets, torch.zeros_like(region))
    assert empty == 0


def test_refinement_takes_the_finer_stage_near_the_boundary_alone():
    coarse = torch.zeros(1, 4, 4)
    coarse[..., 2:] = 0.8
    coarse[..., 0] = 0.1
    finer = torch.full((1, 8, 8), 0.6)
    refined = refine_boundaries([coarse, finer], width=1)[0]
    # Columns 1 and 2 of the coarse stage are near its edge: 2 to 5 of the finer one.
    upsampled = F.interpolate(coarse[:, None], scale_factor=2, mode="bilinear")[0, 0]
    assert torch.all(refined[:, 2:6] == 0.6)
    assert torch.equal(refined[:, :2], upsampled[:, :2])
    assert torch.equal(refined[:, 6:], upsampled[:, 6:])
    # The next stage counts near the boundary of what has been refined: now there is one at 2.
    finest = torch.full((1, 16, 16), 0.3)
    again = refine_boundaries([coarse, finer, finest], width=1)[0]
    assert torch.all(again[:, 2:6] == 0.3) and torch.all(again[:, 6:] > 0.5)
    assert torch.all(again[:, :2] < 0.2)


def test_a_single_stage_stays_as_it_is():
    stage = torch.rand(3, 28, 28)
    assert torch.equal(refine_boundaries([stage], width=1), stage)


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_shapes(class_agnostic):
    head = make_head(class_agnostic=class_agnostic)
    channels = 1 if class_agnostic else 3
    for rois in (3, 0):
        labels = torch.arange(rois) % 3
        stages = head(*inputs(rois), labels)
        assert [stage.shape for stage in stages] == [(rois, channels, s, s) for s in SIZES]
        assert head.soft_masks(stages, labels).shape == (rois, 112, 112)


def test_the_mask_of_the_rois_class_guides_the_next_stage():
    head = make_head().eval()
    instance, semantic = inputs(2)
    with torch.no_grad():
        plain = head(instance, semantic, torch.tensor([0, 1]))
        other = head(instance, semantic, torch.tensor([0, 2]))
    assert torch.equal(plain[0], other[0])
    assert torch.equal(plain[1][0], other[1][0]) and not torch.equal(plain[1][1], other[1][1])


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_losses_are_those_of_mmdetections_targets(sampled_truth, class_agnostic, autocast):
    sampling, instances = sampled_truth
    head = make_head(class_agnostic=class_agnostic).train()
    labels = sampling.pos_gt_labels
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        stages = head(*inputs(3), labels)
        losses = head.loss_and_target(stages, [sampling], [instances], ConfigDict())["loss_mask"]
    assert list(losses) == [f"loss_mask_{size}" for size in SIZES]
    previous = None
    for stage, size, weight in zip(stages, SIZES, (0.25, 0.5, 0.75, 1.0), strict=True):
        target = mask_target(
            [sampling.pos_priors.clone()],
            [sampling.pos_assigned_gt_inds],
            [instances.masks],
            ConfigDict(mask_size=size),
        ).double()
        x = stage.detach().double()[torch.arange(3), labels * (0 if class_agnostic else 1)]
        bce = F.binary_cross_entropy_with_logits(x, target, reduction="none").numpy()
        region = np.ones_like(bce)
        if size > 28:
            for r in range(3):
                near = [region_by_hand(mask[r].numpy(), 2) for mask in previous]
                region[r] = np.kron(near[0] | near[1], np.ones((2, 2)))
            assert 0 < region.mean() < 1
        expected = weight * (region * bce).sum() / region.sum()
        np.testing.assert_allclose(losses[f"loss_mask_{size}"].item(), expected, rtol=1e-3)
        previous = x >= 0, target > 0.5
    sum(losses.values()).backward()
    for name, parameter in head.named_parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().max() > 0, name


def test_without_positives_the_loss_is_zero_and_reaches_every_parameter(sampled_truth):
    sampling, instances = sampled_truth
    nothing = SimpleNamespace(**{name: value[:0] for name, value in vars(sampling).items()})
    head = make_head().train()
    stages = head(*inputs(0), nothing.pos_gt_labels)
    losses = head.loss_and_target(stages, [nothing], [instances], ConfigDict())["loss_mask"]
    assert [value.item() for value in losses.values()] == [0] * 4
    sum(losses.values()).backward()
    assert all(torch.all(parameter.grad == 0) for parameter in head.parameters())


def test_the_semantic_target_is_the_union_of_the_instances(sampled_truth):
    _, instances = sampled_truth
    bitmaps = instances.masks.masks[:, :48]
    instances = InstanceData(masks=BitmapMasks(bitmaps, 48, 60))
    nothing = InstanceData(masks=BitmapMasks(np.zeros((0, 48, 60), np.uint8), 48, 60))
    head = ForegroundHead(num_convs=2, in_channels=4, conv_out_channels=6, loss_weight=0.5)
    features, logits = head(torch.randn(2, 4, 12, 15))
    assert features.shape == (2, 6, 12, 15) and logits.shape == (2, 1, 12, 15)
    loss = head.loss(logits, [instances, nothing])

    cells = bitmaps.any(0).reshape(12, 4, 15, 4).mean(axis=(1, 3))
    target = np.stack([cells >= 0.5, np.zeros_like(cells)])[:, None]
    assert 0 < target.mean() < 0.5
    x = logits.detach().double().numpy()
    expected = 0.5 * (np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0) - x * target).mean()
    np.testing.assert_allclose(loss.item(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_convs": 0}, "num_convs must be positive, found 0"),
        ({"stage_weights": (1.0, 1.0)}, r"stage_weights must be 4 numbers, found \(1.0, 1.0\)"),
        ({"conv_out_channels": 16}, "conv_out_channels must be 24 or more, found 16"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_head(**options)
