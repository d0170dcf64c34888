"""The boundary head's targets and losses by hand, and the head around them."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from mmdet.structures.mask import mask_target
from mmengine.config import ConfigDict
from scipy import ndimage

from nbseg.models.boundary_loss import BoundaryLoss, boundary_targets
from nbseg.models.boundary_mask_head import BoundaryMaskHead, MaskAndBoundaryRoIExtractor

pytestmark = pytest.mark.usefixtures("one_thread")

CROSS_ENTROPY = {"type": "CrossEntropyLoss", "use_mask": True}


def make_head(**options):
    torch.manual_seed(0)
    config = {
        "num_convs": 2,
        "in_channels": 8,
        "conv_out_channels": 12,
        "num_classes": 3,
        "loss_mask": CROSS_ENTROPY,
    }
    head = BoundaryMaskHead(**{**config, **options})
    head.init_weights()
    return head


def features(rois):
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(rois, 8, size, size, generator=generator) for size in (14, 28))


def test_boundary_targets_by_hand():
    masks = torch.tensor(
        [
            [
                [0, 0, 0, 0, 0, 0],
                [0, 1, 1, 1, 1, 1],
                [0, 1, 1, 1, 1, 1],
                [0, 1, 1, 1, 1, 1],
                [0, 1, 1, 1, 1, 1],
                [0, 0, 0, 0, 0, 0],
            ]
        ],
        dtype=torch.uint8,
    )
    expected = torch.tensor(
        [
            [
                [0, 0, 0, 0, 0, 0],
                [0, 1, 1, 1, 1, 1],
                [0, 1, 0, 0, 0, 1],
                [0, 1, 0, 0, 0, 1],
                [0, 1, 1, 1, 1, 1],
                [0, 0, 0, 0, 0, 0],
            ]
        ],
        dtype=torch.uint8,
    )
    assert torch.equal(boundary_targets(masks), expected)
    assert torch.equal(boundary_targets(expected[:0]), expected[:0])


@pytest.mark.parametrize("autocast", [False, True])
def test_boundary_targets_are_what_erosion_takes_away(autocast):
    masks = np.random.default_rng(0).random((5, 28, 28)) > 0.2
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = boundary_targets(torch.from_numpy(masks.astype(np.uint8)))
    for mask, boundary in zip(masks, found.numpy(), strict=True):
        eroded = ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=0)
        np.testing.assert_array_equal(boundary, mask & ~eroded)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_boundary_loss_by_hand(dtype):
    generator = torch.Generator().manual_seed(0)
    logits = (2 * torch.randn(4, 7, 7, generator=generator)).to(dtype).requires_grad_()
    target = (torch.rand(4, 7, 7, generator=generator) > 0.7).to(torch.uint8)
    target[3] = 0
    x, g = logits.detach().double().numpy(), target.double().numpy()
    p = 1 / (1 + np.exp(-x))
    axes = (1, 2)
    dice = 1 - (2 * (p * g).sum(axes) + 1) / ((p**2).sum(axes) + (g**2).sum(axes) + 1)
    bce = -(g * np.log(p) + (1 - g) * np.log(1 - p)).mean()
    loss = BoundaryLoss(bce_weight=0.25, loss_weight=2.0)(logits, target)
    np.testing.assert_allclose(loss.item(), 2 * (dice.mean() + 0.25 * bce), rtol=1e-5)
    loss.backward()
    assert logits.grad.dtype == dtype and torch.isfinite(logits.grad).all()


def test_a_perfect_boundary_costs_nothing():
    target = torch.eye(9)[None]
    assert BoundaryLoss()(100 * (2 * target - 1), target) < 1e-6


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("norm_cfg", [None, {"type": "BN"}])
def test_shapes(class_agnostic, norm_cfg):
    channels = 1 if class_agnostic else 3
    head = make_head(class_agnostic=class_agnostic, norm_cfg=norm_cfg)
    masks, boundaries = head.train()(features(5))
    assert masks.shape == boundaries.shape == (5, channels, 28, 28)
    prediction = head.eval()(features(5))
    assert isinstance(prediction, torch.Tensor) and prediction.shape == (5, channels, 28, 28)
    assert head(features(0)).shape == (0, channels, 28, 28)


def test_each_branch_receives_the_other():
    head = make_head().train()
    mask_features, boundary_features = (part.requires_grad_() for part in features(2))
    masks, boundaries = head((mask_features, boundary_features))
    for output, source in ((masks, boundary_features), (boundaries, mask_features)):
        (grad,) = torch.autograd.grad(output.sum(), source, retain_graph=True)
        assert grad.abs().max() > 0


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
def test_losses_are_those_of_mmdetections_targets(sampled_truth, class_agnostic, autocast):
    sampling, instances = sampled_truth
    head = make_head(class_agnostic=class_agnostic).train()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = head(features(3))
        actual = head.loss_and_target(logits, [sampling], [instances], ConfigDict())["loss_mask"]
    target = mask_target(
        [sampling.pos_priors.clone()],
        [sampling.pos_assigned_gt_inds],
        [instances.masks],
        ConfigDict(mask_size=28),
    )
    labels = sampling.pos_gt_labels * (0 if class_agnostic else 1)
    masks, boundaries = (part.detach().double()[torch.arange(3), labels] for part in logits)
    bce = torch.nn.functional.binary_cross_entropy_with_logits(masks, target.double())
    expected = {
        "loss_mask": bce,
        "loss_boundary": BoundaryLoss()(boundaries, boundary_targets(target)),
    }
    for name, value in actual.items():
        torch.testing.assert_close(value.double().squeeze(), expected[name], rtol=1e-4, atol=0)
    sum(actual.values()).backward()
    for name, parameter in head.named_parameters():
        assert torch.isfinite(parameter.grad).all() and parameter.grad.abs().max() > 0, name


def test_without_positives_the_loss_is_zero_and_reaches_every_parameter(sampled_truth):
    sampling, instances = sampled_truth
    nothing = SimpleNamespace(**{name: value[:0] for name, value in vars(sampling).items()})
    head = make_head().train()
    losses = head.loss_and_target(head(features(0)), [nothing], [instances], ConfigDict())
    losses = losses["loss_mask"]
    assert [value.item() for value in losses.values()] == [0, 0]
    sum(losses.values()).backward()
    assert all(torch.all(parameter.grad == 0) for parameter in head.parameters())


def test_boundary_features_come_from_the_finest_level():
    config = {
        "roi_layer": {"type": "RoIAlign", "output_size": 14, "sampling_ratio": 0},
        "out_channels": 8,
        "featmap_strides": [4, 8],
        "finest_scale": 8,
    }
    extractor = MaskAndBoundaryRoIExtractor(**copy.deepcopy(config), boundary_size=28)
    levels = torch.randn(1, 8, 16, 16), torch.randn(1, 8, 8, 8)
    rois = torch.tensor([[0.0, 3, 5, 50, 61], [0, 1, 1, 8, 9]])
    mask_features, boundary_features = extractor(levels, rois)
    assert torch.equal(mask_features, SingleRoIExtractor(**config)(levels, rois))
    config["roi_layer"]["output_size"], config["featmap_strides"] = 28, [4]
    assert torch.equal(boundary_features, SingleRoIExtractor(**config)(levels[:1], rois))
    assert [part.shape for part in extractor(levels, rois[:0])] == [(0, 8, 14, 14), (0, 8, 28, 28)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"upsample_cfg": {"type": "bilinear", "scale_factor": 2}}, "upsample_cfg must be"),
        ({"num_convs": 0}, "num_convs must be positive, found 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_head(**options)
