"""Compares the boundary-preserving loss on a GPU with the CPU, and tests its torch guarantees."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from bpm_examples import BORDERS, assert_accurate, example, loss_and_grad
from cuda_marks import CUDA, replay, run_without_synchronization

from nbseg.ops import bpm_mask_loss, reference

pytestmark = CUDA

LOGITS = (torch.float32, torch.float16, torch.bfloat16)
TARGETS = (torch.uint8, torch.bool, torch.float32)


def on_gpu(*tensors):
    return tuple(tensor.cuda() for tensor in tensors)


def assert_equals_the_cpu(logits, targets, labels, **kwargs):
    loss, grad = loss_and_grad(bpm_mask_loss, *on_gpu(logits, targets, labels), **kwargs)
    wanted_loss, wanted_grad = loss_and_grad(bpm_mask_loss, logits, targets, labels, **kwargs)
    assert loss.is_cuda and loss.dtype == torch.float32 and grad.dtype == logits.dtype
    # CPU and GPU promise this accuracy; then the gradient is rounded to the dtype of the logits.
    torch.testing.assert_close(loss.cpu(), wanted_loss, rtol=1e-6, atol=0)
    error = (grad.cpu().double() - wanted_grad.double()).norm()
    accuracy = 1e-5 + 2 * torch.finfo(logits.dtype).eps
    assert error <= accuracy * wanted_grad.double().norm()
    others = wanted_grad == 0
    assert grad.cpu()[others].count_nonzero() == 0


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 14, 28, 31, 56, 63, 64])
def test_every_size_equals_the_cpu(size, border):
    assert_equals_the_cpu(*example(rois=5, size=size, scale=3), border=border)


@pytest.mark.parametrize("target_dtype", TARGETS)
@pytest.mark.parametrize("logit_dtype", LOGITS)
def test_every_dtype_equals_the_cpu(logit_dtype, target_dtype):
    # C * S * S of 147, 98 and 784: stores of 1, 2 and as many elements as fit 16 bytes.
    for classes, size in ((3, 7), (2, 7), (1, 28), (80, 28)):
        logits, targets, labels = example(classes=classes, size=size)
        assert_equals_the_cpu(logits.to(logit_dtype), targets.to(target_dtype), labels, gain=2.5)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize(
    ("scale", "shift"), [(1e-3, 0), (1, 0), (50, 0), (1, 16), (1, 44), (1, -30)]
)
def test_equals_the_reference_in_float64(scale, shift, border):
    logits, _, labels = example(scale=scale, shift=shift)
    targets = torch.rand(len(labels), 28, 28)
    actual = loss_and_grad(bpm_mask_loss, *on_gpu(logits, targets, labels), border=border)
    expected = loss_and_grad(
        reference.bpm_mask_loss, logits.double(), targets, labels, border=border
    )
    assert_accurate([part.cpu() for part in actual], expected)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", [3, 28, 64])
def test_smooth_masks_among_others_keep_their_digits(size, border):
    # Every second RoI is computed in float, then in double, in the same launch as the others.
    logits, targets, labels = example(rois=8, size=size)
    ramp = torch.linspace(-0.5, 0.5, size)
    logits[::2] = ramp[:, None] + 0.3 * ramp
    actual = loss_and_grad(bpm_mask_loss, *on_gpu(logits, targets, labels), border=border)
    expected = loss_and_grad(
        reference.bpm_mask_loss, logits.double(), targets, labels, border=border
    )
    assert_accurate([part.cpu() for part in actual], expected)


@pytest.mark.parametrize("value", [0.0, 100.0, -100.0])
def test_a_mask_without_edges_has_the_mean_weight(value):
    logits, labels = torch.full((2, 1, 14, 14), value), torch.zeros(2, dtype=torch.int64)
    targets = torch.rand(2, 14, 14) < 0.5

    def plain(x):
        return 3 * F.binary_cross_entropy_with_logits(x[:, 0], targets.to(x.dtype))

    actual = loss_and_grad(bpm_mask_loss, *on_gpu(logits, targets, labels))
    assert_accurate([part.cpu() for part in actual], loss_and_grad(plain, logits.double()))


def test_a_nan_is_not_hidden():
    logits, targets, labels = example()
    logits[0, labels[0], 3, 3] = torch.nan
    assert bpm_mask_loss(*on_gpu(logits, targets, labels)).isnan()


def test_no_roi_gives_zero_with_a_graph():
    logits = torch.randn(0, 3, 28, 28, device="cuda", requires_grad=True)
    targets = torch.zeros(0, 28, 28, device="cuda")
    loss = bpm_mask_loss(logits * 2, targets, torch.zeros(0, dtype=torch.int64, device="cuda"))
    loss.backward()
    assert loss == 0 and logits.grad.shape == logits.shape


def test_more_rois_than_a_grid_has_rows():
    assert_equals_the_cpu(*example(rois=70_000, classes=2, size=3))


def test_a_gradient_of_more_than_2_to_the_31_elements():
    rois, classes, size = 44_000, 64, 28
    needed = 2 * rois * classes * size * size * 3  # float16: logits, gradient, and a margin
    if torch.cuda.mem_get_info()[0] < needed:
        pytest.skip(f"needs {needed / 1e9:.0f} GB of GPU memory")
    logits = torch.zeros(rois, classes, size, size, dtype=torch.float16, device="cuda")
    few, targets, labels = example(rois=64, classes=classes)
    logits[-64:] = few.half().cuda()
    all_targets = torch.zeros(rois, size, size, dtype=torch.uint8, device="cuda")
    all_labels = torch.zeros(rois, dtype=torch.int64, device="cuda")
    all_targets[-64:], all_labels[-64:] = targets.cuda(), labels.cuda()
    # The loss is multiplied by rois / 64, so that the gradient does not underflow in float16.
    gain = 3.0 * rois / 64
    logits.requires_grad_()
    (grad,) = torch.autograd.grad(bpm_mask_loss(logits, all_targets, all_labels, gain=gain), logits)
    _, wanted = loss_and_grad(bpm_mask_loss, few.half(), targets, labels)
    torch.testing.assert_close(grad[-64:].cpu(), wanted, rtol=2e-3, atol=1e-7)


def test_layout_of_the_arguments_does_not_matter():
    logits, targets, labels = on_gpu(*example())
    wanted = loss_and_grad(bpm_mask_loss, logits, targets, labels)
    actual = loss_and_grad(
        bpm_mask_loss,
        logits.contiguous(memory_format=torch.channels_last),
        targets.transpose(1, 2).contiguous().transpose(1, 2),
        torch.stack([labels, labels], dim=1)[:, 0],
    )
    assert actual[0] == wanted[0] and torch.equal(actual[1], wanted[1])


def test_the_same_input_gives_the_same_bits():
    arguments = on_gpu(*example(rois=512, classes=8))
    first, second = (loss_and_grad(bpm_mask_loss, *arguments) for _ in range(2))
    assert first[0] == second[0] and torch.equal(first[1], second[1])


def test_nothing_waits_for_the_gpu():
    arguments = on_gpu(*example())
    wanted = loss_and_grad(bpm_mask_loss, *arguments)
    actual = run_without_synchronization(lambda: loss_and_grad(bpm_mask_loss, *arguments))
    assert actual[0] == wanted[0] and torch.equal(actual[1], wanted[1])


def test_runs_on_the_current_stream():
    logits, targets, labels = on_gpu(*example())
    wanted = loss_and_grad(bpm_mask_loss, logits, targets, labels)
    late = torch.zeros_like(logits)
    stream = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)  # on another stream, the loss would see zeros
        late.copy_(logits)
        actual = loss_and_grad(bpm_mask_loss, late, targets, labels)
    stream.synchronize()
    assert actual[0] == wanted[0] and torch.equal(actual[1], wanted[1])


def test_captured_in_a_graph():
    arguments = on_gpu(*example())
    wanted = loss_and_grad(bpm_mask_loss, *arguments)
    actual = replay(lambda: loss_and_grad(bpm_mask_loss, *arguments))
    assert actual[0] == wanted[0] and torch.equal(actual[1], wanted[1])


def test_compiles_without_a_graph_break():
    logits, targets, labels = on_gpu(*example())

    def loss(x):
        return 2 * bpm_mask_loss(x.tanh(), targets, labels, border="zeros")

    actual = loss_and_grad(torch.compile(loss, fullgraph=True), logits)
    torch.testing.assert_close(actual, loss_and_grad(loss, logits))


def test_autocast_computes_in_full():
    logits, targets, labels = on_gpu(*example(scale=4))
    half = logits.half()
    with torch.autocast("cuda", torch.float16):
        loss, grad = loss_and_grad(bpm_mask_loss, half, targets, labels)
    wanted_loss, wanted_grad = loss_and_grad(bpm_mask_loss, half.float(), targets, labels)
    assert loss.dtype == torch.float32 and loss == wanted_loss
    torch.testing.assert_close(grad, wanted_grad.half(), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", LOGITS)
def test_opcheck(dtype):
    logits, targets, labels = on_gpu(*example(size=7))
    arguments = (logits.to(dtype).requires_grad_(), targets, labels, 3.0, "zeros")
    torch.library.opcheck(torch.ops.nbseg.bpm_mask_loss.default, arguments)
    arguments = (torch.tensor(2.0).cuda(), torch.randn(6, 7, 7).cuda(), labels, 3, dtype)
    torch.library.opcheck(torch.ops.nbseg.bpm_mask_loss_backward.default, arguments)


def test_a_size_above_the_limit_is_refused():
    arguments = torch.zeros(1, 1, 65, 65), torch.zeros(1, 65, 65), torch.zeros(1).long()
    with pytest.raises(ValueError, match="at most 64 x 64 on a GPU, found 65 x 65"):
        bpm_mask_loss(*on_gpu(*arguments))


def test_a_tensor_on_another_device_is_refused():
    logits, targets, labels = example()
    with pytest.raises(ValueError, match="labels must be on cuda:0, found cpu"):
        bpm_mask_loss(logits.cuda(), targets.cuda(), labels)
    with pytest.raises(Exception, match="labels has the wrong shape, dtype or device"):
        torch.ops.nbseg.bpm_mask_loss(logits.cuda(), targets.cuda(), labels, 3.0, "zeros")


@pytest.mark.parametrize("label", [-1, 3])
@pytest.mark.parametrize(
    "call",
    [
        "bpm_mask_loss(torch.zeros(2, 3, 7, 7).cuda(), torch.zeros(2, 7, 7).cuda(), labels)",
        "torch.ops.nbseg.bpm_mask_loss_backward(torch.tensor(1.0).cuda(), "
        "torch.zeros(2, 7, 7).cuda(), labels, 3, torch.float32)",
    ],
)
def test_a_label_out_of_range_fails_an_assert(call, label):
    program = (
        "import torch; from nbseg.ops import bpm_mask_loss; "
        f"labels = torch.tensor([0, {label}]).cuda(); {call}; torch.cuda.synchronize()"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode != 0
    assert "label >= 0 && label < params.classes" in result.stderr
    assert "device-side assert" in result.stderr
