"""Tests the arguments, errors and torch guarantees of the boundary-preserving loss."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from bpm_examples import example, loss_and_grad

from nbseg.ops import _extension, bpm_mask_loss


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_logits_are_computed_in_full(dtype):
    logits, targets, labels = example(scale=4)
    logits = logits.to(dtype)
    loss, grad = loss_and_grad(bpm_mask_loss, logits, targets, labels)
    wanted_loss, wanted_grad = loss_and_grad(bpm_mask_loss, logits.float(), targets, labels)
    assert loss.dtype == torch.float32 and loss == wanted_loss
    assert grad.dtype == dtype
    torch.testing.assert_close(grad, wanted_grad.to(dtype), rtol=0, atol=0)


def test_autocast_computes_in_full():
    logits, targets, labels = example(scale=4)
    convolved = F.conv2d(logits, torch.eye(3)[:, :, None, None])
    with torch.autocast("cpu", torch.bfloat16):
        half = F.conv2d(logits, torch.eye(3)[:, :, None, None])
        assert half.dtype == torch.bfloat16
        loss = bpm_mask_loss(half, targets, labels)
        exact = bpm_mask_loss(convolved, targets, labels)
    assert loss.dtype == torch.float32
    assert exact == bpm_mask_loss(convolved, targets, labels)


def test_targets_may_be_bool_uint8_or_float():
    logits, targets, labels = example()
    wanted = bpm_mask_loss(logits, targets, labels)
    assert bpm_mask_loss(logits, targets.to(torch.uint8), labels) == wanted
    assert bpm_mask_loss(logits, targets.float(), labels) == wanted


def test_layout_of_the_arguments_does_not_matter():
    logits, targets, labels = example()
    wanted = loss_and_grad(bpm_mask_loss, logits, targets, labels)
    channels_last = logits.contiguous(memory_format=torch.channels_last)
    transposed = targets.transpose(1, 2).contiguous().transpose(1, 2)
    strided = torch.stack([labels, labels], dim=1)[:, 0]
    for arguments in (
        (channels_last, targets, labels),
        (logits, transposed, labels),
        (logits, targets, strided),
    ):
        assert not all(argument.is_contiguous() for argument in arguments)
        actual = loss_and_grad(bpm_mask_loss, *arguments)
        assert actual[0] == wanted[0] and torch.equal(actual[1], wanted[1])


def test_only_the_labels_channels_get_a_gradient():
    logits, targets, labels = example()
    _, grad = loss_and_grad(bpm_mask_loss, logits, targets, labels)
    others = torch.ones(len(labels), 3, dtype=torch.bool)
    others[torch.arange(len(labels)), labels] = False
    assert grad[others].count_nonzero() == 0
    assert grad[~others].flatten(1).norm(dim=1).min() > 0


def test_no_roi_gives_zero_with_a_graph():
    logits = torch.randn(0, 3, 28, 28, requires_grad=True)
    targets, labels = torch.zeros(0, 28, 28), torch.zeros(0, dtype=torch.int64)
    loss = bpm_mask_loss(logits * 2, targets, labels)
    loss.backward()
    assert loss == 0 and logits.grad.shape == logits.shape


def test_the_number_of_threads_does_not_matter():
    logits, targets, labels = example(rois=37)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(loss_and_grad(bpm_mask_loss, logits, targets, labels))
    finally:
        torch.set_num_threads(threads)
    assert all(loss == results[0][0] for loss, _ in results)
    assert all(torch.equal(grad, results[0][1]) for _, grad in results)


def test_a_nan_is_not_hidden():
    logits, targets, labels = example()
    logits[0, labels[0], 3, 3] = torch.nan
    assert bpm_mask_loss(logits, targets, labels).isnan()


@pytest.mark.parametrize("requires_grad", [True, False])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float32])
def test_opcheck(dtype, requires_grad):
    logits, targets, labels = example(size=7)
    arguments = (logits.requires_grad_(requires_grad), targets.to(dtype), labels, 3.0, "zeros")
    torch.library.opcheck(torch.ops.nbseg.bpm_mask_loss.default, arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_opcheck_backward(dtype):
    arguments = (torch.tensor(2.0), torch.randn(4, 7, 7), torch.tensor([0, 2, 1, 2]), 3, dtype)
    torch.library.opcheck(torch.ops.nbseg.bpm_mask_loss_backward.default, arguments)


def test_compiles_without_a_graph_break():
    logits, targets, labels = example()

    def loss(x):
        return 2 * bpm_mask_loss(x.tanh(), targets, labels, border="zeros")

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    actual, expected = loss_and_grad(compiled, logits), loss_and_grad(loss, logits)
    torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"logits": [1.0]}, TypeError, "logits must be a torch.Tensor, found list"),
        (
            {"logits": torch.zeros(2, 3, 7, 7, dtype=torch.float64)},
            TypeError,
            "logits must be float32 or float16 or bfloat16, found float64",
        ),
        (
            {"logits": torch.zeros(2, 7, 7)},
            ValueError,
            r"logits must have shape \(R, C, S, S\), found \(2, 7, 7\)",
        ),
        (
            {"logits": torch.zeros(2, 3, 7, 6)},
            ValueError,
            "logits must have square masks, found 7 x 6",
        ),
        (
            {"targets": torch.zeros(2, 7, 7, dtype=torch.int64)},
            TypeError,
            "targets must be uint8 or bool or float32, found int64",
        ),
        (
            {"targets": torch.zeros(2, 14, 14)},
            ValueError,
            r"targets must have shape \(2, 7, 7\), found \(2, 14, 14\)",
        ),
        (
            {"targets": torch.zeros(2, 7, 7, device="meta")},
            ValueError,
            "targets must be on cpu, found meta",
        ),
        ({"labels": torch.zeros(2)}, TypeError, "labels must be int64, found float32"),
        (
            {"labels": torch.zeros(3, dtype=torch.int64)},
            ValueError,
            r"labels must have shape \(2,\), found \(3,\)",
        ),
        (
            {"labels": torch.tensor([0, 3])},
            IndexError,
            r"labels\[1\] must be in \[0, 3\), found 3",
        ),
        (
            {"labels": torch.tensor([-1, 0])},
            IndexError,
            r"labels\[0\] must be in \[0, 3\), found -1",
        ),
        ({"border": "reflect"}, ValueError, 'border must be "replicate" or "zeros", found'),
    ],
)
def test_wrong_arguments_are_named(change, error, message):
    arguments = {
        "logits": torch.zeros(2, 3, 7, 7),
        "targets": torch.zeros(2, 7, 7),
        "labels": torch.zeros(2, dtype=torch.int64),
    }
    with pytest.raises(error, match=message):
        bpm_mask_loss(**{**arguments, **change})


def test_a_gpu_tensor_needs_a_build_with_cuda(monkeypatch):
    monkeypatch.setattr(_extension, "HAS_CUDA", False)
    _extension.check_built_for(torch.zeros(1))
    message = "built without CUDA, but a tensor is on cuda:0.*rebuild"
    with pytest.raises(RuntimeError, match=message):
        _extension.check_built_for(SimpleNamespace(is_cuda=True, device="cuda:0"))


def test_the_op_itself_refuses_an_unknown_border():
    arguments = torch.zeros(2, 3, 7, 7), torch.zeros(2, 7, 7), torch.tensor([0, 1])
    with pytest.raises(ValueError, match='border must be "replicate" or "zeros", found "reflect"'):
        torch.ops.nbseg.bpm_mask_loss(*arguments, 3.0, "reflect")
