"""Check the noise-tolerant head against MMDetection's targets and losses."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models.losses import CrossEntropyLoss
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures.mask import BitmapMasks, PolygonMasks, mask_target
from mmengine.config import ConfigDict
from mmengine.runner.checkpoint import load_state_dict
from mmengine.structures import InstanceData

from nbseg.models.noise_tolerant_mask_head import NoiseTolerantMaskHead
from nbseg.models.proposal_targets import proposal_mask_targets
from nbseg.ops import reference

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = 3
CROSS_ENTROPY = {"type": "CrossEntropyLoss", "use_mask": True}
BOUNDARY_PRESERVING = {"type": "BoundaryPreservingLoss", "gain": 2.0}
TRAIN_CFG = ConfigDict(mask_size=28)


def make_head(**options):
    torch.manual_seed(0)
    config = {
        "num_convs": 2,
        "in_channels": 8,
        "conv_out_channels": 12,
        "num_classes": CLASSES,
        "loss_mask": CROSS_ENTROPY,
    }
    head = NoiseTolerantMaskHead(**{**config, **options})
    head.init_weights()
    return head


@pytest.fixture(scope="module")
def truth():
    """Sampling results and instances of two images: noisy blobs, boxes near and far from them."""
    rng = np.random.default_rng(0)
    samplings, instances = [], []
    for image in range(2):
        noise = torch.from_numpy(rng.random((4, 1, 9, 11), np.float32))
        bitmaps = F.interpolate(noise, (60, 80), mode="bilinear")[:, 0].numpy() > 0.5
        corners = np.sort(rng.uniform(-10, 90, (12, 2, 2)).astype(np.float32), axis=1)
        gt_inds = torch.from_numpy(rng.integers(0, 4, 12))
        labels = torch.from_numpy(rng.integers(0, CLASSES, 4))
        samplings.append(
            SimpleNamespace(
                pos_priors=torch.from_numpy(corners.reshape(12, 4)),
                pos_assigned_gt_inds=gt_inds,
                pos_gt_labels=labels[gt_inds],
                image=image,
            )
        )
        masks = BitmapMasks(bitmaps.astype(np.uint8), 60, 80)
        instances.append(InstanceData(labels=labels, masks=masks))
    return samplings, instances


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("norm_cfg", [None, {"type": "BN"}])
def test_shapes(class_agnostic, norm_cfg):
    channels = 1 if class_agnostic else CLASSES
    head = make_head(class_agnostic=class_agnostic, norm_cfg=norm_cfg)
    features = torch.randn(5, 8, 14, 14)
    fused, coarse = head.train()(features)
    assert fused.shape == (5, channels, 28, 28)
    assert coarse.shape == (5, channels, 14, 14)
    prediction = head.eval()(features)
    assert isinstance(prediction, torch.Tensor)
    assert prediction.shape == (5, channels, 28, 28)
    assert head(features[:0]).shape == (0, channels, 28, 28)
    assert make_head(num_convs=0).train()(torch.randn(2, 8, 7, 7))[0].shape == (2, CLASSES, 14, 14)


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("norm_cfg", [None, {"type": "BN"}])
def test_a_plain_heads_weights_give_its_predictions(class_agnostic, norm_cfg):
    options = {"class_agnostic": class_agnostic, "norm_cfg": norm_cfg}
    head = make_head(**options)
    plain = FCNMaskHead(
        num_convs=3,
        in_channels=8,
        conv_out_channels=12,
        num_classes=CLASSES,
        loss_mask=CROSS_ENTROPY,
        **options,
    )
    plain.init_weights()
    torch.nn.init.normal_(plain.conv_logits.bias)
    features = torch.randn(5, 8, 14, 14)
    plain.train()(features)  # moves the running statistics of the normalization
    checkpoint = {f"mask_head.{name}": value for name, value in plain.state_dict().items()}

    detector = torch.nn.ModuleDict({"mask_head": head})
    load_state_dict(detector, checkpoint, strict=False)  # MMEngine's, which load_from calls
    torch.testing.assert_close(head.eval()(features), plain.eval()(features))
    assert set(checkpoint) == {f"mask_head.{name}" for name in plain.state_dict()}

    again = make_head(**options)
    again.load_state_dict(head.state_dict())
    torch.testing.assert_close(again.eval()(features), head(features))


def test_the_layers_are_those_of_the_paper():
    # Every convolution of the fine and the coarse branch, and what the fusion sees of them.
    head = make_head(num_convs=3)
    shapes = {name: tuple(p.shape) for name, p in head.named_parameters() if p.dim() == 4}
    assert shapes == {
        **{f"convs.{i}.conv.weight": (12, 8 if i == 0 else 12, 3, 3) for i in range(3)},
        "fine_conv.conv.weight": (12, 12, 3, 3),
        "upsample.weight": (12, 12, 2, 2),
        "conv_logits.weight": (CLASSES, 12, 3, 3),
        "coarse_convs.0.conv.weight": (12, 12, 3, 3),
        "coarse_convs.1.conv.weight": (12, 12, 3, 3),
        "coarse_logits.weight": (CLASSES, 12, 1, 1),
        "coarse_upsample.weight": (CLASSES, CLASSES, 2, 2),
        "fusion.weight": (CLASSES, 2 * CLASSES, 1, 1),
    }


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_fused_logits_start_as_the_mean_of_the_branches(class_agnostic):
    head = make_head(class_agnostic=class_agnostic)
    seen = {}
    head.conv_logits.register_forward_hook(lambda *call: seen.update(fine=call[2]))
    fused, coarse = head.train()(torch.randn(4, 8, 14, 14))
    nearest = F.interpolate(coarse, scale_factor=2, mode="nearest")
    torch.testing.assert_close(fused, (seen["fine"] + nearest) / 2)
    assert seen["fine"].std() > 1e-3 and coarse.std() > 1e-3


def test_targets_equal_mmdetections(truth):
    samplings, instances = truth
    logits = make_head().train()(torch.randn(24, 8, 14, 14))
    targets = make_head().loss_and_target(logits, samplings, instances, TRAIN_CFG)["mask_targets"]
    for size, target in zip((28, 14), targets, strict=True):
        soft = mask_target(
            [sampling.pos_priors.clone() for sampling in samplings],
            [sampling.pos_assigned_gt_inds for sampling in samplings],
            [image.masks for image in instances],
            ConfigDict(mask_size=size, soft_mask_target=True),
        )
        assert target.shape == (24, size, size)
        decided = (soft - 0.5).abs() > 1e-5
        assert decided.float().mean() > 0.95
        assert torch.equal(target[decided] == 1, (soft >= 0.5)[decided])
        assert 0.1 < target.float().mean() < 0.9


def test_polygon_masks_and_images_without_instances(truth):
    square = PolygonMasks([[np.array([8.0, 8, 40, 8, 40, 40, 8, 40])]], 60, 80)
    nothing = BitmapMasks(np.zeros((0, 60, 80), np.uint8), 60, 80)
    one = SimpleNamespace(
        pos_priors=torch.tensor([[8.0, 8, 72, 40]]), pos_assigned_gt_inds=torch.tensor([0])
    )
    none = SimpleNamespace(
        pos_priors=torch.zeros(0, 4), pos_assigned_gt_inds=torch.zeros(0, dtype=torch.int64)
    )
    instances = [InstanceData(masks=square), InstanceData(masks=nothing)]
    fine, coarse = proposal_mask_targets([one, none], instances, sizes=(28, 14))
    assert fine.shape == (1, 28, 28) and coarse.shape == (1, 14, 14)
    assert fine[0, :, :14].all() and not fine[0, :, 14:].any()
    assert coarse[0, :, :7].all() and not coarse[0, :, 7:].any()


@pytest.mark.parametrize("class_agnostic", [False, True])
@pytest.mark.parametrize("loss", [CROSS_ENTROPY, BOUNDARY_PRESERVING])
def test_losses_equal_those_built_by_hand(truth, class_agnostic, loss):
    samplings, instances = truth
    head = make_head(class_agnostic=class_agnostic, loss_mask={**loss, "loss_weight": 1.5})
    logits = head.train()(torch.randn(24, 8, 14, 14))
    result = head.loss_and_target(logits, samplings, instances, TRAIN_CFG)
    assert list(result["loss_mask"]) == ["loss_mask", "loss_mask_coarse"]

    labels = torch.cat([sampling.pos_gt_labels for sampling in samplings])
    labels = labels * 0 if class_agnostic else labels
    for actual, prediction, size in zip(
        result["loss_mask"].values(), logits, (28, 14), strict=True
    ):
        target = mask_target(
            [sampling.pos_priors.clone() for sampling in samplings],
            [sampling.pos_assigned_gt_inds for sampling in samplings],
            [image.masks for image in instances],
            ConfigDict(mask_size=size),
        )
        if loss is CROSS_ENTROPY:
            expected = CrossEntropyLoss(use_mask=True, loss_weight=1.5)(prediction, target, labels)
        else:
            expected = 1.5 * reference.bpm_mask_loss(prediction.double(), target, labels, gain=2.0)
        # A pixel whose soft target is 0.5 within rounding may fall either way.
        torch.testing.assert_close(
            actual.double().squeeze(), expected.double().squeeze(), rtol=1e-4, atol=0
        )


@pytest.mark.parametrize("loss", [CROSS_ENTROPY, BOUNDARY_PRESERVING])
def test_without_positives_the_loss_is_zero_and_reaches_every_parameter(loss):
    head = make_head(loss_mask=loss).train()
    sampling = SimpleNamespace(
        pos_priors=torch.zeros(0, 4),
        pos_assigned_gt_inds=torch.zeros(0, dtype=torch.int64),
        pos_gt_labels=torch.zeros(0, dtype=torch.int64),
    )
    instances = InstanceData(masks=BitmapMasks(np.zeros((0, 60, 80), np.uint8), 60, 80))
    logits = head(torch.randn(0, 8, 14, 14))
    losses = head.loss_and_target(logits, [sampling], [instances], TRAIN_CFG)["loss_mask"]
    assert [value.item() for value in losses.values()] == [0, 0]
    sum(losses.values()).backward()
    assert all(p.grad is not None and torch.all(p.grad == 0) for p in head.parameters())


@pytest.mark.parametrize("loss", [CROSS_ENTROPY, BOUNDARY_PRESERVING])
def test_losses_under_autocast(truth, loss):
    head = make_head(loss_mask=loss).train()
    features = torch.randn(24, 8, 14, 14)
    expected = head.loss_and_target(head(features), *truth, TRAIN_CFG)["loss_mask"]
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(features)
        losses = head.loss_and_target(logits, *truth, TRAIN_CFG)["loss_mask"]
    assert logits[0].dtype == torch.bfloat16
    for name, value in losses.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[name], rtol=0.02, atol=0)
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


def test_every_parameter_learns_from_both_losses(truth):
    head = make_head(loss_mask=BOUNDARY_PRESERVING).train()
    logits = head(torch.randn(24, 8, 14, 14))
    losses = head.loss_and_target(logits, *truth, TRAIN_CFG)["loss_mask"]
    sum(losses.values()).backward()
    assert all(p.grad.abs().max() > 0 for p in head.parameters())


def test_a_mask_size_that_does_not_fit_is_named(truth):
    head = make_head().train()
    logits = head(torch.randn(24, 8, 14, 14))
    with pytest.raises(ValueError, match=r"fused.*\(28, 28\).*\(14, 14\).*mask_size to 28"):
        head.loss_and_target(logits, *truth, ConfigDict(mask_size=14))


@pytest.mark.parametrize(
    "upsample", [{"type": "bilinear", "scale_factor": 2}, {"type": "deconv", "scale_factor": 4}]
)
def test_another_upsampling_is_refused(upsample):
    with pytest.raises(ValueError, match="upsample_cfg must be dict.type='deconv'"):
        make_head(upsample_cfg=upsample)
