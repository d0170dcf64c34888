"""Benchmark a training step with an online teacher against the offline student's step.

Both steps see one labeled and three unlabeled images, with the same objects. In the online step,
the teacher first labels the unlabeled images, and is updated after the student's step. The networks
are those of the config for nuclei. They have random weights, which do not change because the
learning rate is 0. Two score thresholds are set so that the teacher finds as many labels and
ignored boxes as a trained teacher. A box is ignored if its score lies between these thresholds.
"""

from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.case import Case, CaseTimes
from benchmarks.scenes import boxes_of, outlines
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

import nbseg.register  # noqa: F401
from nbseg.config.online import plain_detector
from nbseg.datasets.cropped_bitmap_masks import CroppedBitmapMasks
from nbseg.engine.stages import stage_config
from nbseg.registry import MODELS
from nbseg.semi.online_teacher_hook import OnlineTeacherHook

CONFIG = (
    Path(__file__).parents[2]
    / "configs/nuclei/noisy-boundaries_mask-rcnn_mobilenet-v2_fpn_nuclei_online.py"
)
SIZE, UNLABELED = 256, 3
LABELS, IGNORED = 25, 25  # per image, of a trained teacher
ROUNDS = 9


def sample() -> DetDataSample:
    shape = (SIZE, SIZE)
    shapes = dict.fromkeys(("img_shape", "ori_shape", "pad_shape", "batch_input_shape"), shape)
    return DetDataSample(metainfo=shapes)


def labeled_sample() -> DetDataSample:
    polygons = outlines(np.random.default_rng(0), LABELS, SIZE, SIZE)
    objects = InstanceData(
        bboxes=torch.from_numpy(boxes_of(polygons)),
        labels=torch.zeros(LABELS, dtype=torch.int64),
        masks=CroppedBitmapMasks.from_segmentations(polygons, SIZE, SIZE),
    )
    made = sample()
    made.gt_instances, made.ignored_instances = objects, InstanceData(bboxes=torch.zeros(0, 4))
    return made


class Steps:
    """Runs training steps with an online teacher, and steps of its student alone.

    Args:
        online: a model of the type ``OnlineTeacher``.
    """

    def __init__(self, online: Any) -> None:
        self.online = online
        self.hook = OnlineTeacherHook()
        # The learning rate is 0, so that all steps see the same labels.
        parameters = [p for p in online.student.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(parameters, lr=0.0)
        images = torch.randn(
            1 + UNLABELED, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)
        )
        self.images = images
        self.labeled = labeled_sample()
        online.thresholds.fixed_pixel = 0.5
        self._choose_thresholds()
        weak, strong = ([sample() for _ in range(UNLABELED)] for _ in range(2))
        found, _ = online.get_pseudo_instances(images[1:], weak)
        self.pseudo_labeled = online.project_pseudo_instances(found, strong)

    def _choose_thresholds(self) -> None:
        self.online.ignore_score, self.online.thresholds.fixed = 0.0, np.zeros(1)
        weak = [sample() for _ in range(UNLABELED)]
        found, _ = self.online.get_pseudo_instances(self.images[1:], weak)
        scores = torch.cat([view.pred_instances.scores for view in found]).sort(descending=True)[0]
        # The average of equal weights may differ in the last digit, so no score is a threshold.
        pairs = (scores[n * UNLABELED - 1 :][:2] for n in (LABELS + IGNORED, LABELS))
        lowest, middle = (float(pair.mean()) for pair in pairs)
        self.online.ignore_score, self.online.thresholds.fixed = lowest, np.full(1, middle)

    def step_online(self) -> int:
        """Run a step with the online teacher; return the number of objects in the batch."""
        self.online.iteration = 0
        weak, strong = ([sample() for _ in range(UNLABELED)] for _ in range(2))
        inputs = {
            "sup": self.images[:1],
            "unsup_teacher": self.images[1:],
            "unsup_student": self.images[1:],
        }
        samples = {"sup": [deepcopy(self.labeled)], "unsup_teacher": weak, "unsup_student": strong}
        self._learn(self.online, self.online.loss(inputs, samples))
        self.hook.momentum_update(self.online, self.hook.momentum)
        return LABELS + sum(len(view.gt_instances) for view in strong)

    def step_offline(self) -> int:
        """Run a step of the student alone; return the number of objects in the batch."""
        samples = deepcopy([self.labeled, *self.pseudo_labeled])
        self._learn(self.online.student, self.online.student.loss(self.images, samples))
        return LABELS + sum(len(view.gt_instances) for view in samples[1:])

    def _learn(self, model: Any, losses: dict[str, Any]) -> None:
        self.optimizer.zero_grad()
        model.parse_losses(losses)[0].backward()
        self.optimizer.step()


def random_online_teacher() -> Any:
    """Return the online teacher of the config, with its student.

    Both have the same random weights, with which the scores of the detections are widely spread.
    """
    config = Config.fromfile(CONFIG)
    plain = stage_config(config, "student", "run")
    plain_detector(plain.model).backbone.init_cfg = None
    init_default_scope("mmdet")
    torch.manual_seed(0)
    model = MODELS.build(plain.model)
    student = model.student
    for layer, deviation in (
        (student.rpn_head.rpn_cls, 0.1),
        (student.roi_head.bbox_head.fc_cls, 0.5),
    ):
        torch.nn.init.normal_(layer.weight, std=deviation)
    model.teacher.load_state_dict(student.state_dict())
    return model.train()


def compare(teacher_bytes: int, objects: int, times: CaseTimes) -> str:
    return (
        f"{1 / times.ratios['offline student']:.3f} times as long as the offline student's step; "
        f"{objects} objects in a batch; the teacher's weights take {teacher_bytes / 1e6:.1f} MB"
    )


def cases(threads: int, device: str) -> Iterator[Case]:
    steps = Steps(random_online_teacher())
    teacher = steps.online.teacher.state_dict().values()
    size = sum(value.numel() * value.element_size() for value in teacher)
    yield Case(
        name=f"MobileNetV2, {1 + UNLABELED} images {SIZE}x{SIZE}",
        nbseg=steps.step_online,
        peers={"offline student": steps.step_offline},
        facts={"online step": partial(compare, size, steps.step_offline())},
        rounds=ROUNDS,
        memory=True,
    )
