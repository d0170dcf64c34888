"""What each method that trains one detector on two kinds of images is about."""

import copy

import pytest
import torch
import torch.nn.functional as F
from joint_detector import batches, joint, total, with_gradient
from mmengine.logging import MessageHub
from mmengine.model import ExponentialMovingAverage
from online_detector import batch, copy_of, runner
from torch import nn

from nbseg.semi import cross_consistency
from nbseg.semi.joint_student import Branch
from nbseg.semi.mirror_consistency import _of_class
from nbseg.semi.online_teacher_hook import OnlineTeacherHook

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("joint")


def set_progress(iteration, iterations):
    hub = MessageHub.get_current_instance()
    hub.update_info("iter", iteration)
    hub.update_info("max_iters", iterations)


@pytest.fixture(autouse=True)
def first_iteration():
    set_progress(0, 100)


class Pooled(nn.Module):
    """Feature maps that a mirror image mirrors: means of blocks, and one matrix for all cells."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(16, 3, 1, 1))

    def forward(self, images):
        return tuple(F.conv2d(F.avg_pool2d(images, s), self.matrix) for s in (4, 8, 16, 32))


def symmetric(model):
    """Make the heads of a model treat a mirror image like the image, and every RoI as an object."""
    features = Pooled().double()
    model.student.extract_feat = features.forward
    box_head = model.student.roi_head.bbox_head
    with torch.no_grad():
        for module in model.student.roi_head.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
                module.weight.copy_((module.weight + module.weight.flip(-1)) / 2)
        fc = box_head.shared_fcs[0].weight
        cells = fc.view(len(fc), -1, 7, 7)
        fc.copy_(((cells + cells.flip(-1)) / 2).flatten(1))
        box_head.fc_reg.weight[0::4] = box_head.fc_reg.bias[0::4] = 0  # no shift to a side
        box_head.fc_cls.bias[-1] = -50
    return model.double()


@pytest.fixture
def fixed_rois(monkeypatch):
    """Four RoIs in the first image, in double precision, which NMS lacks on a CPU."""
    boxes = [[0, 3, 5, 20, 30], [0, 0, 0, 64, 64], [0, 30.5, 20, 61, 44], [0, 40, 1, 50, 9]]
    rois = torch.tensor(boxes, dtype=torch.float64)
    monkeypatch.setattr("nbseg.semi.mirror_consistency.propose", lambda *_: rois)


@pytest.mark.usefixtures("fixed_rois")
def test_mirror_consistency_is_zero_for_a_symmetric_model_and_grows(folder):
    model = symmetric(joint(folder, "MirrorConsistency"))
    inputs, samples = batches("unsup")
    inputs = {name: images.double() for name, images in inputs.items()}

    def losses():
        labeled, other = (
            Branch(model.student.extract_feat(inputs[name]), inputs[name], samples[name])
            for name in ("sup", "unsup")
        )
        return {k: float(v.detach()) for k, v in model.other_losses(labeled, other).items()}

    names = {"loss_mirror_cls", "loss_mirror_bbox", "loss_mirror_mask"}
    assert losses() == dict.fromkeys(names, pytest.approx(0, abs=1e-20))
    original = copy.deepcopy(model.student.roi_head.state_dict())
    torch.manual_seed(3)
    noise = {name: torch.randn_like(value) for name, value in original.items() if value.dim() > 1}
    before = dict.fromkeys(names, 0.0)
    for strength in (0.01, 0.02, 0.04):
        changed = {n: v + strength * noise.get(n, 0) for n, v in original.items()}
        model.student.roi_head.load_state_dict(changed)
        now = losses()
        assert all(now[name] > 2 * before[name] for name in names), (strength, before, now)
        assert min(now.values()) > 1e-9
        before = now


@pytest.mark.usefixtures("fixed_rois")
def test_mirrored_shifts_to_the_side_have_opposite_signs(folder):
    """Both views shift their boxes to their left: in the image, these are different directions."""
    model = symmetric(joint(folder, "MirrorConsistency"))
    model.student.roi_head.bbox_head.fc_reg.bias.data[0] = 0.5
    inputs, samples = batches("unsup")
    images = inputs["unsup"].double()
    branch = Branch(model.student.extract_feat(images), images, samples["unsup"])
    mirrored = model.student.extract_feat(images.flip(-1))
    losses = model._differences(branch, mirrored)
    # 0.5 - (-0.5) in one of four deltas
    assert float(losses["loss_mirror_bbox"].detach()) == pytest.approx(1 / 4)


def test_the_weight_of_mirror_consistency_rises_and_falls(folder):
    model = joint(folder, "MirrorConsistency", unsup_weight=2.0, rise=0.25, fall=0.75)
    weights = []
    for iteration in (0, 50, 125, 250, 500, 750, 875):
        set_progress(iteration, 1000)
        weights.append(model.current_weight())
    e = torch.exp(torch.tensor([-5.0, -3.2, -1.25, 0, 0, 0, -12.5 / 4], dtype=torch.float64))
    assert weights == pytest.approx((2 * e).tolist())


def test_all_images_take_part_in_mirror_consistency(folder):
    model = joint(folder, "MirrorConsistency")
    inputs, samples = batches("unsup")
    losses = model.loss(inputs, samples)
    assert {"unsup_loss_mirror_cls", "sup_loss_mask", "unsup_weight"} <= set(losses)
    names = with_gradient(model, model.parse_losses(losses)[0])
    assert "student.backbone.conv1.weight" in names


def test_auxiliary_heads_learn_alone_from_the_masks(folder):
    model = joint(folder, "CrossConsistency", unsup_weight=3.0)
    model.student.roi_head.bbox_head.fc_cls.bias.data[-1] = -50  # every RoI is an object
    losses = model.loss(*batches("unsup"))
    of_unlabeled = with_gradient(model, total(losses, "unsup_"))
    assert any(name.startswith("student.backbone.") for name in of_unlabeled)
    for number in range(4):
        assert f"auxiliary.{number}.conv_logits.weight" in of_unlabeled
    assert not any("roi_head.mask_head" in name for name in of_unlabeled)
    losses = model.loss(*batches("unsup"))
    of_labeled = with_gradient(model, total(losses, "sup_"))
    assert "student.roi_head.mask_head.conv_logits.weight" in of_labeled
    assert not any(name.startswith("auxiliary") for name in of_labeled)


def test_equal_heads_on_features_without_perturbation_agree(folder, monkeypatch):
    model = joint(folder, "CrossConsistency")
    model.student.roi_head.bbox_head.fc_cls.bias.data[-1] = -50
    assert total(model.loss(*batches("unsup")), "unsup_") > 0
    for head in model.auxiliary:
        head.load_state_dict(model.student.roi_head.mask_head.state_dict())
    monkeypatch.setattr(cross_consistency, "PERTURBATIONS", (lambda features: features,) * 4)
    assert float(total(model.loss(*batches("unsup")), "unsup_").detach()) == 0


def test_perturbations():
    torch.manual_seed(0)
    features = torch.rand(50, 32, 10, 10) + 0.5
    kept = cross_consistency.drop_channels(features)
    shares = kept.amax(dim=(2, 3)) > 0
    assert shares.float().mean() == pytest.approx(0.5, abs=0.05)
    torch.testing.assert_close(kept[shares], 2 * features[shares])
    noisy = cross_consistency.add_noise(features) / features
    assert 0.7 <= noisy.min() < 0.71 and 1.29 < noisy.max() <= 1.3001
    torch.testing.assert_close(noisy[0], noisy[1])
    holes = cross_consistency.cut_out(features) == 0
    assert holes.sum(dim=(2, 3)).unique().tolist() == [16]  # 4 x 4 of 10 x 10
    attention = torch.arange(100.0).view(1, 1, 10, 10).expand(1, 3, 10, 10) / 99
    left = cross_consistency.drop_attention(attention)
    assert (left[attention < 0.7] == attention[attention < 0.7]).all()
    assert (left[attention >= 0.9] == 0).all()


def test_each_branch_of_two_has_its_own_mask_head(folder):
    model = joint(folder, "DualBranchStudent")
    published = model.student.roi_head.mask_head
    losses = model.loss(*batches("pseudo"))
    assert model.student.roi_head.mask_head is published
    own, others = "student.roi_head.mask_head.", "pseudo_mask_head."
    of_labels = with_gradient(model, total(losses, "sup_"))
    assert any(name.startswith(own) for name in of_labels)
    assert not any(name.startswith(others) for name in of_labels)
    losses = model.loss(*batches("pseudo"))
    of_pseudo_labels = with_gradient(model, total(losses, "unsup_"))
    assert any(name.startswith(others) for name in of_pseudo_labels)
    assert not any(name.startswith(own) for name in of_pseudo_labels)
    assert "student.roi_head.bbox_head.fc_cls.weight" in of_labels & of_pseudo_labels


def test_pseudo_labeled_images_count_by_their_weight(folder):
    values = []
    for weight in (1.0, 2.0):
        model = joint(folder, "PseudoLabelStudent", unsup_weight=weight)
        torch.manual_seed(5)
        losses = model.loss(*batches("pseudo"))
        values.append([float(total(losses, prefix).detach()) for prefix in ("sup_", "unsup_")])
    assert values[1][0] == pytest.approx(values[0][0])
    assert values[1][1] == pytest.approx(2 * values[0][1])
    model.ramp = 4
    set_progress(1, 100)
    assert model.current_weight() == 1.0


def test_a_plain_checkpoint_is_loaded_into_the_student(folder):
    model = joint(folder, "DualBranchStudent")
    state = {name: value + 1 for name, value in model.student.state_dict().items()}
    head = copy.deepcopy(model.pseudo_mask_head.state_dict())
    model.load_state_dict(dict(state))
    for name, value in model.student.state_dict().items():
        assert torch.equal(value, state[name]), name
    for name, value in model.pseudo_mask_head.state_dict().items():
        assert torch.equal(value, head[name]), name
    everything = {name: value + 1 for name, value in model.state_dict().items()}
    model.load_state_dict(everything)
    assert all(torch.equal(model.state_dict()[name], everything[name]) for name in everything)


@pytest.mark.parametrize("make", [lambda f: joint(f, "DualBranchStudent"), copy_of])
def test_averaged_weights_are_resumed(folder, make):
    """MMEngine's average of a model wraps the model, so all names have a prefix."""
    first, second = ExponentialMovingAverage(make(folder)), ExponentialMovingAverage(make(folder))
    state = {k: v + 1 if v.is_floating_point() else v for k, v in first.state_dict().items()}
    second.load_state_dict(dict(state))
    for name, value in second.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize("method", ["MirrorConsistency", "CrossConsistency", "DualBranchStudent"])
