"""The softmax focal loss against its formula in float64, and in a box head."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope

from nbseg.models.softmax_focal_loss import SoftmaxFocalLoss

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def boxes():
    """Scores of 40 boxes for 8 classes and background, their classes and weights."""
    generator = torch.Generator().manual_seed(0)
    scores = 4 * torch.randn(40, 9, generator=generator)
    labels = torch.randint(9, (40,), generator=generator)
    weights = (torch.rand(40, generator=generator) > 0.3).float()
    return scores, labels, weights


def by_the_formula(scores, labels, gamma):
    p = scores.exp() / scores.exp().sum(1, keepdim=True)
    p = p[torch.arange(len(labels)), labels]
    return -((1 - p) ** gamma) * p.log()


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_loss_and_gradient(boxes, gamma):
    scores, labels, weights = boxes
    scores.requires_grad_()
    loss = MODELS.build({"type": "SoftmaxFocalLoss", "gamma": gamma, "loss_weight": 0.5})
    actual = loss(scores, labels, weights, avg_factor=7)
    actual.backward()
    exact = scores.detach().double().requires_grad_()
    expected = 0.5 * (weights * by_the_formula(exact, labels, gamma)).sum() / 7
    expected.backward()
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(scores.grad.double(), exact.grad, rtol=1e-4, atol=1e-7)


def test_gamma_zero_is_the_cross_entropy_of_mmdetection(boxes):
    init_default_scope("mmdet")
    plain = MODELS.build({"type": "CrossEntropyLoss", "use_sigmoid": False})
    scores, labels, weights = boxes
    for arguments in ({}, {"weight": weights, "avg_factor": 3.0}, {"reduction_override": "none"}):
        torch.testing.assert_close(
            SoftmaxFocalLoss(gamma=0)(scores, labels, **arguments),
            plain(scores, labels, **arguments),
        )


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_reductions(boxes, reduction):
    scores, labels, _ = boxes
    expected = by_the_formula(scores.double(), labels, 2.0)
    expected = expected if reduction == "none" else getattr(expected, reduction)()
    actual = SoftmaxFocalLoss(reduction=reduction)(scores, labels)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_certain_scores_have_finite_gradients(gamma):
    scores = torch.tensor([[300.0, 0.0], [-300.0, 300.0]], requires_grad=True)
    loss = SoftmaxFocalLoss(gamma, reduction="none")(scores, torch.tensor([0, 0]))
    assert loss.tolist() == [0, 600]
    loss.sum().backward()
    assert scores.grad.tolist() == [[0, 0], [-1, 1]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_narrow_scores_are_computed_wider(boxes, dtype):
    scores, labels, _ = boxes
    narrow = scores.to(dtype).requires_grad_()
    loss = SoftmaxFocalLoss()(narrow, labels)
    assert torch.equal(loss, SoftmaxFocalLoss()(narrow.float(), labels))
    loss.backward()
    assert narrow.grad.dtype == dtype


def test_gamma_is_refused():
    with pytest.raises(ValueError, match="gamma must not be negative, found -1"):
        SoftmaxFocalLoss(gamma=-1)


def test_a_box_head_trains_with_it_and_decodes_with_the_softmax(make_detector, batch):
    plain = make_detector("mask-rcnn_r50_fpn", {"type": "FCNMaskHead"})
    loss = {"_delete_": True, "type": "SoftmaxFocalLoss"}
    focal = make_detector(
        "mask-rcnn_r50_fpn",
        {"type": "FCNMaskHead"},
        roi_head={"bbox_head": {"loss_cls": loss}},
    )
    assert isinstance(focal.roi_head.bbox_head.loss_cls, SoftmaxFocalLoss)
    assert focal.state_dict().keys() == plain.state_dict().keys()
    head = focal.roi_head.bbox_head
    boxes = torch.rand(5, 4) * 8
    rois = torch.cat([torch.zeros(5, 1), boxes, boxes + 20], 1)[:, [0, 1, 2, 5, 6]]
    scores = torch.randn(5, head.num_classes + 1)
    arguments = [
        (rois,),
        (scores,),
        (torch.zeros(5, 4 * head.num_classes),),
        [batch["data_samples"][0].metainfo],
    ]
    (decoded,) = head.predict_by_feat(*arguments)
    torch.testing.assert_close(decoded.scores, F.softmax(scores, 1))
    focal.train()
    losses = focal(**focal.data_preprocessor(batch, training=True), mode="loss")
    total, _ = focal.parse_losses(losses)
    total.backward()
    gradient = head.fc_cls.weight.grad
    assert torch.isfinite(gradient).all() and gradient.abs().max() > 0
