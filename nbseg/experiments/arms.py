"""From a row of a table to the runs that measure it.

Both scales are alike: the configs name their switches alike (``configs/_base_/models/``). All
students of one percentage and seed share a teacher and its pseudo-labels, also between tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbseg.experiments.run import Run
from nbseg.experiments.tables import Row, Table


@dataclass(frozen=True)
class Source:
    """What the rows of one table and percentage are trained on.

    Attributes:
        name: of the folder of the shared teacher.
        config: file of the config.
        options: of every run, but for the seed.
        student: further options of the student.
        supervised: the stage that the supervised rows report: ``supervised``, the control arm
            trained as long as teacher and student together, or ``teacher``, the teacher itself.
        joint: options with which ``oracle`` trains on the fine and the coarse labels.
        coarse: options that put the coarse labels in the place of the fine ones.
        whole, half: options that make ``supervised`` a part of a chain of trainings, as long as the
            student, and half as long.
    """

    name: str
    config: str
    options: Mapping[str, Any]
    student: Mapping[str, Any] = field(default_factory=dict)
    supervised: str = "supervised"
    joint: Mapping[str, Any] = field(default_factory=dict)
    coarse: Mapping[str, Any] = field(default_factory=dict)
    whole: Mapping[str, Any] = field(default_factory=dict)
    half: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arm:
    """A row with one seed: the stage of the run that measures it."""

    row: Row
    seed: int
    run: Run
    stage: str


def arm_of(table: Table, row: Row, seed: int, source: Source) -> Arm:
    """Return the arm of a row that is not quoted."""
    folder = f"table-{table.number}/seed-{seed}/{row.name}"
    options = {**source.options, "seed": seed}
    teacher_folder = f"shared/{source.name}/seed-{seed}"
    teacher = Run(teacher_folder, source.config, ("teacher",), options)
    teacher_file = "teacher/teacher.pth"
    if row.arm == "student":
        labels = Run(teacher_folder, source.config, ("pseudo", "labels"), options, needs=(teacher,))
        run = Run(
            folder,
            source.config,
            ("student",),
            {**options, **source.student, **_student_switches(row)},
            {
                "labels.ann_file": (labels, "pseudo/pseudo_labels.json"),
                "teacher.checkpoint": (teacher, teacher_file),
            },
            needs=(labels,),
        )
        return Arm(row, seed, run, "student")

    stage = source.supervised
    if row.arm == "supervised":
        if stage == "teacher" and not row.strong:
            return Arm(row, seed, teacher, stage)
        strong = {f"{stage}.train_pipeline": "{strong_pipeline}"} if row.strong else {}
        return Arm(row, seed, Run(folder, source.config, (stage,), {**options, **strong}), stage)

    if row.arm == "coarse":
        joint = {**options, **source.joint, **_student_switches(row)}
        return Arm(row, seed, Run(folder, source.config, ("oracle",), joint), "oracle")
    coarse = {**options, **source.coarse}
    start = f"{stage}.load_from"
    if row.arm == "coarse-fine":
        first = Run(f"{folder}/coarse", source.config, ("teacher",), coarse)
        chain = {start: (first, teacher_file)}
        run = Run(folder, source.config, (stage,), {**options, **source.whole}, chain)
        return Arm(row, seed, run, stage)
    if row.arm == "fine-coarse-fine":
        second = Run(
            f"{folder}/coarse",
            source.config,
            (stage,),
            {**coarse, **source.half},
            {start: (teacher, teacher_file)},
        )
        chain = {start: (second, f"{stage}/{stage}.pth")}
        run = Run(folder, source.config, (stage,), {**options, **source.half}, chain)
        return Arm(row, seed, run, stage)
    raise ValueError(f"row {row.name}: there is no arm {row.arm!r} to train")


def _student_switches(row: Row) -> dict[str, str]:
    options = {}
    if not row.strong:
        options["train_pipeline"] = "{weak_pipeline}"
    if not row.ntm:
        options["mask_head"] = "{plain_mask_head}"
    if row.focal:
        options["box_loss"] = "{softmax_focal_loss}"
    if row.bpm is None:
        options["mask_loss"] = "{plain_mask_loss}"
    elif row.bpm == "released":
        options["mask_loss"] = "{released_mask_loss}"
    elif row.bpm == "distance":
        options["mask_loss.type"] = "DistanceToBoundaryLoss"
    elif row.bpm == "zeros":
        options["mask_loss.border"] = "zeros"
    return options
