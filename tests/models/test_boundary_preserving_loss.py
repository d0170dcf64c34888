"""The boundary-preserving loss as the ``loss_mask`` of MMDetection's own mask head."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.registry import MODELS
from mmdet.structures.mask import BitmapMasks, mask_target
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import nbseg.models.boundary_preserving_loss  # noqa: F401  registers the loss
from nbseg.ops import reference

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("border", ["replicate", "zeros"])
@pytest.mark.parametrize("class_agnostic", [False, True])
def test_replaces_the_loss_of_a_mask_head(class_agnostic, border):
    torch.manual_seed(0)
    loss = {"type": "BoundaryPreservingLoss", "gain": 3.0, "border": border, "loss_weight": 0.5}
    head = FCNMaskHead(
        num_convs=1,
        in_channels=8,
        conv_out_channels=8,
        num_classes=4,
        class_agnostic=class_agnostic,
        loss_mask=loss,
    )
    head.init_weights()
    bitmaps = np.zeros((2, 50, 50), np.uint8)
    bitmaps[0, 10:30, 10:35] = 1
    bitmaps[1, np.tri(50, dtype=bool)] = 1
    sampling = SimpleNamespace(
        pos_priors=torch.tensor([[8.0, 9, 40, 33], [5.0, 5, 45, 45], [10.0, 0, 50, 41]]),
        pos_assigned_gt_inds=torch.tensor([0, 1, 1]),
        pos_gt_labels=torch.tensor([3, 1, 1]),
    )
    instances = [InstanceData(masks=BitmapMasks(bitmaps, 50, 50))]
    config = ConfigDict(mask_size=28)
    logits = head(torch.randn(3, 8, 14, 14)).detach().requires_grad_()
    actual = head.loss_and_target(logits, [sampling], instances, config)["loss_mask"]["loss_mask"]

    target = mask_target(
        [sampling.pos_priors.clone()], [sampling.pos_assigned_gt_inds], [instances[0].masks], config
    )
    labels = sampling.pos_gt_labels * (0 if class_agnostic else 1)
    exact = logits.detach().double().requires_grad_()
    expected = 0.5 * reference.bpm_mask_loss(exact, target, labels, gain=3.0, border=border)
    assert actual.shape == ()
    torch.testing.assert_close(actual.double(), expected, rtol=1e-6, atol=0)
    actual.backward()
    expected.backward()
    torch.testing.assert_close(logits.grad.double(), exact.grad, rtol=1e-4, atol=1e-9)


def test_defaults_are_the_papers():
    loss = MODELS.build({"type": "BoundaryPreservingLoss"})
    logits = torch.full((2, 1, 28, 28), 0.3)
    targets = torch.zeros(2, 28, 28)
    labels = torch.zeros(2, dtype=torch.int64)
    # A soft mask without an edge weighs 3 everywhere; replicated borders make none.
    expected = 3 * torch.log1p(torch.exp(torch.tensor(0.3)))
    torch.testing.assert_close(loss(logits, targets, labels), expected)


def test_an_unknown_border_is_named():
    loss = MODELS.build({"type": "BoundaryPreservingLoss", "border": "reflect"})
    with pytest.raises(ValueError, match="border must be .* found 'reflect'"):
        loss(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4), torch.zeros(1, dtype=torch.int64))


def test_the_released_codes_loss_is_plain_cross_entropy_of_weight_gain():
    """The comparison arm "released code" needs no loss of its own: its gradient is the same."""
    torch.manual_seed(0)
    logits = 3 * torch.randn(5, 3, 14, 14, dtype=torch.float64)
    targets = (torch.rand(5, 14, 14) > 0.5).double()
    labels = torch.tensor([0, 1, 2, 0, 1])

    def released(logits, targets, labels):
        chosen = logits[torch.arange(5), labels]
        kernel = logits.new_tensor([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]])[None, None]
        edges = F.conv2d(chosen.detach().sigmoid()[:, None], kernel, padding=1).abs()
        weights = 3 * edges / edges.mean(dim=(2, 3), keepdim=True)
        return (weights * F.binary_cross_entropy_with_logits(chosen, targets)).mean()

    arm = MODELS.build({"type": "CrossEntropyLoss", "use_mask": True, "loss_weight": 3.0})
    gradients = []
    for loss in (arm, released):
        leaf = logits.clone().requires_grad_()
        loss(leaf, targets, labels).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients, rtol=1e-13, atol=0)
