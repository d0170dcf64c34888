"""Benchmark a student's training iteration against an iteration of MMDetection's Mask R-CNN.

The student computes more than the plain model, because the noise-tolerant mask head has additional
convolutions. Therefore the benchmark also reports the ratio of the floating-point operations, and
the share of the iteration's time that the mask targets and the boundary-preserving loss take.
"""

from collections.abc import Iterator
from typing import Any

import torch
from benchmarks.bpm_mask_loss import step
from benchmarks.case import Case, CaseTimes
from benchmarks.detectors import (
    CLASSES,
    PLAIN_HEAD,
    PLAIN_LOSS,
    STUDENT_HEAD,
    STUDENT_LOSS,
    mask_rcnn_r50,
    scene,
)
from benchmarks.mask_branch import SIZES, positives
from benchmarks.measure import measure
from mmengine.structures import InstanceData
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from nbseg.models.proposal_targets import proposal_mask_targets
from nbseg.ops import bpm_mask_loss

HEIGHT, WIDTH = 512, 1024


class Training:
    """Trains a detector on one image, with proposals that do not depend on the detector's weights.

    Args:
        detector: the detector, in training mode.
        cropped: whether each mask is cropped to its object, as in nbseg.
    """

    def __init__(self, detector: Any, cropped: bool) -> None:
        self.detector = detector
        self.sample, proposals = scene(HEIGHT, WIDTH, cropped)
        self.image = torch.randn(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
        self.optimizer = torch.optim.SGD(detector.parameters(), lr=1e-4, momentum=0.9)
        self._give_proposals(proposals)

    def _give_proposals(self, positive: Tensor) -> None:
        """Replace the RPN's proposals by the boxes ``positive`` and 900 background boxes.

        The RPN's losses are still computed as usual.
        """
        corner = torch.rand(900, 2) * torch.tensor([WIDTH - 20.0, HEIGHT - 20.0])
        boxes = torch.cat([positive, torch.cat([corner, corner + 20], dim=1)])
        rpn_head = self.detector.rpn_head
        learn = rpn_head.loss_and_predict

        def loss_and_predict(
            *args: Any, **kwargs: Any
        ) -> tuple[dict[str, Any], list[InstanceData]]:
            losses, _ = learn(*args, **kwargs)
            return losses, [InstanceData(bboxes=boxes, scores=torch.ones(len(boxes)))]

        rpn_head.loss_and_predict = loss_and_predict

    def iterate(self) -> int:
        """Run forward, backward and the optimizer's step; return the number of positive RoIs."""
        self.optimizer.zero_grad()
        self.rois = 0
        handle = self.detector.roi_head.mask_head.register_forward_pre_hook(self._count)
        losses = self.detector.loss(self.image, [self.sample])
        handle.remove()
        total, _ = self.detector.parse_losses(losses)
        total.backward()
        self.optimizer.step()
        return self.rois

    def _count(self, _: torch.nn.Module, inputs: tuple[Tensor]) -> None:
        self.rois = len(inputs[0])

    def flops(self) -> int:
        counter = FlopCounterMode(display=False)
        with counter:
            self.iterate()
        return counter.get_total_flops()


def seconds_of_targets_and_losses(student: Training) -> float:
    sample, proposals = student.sample, scene(HEIGHT, WIDTH, cropped=True)[1]
    sampling = positives(sample, proposals)
    logits = [torch.randn(len(proposals), CLASSES, s, s, requires_grad=True) for s in SIZES]

    def call() -> None:
        targets = proposal_mask_targets([sampling], [sample.gt_instances], SIZES)
        for x, target in zip(logits, targets, strict=True):
            step(bpm_mask_loss, x, target.float(), sampling.pos_gt_labels)

    return measure(call, "cpu", seconds=2.0).median


def cases(threads: int, device: str) -> Iterator[Case]:
    student = Training(mask_rcnn_r50(STUDENT_HEAD, STUDENT_LOSS), cropped=True)
    plain = Training(mask_rcnn_r50(PLAIN_HEAD, PLAIN_LOSS), cropped=False)
    flops = student.flops() / plain.flops()
    nbseg_seconds = seconds_of_targets_and_losses(student)

    def compare_with_flops(measured: CaseTimes) -> str:
        times = 1 / measured.ratios["MMDetection"]
        return (
            f"{flops:.3f} times MMDetection's number; the time is {times:.3f} times MMDetection's "
            f"time, {times / flops - 1:+.1%} compared with the ratio of the operations"
        )

    def share(measured: CaseTimes) -> str:
        return f"{nbseg_seconds * 1e3:.2f} ms, {nbseg_seconds / measured.seconds['nbseg']:.2%}"

    yield Case(
        name=f"R50 {HEIGHT}x{WIDTH}",
        nbseg=student.iterate,
        peers={"MMDetection": plain.iterate},
        facts={
            "floating-point operations": compare_with_flops,
            "targets and losses": share,
        },
        rounds=7,
    )