def test_other_roi_heads_are_refused(folder, method, monkeypatch):
    monkeypatch.setattr("nbseg.semi.proposals.StandardRoIHead", torch.nn.Linear)
    with pytest.raises(TypeError, match=f"{method} needs a detector with a StandardRoIHead, found"):
        joint(folder, method)


@pytest.mark.parametrize("method", ["MirrorConsistency", "CrossConsistency"])
def test_mask_heads_with_several_outputs_are_refused(folder, method):
    head = {"type": "NoiseTolerantMaskHead", "class_agnostic": False}
    with pytest.raises(TypeError, match=f"{method} .*one size, found NoiseTolerantMaskHead; set"):
        joint(folder, method, mask_head=head)


def test_auxiliary_mask_heads_are_initialized_as_the_students(folder):
    model = joint(folder, "CrossConsistency")
    heads = [model.student.roi_head.mask_head, *model.auxiliary]
    for head in heads:
        torch.nn.init.constant_(head.conv_logits.bias, 9)
    model.init_weights()
    assert [float(head.conv_logits.bias.detach().abs().max()) for head in heads] == [0.0] * 5


def test_box_deltas_of_each_rois_class():
    deltas = torch.arange(24.0).view(2, 12)
    assert _of_class(deltas, torch.tensor([2, 0])).tolist() == [[8, 9, 10, 11], [12, 13, 14, 15]]
    assert _of_class(deltas[:0], torch.zeros(0, dtype=torch.int64)).shape == (0, 4)


