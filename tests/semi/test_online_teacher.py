"""A teacher and a student that train together, without a runner."""

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import bbox_overlaps
from mmdet.structures.mask import BitmapMasks
from online_detector import SIZE, batch, copy_of, runner

from nbseg.errors import StageError
from nbseg.semi.loss_limit import LossLimit
from nbseg.semi.online_teacher_hook import OnlineTeacherHook
from nbseg.semi.teacher_predictions import require_ignoring

pytestmark = pytest.mark.usefixtures("one_thread")

FLIP = [[-1, 0, SIZE], [0, 1, 0], [0, 0, 1]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("online")


@pytest.fixture(scope="module")
def model(folder):
    """A model whose labels are all its predictions; tests do not change its weights."""
    return copy_of(folder)


def total(losses, prefix):
    return sum(
        float(sum(v.detach().sum() for v in (value if isinstance(value, list) else [value])))
        for name, value in losses.items()
        if name.startswith(f"{prefix}_") and "loss" in name
    )


def test_the_student_learns_from_both_kinds_of_images(model):
    losses = model.loss(*batch())
    assert losses["pseudo_per_image"] > 0
    assert losses["unsup_weight"] == losses["unsup_scale"] == 1
    names = {name for name in losses if "loss" in name}
    assert {"sup_loss_mask", "unsup_loss_mask", "unsup_loss_mask_coarse"} <= names
    model.parse_losses(losses)[0].backward()
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    assert with_gradient and all(name.startswith("student.") for name in with_gradient)
    assert "student.roi_head.mask_head.coarse_logits.weight" in with_gradient
    model.zero_grad()


def test_labels_of_a_flipped_view_are_flipped(model):
    """The boxes and masks of the strong view mirror those of an upright strong view."""
    upright, flipped = (batch(homography)[1] for homography in (None, FLIP))
    inputs = batch()[0]["unsup_teacher"]
    for samples in (upright, flipped):
        found, _ = model.get_pseudo_instances(inputs, samples["unsup_teacher"])
        model.project_pseudo_instances(found, samples["unsup_student"])
    for a, b in zip(upright["unsup_student"], flipped["unsup_student"], strict=True):
        masks = BitmapMasks(a.gt_instances.masks.to_bitmaps(), SIZE, SIZE)
        assert (masks.flip("horizontal").masks == b.gt_instances.masks.to_bitmaps()).all()
        assert len(masks) and masks.masks.any()
        mirrored = SIZE - a.gt_instances.bboxes[:, [2, 1, 0, 3]]
        expected = torch.stack([mirrored[:, 0], a.gt_instances.bboxes[:, 1]], dim=1)
        torch.testing.assert_close(b.gt_instances.bboxes[:, :2], expected)
        assert a.gt_instances.labels.tolist() == b.gt_instances.labels.tolist()


def test_scores_between_the_thresholds_are_ignored(folder):
    model = copy_of(folder, mask_nms_iou=None)
    inputs = batch()[0]["unsup_teacher"]

    def labels_and_ignored():
        samples = batch()[1]
        found, _ = model.get_pseudo_instances(inputs, samples["unsup_teacher"])
        return model.project_pseudo_instances(found, samples["unsup_student"])

    everything = torch.cat([sample.gt_instances.scores for sample in labels_and_ignored()])
    middle = float(everything.median())
    model.thresholds.fixed = np.full(5, middle)
    strong = labels_and_ignored()
    labels = torch.cat([sample.gt_instances.scores for sample in strong])
    assert sorted(labels.tolist()) == sorted(everything[everything >= middle].tolist())
    ignored = sum(len(sample.ignored_instances) for sample in strong)
    assert 0 < ignored <= int((everything < middle).sum())
    for sample in strong:
        overlaps = bbox_overlaps(sample.ignored_instances.bboxes, sample.gt_instances.bboxes)
        assert (overlaps < 0.5).all()
    for score in (None, middle):  # scores below ignore_score are background
        model.ignore_score = score
        assert sum(len(sample.ignored_instances) for sample in labels_and_ignored()) == 0


def test_ignoring_needs_assigners_that_ignore(folder):
    detector = copy_of(folder).student
    require_ignoring(detector)
    for name, assigner in (
        ("rcnn", detector.roi_head.bbox_assigner),
        ("rpn", detector.rpn_head.assigner),
    ):
        assigner.ignore_iof_thr = -1
        with pytest.raises(ValueError, match=f"ignore_iof_thr of train_cfg.{name}.assigner is 0"):
            require_ignoring(detector)


def test_the_teacher_follows_the_student(folder):
    model = copy_of(folder)
    hook = OnlineTeacherHook(momentum=0.25)
    key, statistic = "backbone.conv1.weight", "backbone.bn1.running_mean"
    with torch.no_grad():
        model.student.state_dict()[key].fill_(2.0)
        model.student.state_dict()[statistic].fill_(8.0)
        model.teacher.state_dict()[key].fill_(1.0)
        model.teacher.state_dict()[statistic].fill_(4.0)
    hook.after_train_iter(runner(model), 0)
    assert (model.teacher.state_dict()[key] == 1.25).all()
    assert (model.teacher.state_dict()[statistic] == 5.0).all()
    assert not model.teacher.training  # so a batch does not change the statistics either
    before = model.teacher.state_dict()[statistic].clone()
    model.loss(*batch())
    assert (model.teacher.state_dict()[statistic] == before).all()
    assert (model.student.state_dict()[statistic] != 8.0).any()


def test_a_training_without_the_hook_is_refused(model):
    model.iteration = None
    with pytest.raises(StageError, match="OnlineTeacher needs a hook .*OnlineTeacherHook"):
        model.loss(*batch())
    OnlineTeacherHook().before_train_iter(runner(model, iter=7), 0)
    assert model.iteration == 7
    with pytest.raises(StageError, match="needs a model of the type OnlineTeacher, found Linear"):
        OnlineTeacherHook().before_train(runner(torch.nn.Linear(1, 1)))


def test_the_teacher_starts_with_the_students_weights(folder):
    model = copy_of(folder)
    with torch.no_grad():
        for value in model.teacher.parameters():
            value.add_(1)
    OnlineTeacherHook().before_train(runner(model, iter=5))  # a resumed training
    key = "neck.fpn_convs.0.conv.weight"
    student, teacher = (part.state_dict()[key] for part in (model.student, model.teacher))
    assert not torch.equal(student, teacher)
    OnlineTeacherHook().before_train(runner(model))
    assert torch.equal(student, teacher)


def test_a_loaded_teacher_survives_the_start_and_teaches_in_the_burn_in(folder, tmp_path):
    path = tmp_path / "teacher.pth"
    model = copy_of(folder, burn_in=3, teacher_checkpoint=str(path))
    own = {name: value + 0.5 for name, value in model.student.state_dict().items()}
    torch.save({"state_dict": own, "meta": {}}, path)
    hook = OnlineTeacherHook(momentum=0.5)
    hook.before_train(runner(model))
    key = "neck.fpn_convs.0.conv.weight"

    def teacher():
        return model.teacher.state_dict()[key]

    assert torch.equal(teacher(), own[key])
    for iteration in (0, 1):
        hook.after_train_iter(runner(model, iter=iteration), 0)
        assert torch.equal(teacher(), own[key])
    assert "unsup_loss_mask" in model.loss(*batch())
    hook.after_train_iter(runner(model, iter=2), 0)  # the end of the burn-in
    student = model.student.state_dict()[key]
    assert torch.equal(teacher(), student)
    before = student.clone()
    with torch.no_grad():
        student.add_(1)
    hook.after_train_iter(runner(model, iter=3), 0)
    torch.testing.assert_close(teacher(), before + 0.5)


def test_starts_that_ruin_the_teacher_are_refused(folder, tmp_path):
    path = str(tmp_path / "teacher.pth")
    model = copy_of(folder, teacher_checkpoint=path)
    with pytest.raises(
        StageError, match="teacher.pth, but the student starts from other weights.*burn_in"
    ):
        OnlineTeacherHook().before_train(runner(model))
    model.burn_in = 100
    refusal = "burn_in is 100 iterations, but the training has .* lower burn_in"
    with pytest.raises(StageError, match=refusal):
        OnlineTeacherHook().before_train(runner(model))


def test_a_burn_in_uses_labeled_images_alone_and_the_weight_grows(folder):
    model = copy_of(folder, burn_in=10, ramp=4, unsup_weight=2.0)
    model.iteration = 9
    losses = model.loss(*batch())
    assert losses and all(name.startswith("sup_") for name in losses)
    weights = []
    for model.iteration in (10, 11, 13, 50):
        weights.append(float(model.current_weight()))
    assert weights == [0.5, 1.0, 2.0, 2.0]
    model.iteration = 11
    assert model.loss(*batch())["unsup_weight"] == 1.0


def test_without_pseudo_labels_the_training_goes_on_with_a_warning(folder, log):
    model = copy_of(folder, ignore_score=None)
    model.thresholds.fixed = np.ones(5)
    losses = model.loss(*batch())
    assert total(losses, "unsup") == 0 and total(losses, "sup") > 0
    assert losses["pseudo_per_image"] == losses["unsup_weight"] == 0
    loss, log_vars = model.parse_losses(losses)
    loss.backward()
    assert model.student.backbone.conv1.weight.grad.abs().sum() > 0
    hook = OnlineTeacherHook(report_interval=2)
    for iteration in (0, 1):
        assert "gave no pseudo-label" not in log.text
        hook.after_train_iter(runner(model, iter=iteration), 0, None, log_vars)
    assert "gave no pseudo-label in the last 2 iterations, so the student learns from" in log.text
    assert "score thresholds: star 1.000, gear 1.000" in log.text


def test_the_report_names_labels_and_thresholds(model, log):
    model.iteration = 0
    _, log_vars = model.parse_losses(model.loss(*batch()))
    OnlineTeacherHook(report_interval=1).after_train_iter(runner(model), 0, None, log_vars)
    mean = float(log_vars["pseudo_per_image"])
    start = f"pseudo-labels: {mean:.2f} per unlabeled image; score thresholds: star 0.100"
    assert start in log.text
    assert "gave no" not in log.text and "exceeded" not in log.text


def test_exploding_losses_are_scaled_down():
    limit = LossLimit(times=10, momentum=0.5)
    assert limit.scale(sup=2.0, unsup=6.0) == 1
    assert float(limit.mean) == 6
    assert limit.scale(sup=2.0, unsup=600.0) == 60 / 600  # ten times the mean, 6
    assert float(limit.mean) == (6 + 60) / 2  # the part beyond the limit does not count
    assert limit.scale(sup=100.0, unsup=1000.0) == 1
    for value in (float("nan"), float("inf")):
        assert limit.scale(sup=2.0, unsup=value) == 1  # the training stops
    assert np.isfinite(float(limit.mean))


def test_the_detector_scales_exploding_losses_and_warns(folder, log):
    model = copy_of(folder, loss_limit=LossLimit(times=0.5))
    losses = model.loss(*batch())
    # No running mean is higher than the losses of the labeled image yet.
    assert total(losses, "unsup") == pytest.approx(0.5 * total(losses, "sup"), rel=1e-5)
    assert 0 < losses["unsup_scale"] < 1
    _, log_vars = model.parse_losses(losses)
    OnlineTeacherHook(report_interval=1).after_train_iter(runner(model), 0, None, log_vars)
    assert "in 1 of the last 1 iterations, the losses of unlabeled images exceeded" in log.text


def test_losses_that_are_not_finite_reach_the_hook_that_stops(folder):
    model = copy_of(folder)
    inputs, samples = batch()
    inputs["unsup_student"] *= float("nan")
    try:
        losses = model.loss(inputs, samples)
    except (ValueError, AssertionError):
        return  # refused at once
    assert not np.isfinite(float(model.parse_losses(losses)[0].detach()))


def test_a_plain_checkpoint_fills_both(folder, model):
    other = copy_of(folder)
    plain = {name: value.clone() + 1 for name, value in model.student.state_dict().items()}
    other.load_state_dict(dict(plain))
    for part in (other.student, other.teacher):
        assert all(torch.equal(value, plain[name]) for name, value in part.state_dict().items())