def test_no_proposals_give_mirror_losses_of_0(folder, monkeypatch):
    monkeypatch.setattr("nbseg.semi.mirror_consistency.propose", lambda *_: torch.zeros(0, 5))
    model = joint(folder, "MirrorConsistency")
    losses = model.loss(*batches("unsup"))
    assert float(total(losses, "unsup_").detach()) == 0


def test_boxes_of_unlabeled_images_need_not_be_learned(folder):
    """Unbiased Teacher learns classes and masks, but no boxes from pseudo-labels."""
    model = copy_of(folder, unsup_box_weight=0.0)
    losses = model.loss(*batch())
    assert float(total(losses, "unsup_loss_bbox").detach()) == 0
    assert float(total(losses, "unsup_loss_rpn_bbox").detach()) == 0
    for name in ("unsup_loss_cls", "unsup_loss_rpn_cls", "unsup_loss_mask", "sup_loss_bbox"):
        assert total(losses, name) > 0, name


def test_averaged_weights_equal_the_closed_form(folder):
    """After k steps towards students s_i: (1 - m)^k t + m sum_i (1 - m)^(k - i) s_i."""
    model, momentum, key = copy_of(folder), 0.1, "neck.fpn_convs.0.conv.weight"
    hook = OnlineTeacherHook(momentum=momentum)
    first = model.teacher.state_dict()[key].double()
    students = []
    torch.manual_seed(0)
    for step in range(6):
        with torch.no_grad():
            model.student.state_dict()[key].normal_()
        students.append(model.student.state_dict()[key].double())
        hook.after_train_iter(runner(model, iter=step), 0)
    steps = len(students)
    expected = (1 - momentum) ** steps * first
    for i, student in enumerate(students, start=1):
        expected += momentum * (1 - momentum) ** (steps - i) * student
    torch.testing.assert_close(
        model.teacher.state_dict()[key].double(), expected, atol=1e-6, rtol=0
    )
